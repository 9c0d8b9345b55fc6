"""deploy/compose.yml and deploy/compose-postgres.yml: valid files, run by podman-compose."""

import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading

import yaml

from support import ADMIN_PASSWORD, OPEN_FILES, as_admin, find_postgres, request, wait_until

PORT = 24811
BASE_URL = f"http://127.0.0.1:{PORT}"
SERVER, DATABASE = "compose.yml", "compose-postgres.yml"
POSTGRES_PASSWORD = os.urandom(16).hex()


def check_files(checks):
    from compose_spec import ComposeSpecification

    for file in (SERVER, DATABASE):
        try:
            ComposeSpecification.model_validate(parsed(file), extra="forbid")
            invalid = None
        except ValueError as error:
            invalid = error
        checks.check(f"{file} is valid", invalid is None, invalid)


def parsed(file):
    return yaml.safe_load(pathlib.Path("deploy", file).read_text())


class Project:
    """The services of a compose file. Only three things differ: the port; the quotas, because podman asks for more
    processes than root may have on some machines; and the name, because podman keeps the fixed addresses of a network
    after a crash.
    """

    def __init__(self, engine, directory, file):
        self.engine, self.file = engine, directory / file
        text, name = pathlib.Path("deploy", file).read_text(), parsed(file)["name"]
        self.name = f"{name}-{os.getpid()}"
        text = text.replace(f"\nname: {name}\n", f"\nname: {self.name}\n")
        text = text.replace("127.0.0.1:8086:", f"127.0.0.1:{PORT}:")
        self.file.write_text(text.replace("nofile: 16384", f"nofile: {OPEN_FILES}\n      nproc: 4096"))
        engine.environment |= {
            "TOKENBRIDGE_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "POSTGRES_PASSWORD": POSTGRES_PASSWORD,
        }

    def compose(self, *arguments):
        self.engine.run("podman-compose", "--file", self.file, *arguments)

    def up(self, *services):
        self.compose("up", "--detach", "--no-build", *services)

    def wait_until_ready(self):
        wait_until(f"{self.name} is ready", lambda: request("GET", f"{BASE_URL}/readyz")[0] == 200)

    def container(self, service):
        return f"{self.name}_{service}_1"

    def is_healthy(self, service):
        """Runs the health check of a service. Without systemd, nothing else does."""
        try:
            self.engine.podman("healthcheck", "run", self.container(service))
        except RuntimeError:
            return False
        return True

    def log_since_start(self, service):
        log = self.engine.inspect(self.container(service), "{{.HostConfig.LogConfig.Path}}")
        return pathlib.Path(log).read_text().rpartition("listening on")[2]


def check_server(checks, engine, directory):
    project = Project(engine, directory, SERVER)
    project.up()
    project.wait_until_ready()
    status, text = request("POST", f"{BASE_URL}/api-tokens", {"name": "kept"}, as_admin())
    checks.check("compose.yml: the service creates a token", status == 200, text)
    process = engine.status_of_process(project.container("tokenbridge"))
    facts = process["Uid"].split()[0], int(process["CapBnd"], 16), process["NoNewPrivs"]
    checks.check("compose.yml: it runs as 10001, without capabilities", facts == ("10001", 0, "1"), facts)
    project.compose("down")
    project.up()
    project.wait_until_ready()
    status, _ = request("GET", f"{BASE_URL}/api-tokens/self", headers={"X-API-Key": json.loads(text)["value"]})
    checks.check("compose.yml: the token is there after down and up", status == 200, status)
    project.compose("down")


def make_images(engine, directory, names):
    """Makes the images of PostgreSQL and nginx, which no registry provides here, from the programs of this machine."""
    root, postgres = directory / "root", find_postgres()
    nginx, setpriv = (shutil.which(name) for name in ("nginx", "setpriv"))
    programs = [*(postgres / name for name in ("postgres", "initdb", "pg_isready")), nginx, setpriv, "/bin/sh"]
    modules = [path for path in (postgres.parent / "lib").glob("*.so") if not path.name.startswith("llvmjit")]
    ldd = subprocess.run(["ldd", *programs, *modules], check=True, text=True, stdout=subprocess.PIPE).stdout
    libraries = sorted(set(re.findall(r"(/\S+) \(0x", ldd)))
    share = [f"/usr/share/postgresql/{postgres.parent.name}", "/usr/share/zoneinfo/UTC"]
    root.mkdir()
    copy = ["cp", "--parents", "--recursive", "--dereference", "--target-directory", root]
    subprocess.run([*copy, *programs, *modules, *libraries, *share], check=True)
    shutil.copy("tests/image/entrypoint", root)
    for path in ("run", "tmp", "var/log/nginx", "var/lib/nginx", "var/lib/postgresql/data", "var/run/postgresql"):
        (root / path).mkdir(parents=True)
    for path in ("var/lib/postgresql/data", "var/run/postgresql"):
        os.chown(root / path, 999, 999)
    (root / "etc/nginx").mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\npostgres:x:999:999::/:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\npostgres:x:999:\n")
    (root / "etc/nginx/nginx.conf").write_text(
        "user root;\nerror_log stderr;\nevents {}\nhttp {\n  access_log off;\n  include /etc/nginx/conf.d/*.conf;\n}\n"
    )
    subprocess.run(["tar", "-C", root, "-cf", directory / "root.tar", "."], check=True)
    changes = [f"ENV PATH={postgres}:/usr/sbin:/usr/bin:/bin", 'ENTRYPOINT ["/entrypoint"]', "STOPSIGNAL SIGINT"]
    options = [option for change in changes for option in ("--change", change)]
    engine.podman("import", "--quiet", *options, directory / "root.tar", names[0])
    for name in names[1:]:
        engine.podman("tag", names[0], name)


def documented_calls():
    """Returns the three calls at the end of the section "Container" of docs/install.md, for the server of this test."""
    _, section = pathlib.Path("docs/install.md").read_text().split("\n## Container\n")
    calls = section.split("```sh\n")[1].split("```")[0]
    return calls.replace("http://127.0.0.1:8086", BASE_URL).replace("admin:admin", f"admin:{ADMIN_PASSWORD}")


class Load:
    """Lists the tokens all the time."""

    def __init__(self):
        self.statuses, self.stopped = collections.Counter(), threading.Event()
        self.thread = threading.Thread(target=self.repeat, daemon=True)
        self.thread.start()

    def repeat(self):
        while not self.stopped.is_set():
            self.statuses[request("GET", f"{BASE_URL}/api-tokens", headers=as_admin(), timeout=30)[0]] += 1

    def answered(self, count):
        """Waits until so many further calls are answered."""
        enough = self.statuses.total() + count
        wait_until("calls are answered", lambda: self.statuses.total() >= enough)

    def stop(self):
        self.stopped.set()
        self.thread.join()


def check_database(checks, engine, directory):
    services = parsed(DATABASE)["services"]
    make_images(engine, directory, [f"localhost/{services[name]['image']}" for name in ("postgres", "nginx")])
    (directory / "container").mkdir()
    shutil.copy("deploy/container/nginx.conf", directory / "container")
    project = Project(engine, directory, DATABASE)
    # podman-compose waits for the health of PostgreSQL, or, before podman 4.6, does not wait.
    project.up("postgres")
    wait_until("PostgreSQL is healthy", lambda: project.is_healthy("postgres"))
    project.up()
    project.wait_until_ready()
    calls = subprocess.run(["sh", "-ec", documented_calls()], text=True, stdout=subprocess.PIPE)
    lines = [json.loads(line) for line in calls.stdout.splitlines() if line]
    names = lines and [lines[0]["name"], *(token["name"] for token in lines[1] + lines[2]["results"])]
    holds = names == ["build agent"] * 3
    checks.check("compose-postgres.yml: the documented calls create and read a token", holds, lines)
    for service in ("one", "two"):
        load = Load()
        load.answered(5)
        project.compose("stop", service)
        load.answered(20)
        status, text = request("POST", f"{BASE_URL}/api-tokens", {"name": f"without {service}"}, as_admin(), timeout=30)
        load.stop()
        statuses = dict(load.statuses)
        print(f"          {load.statuses.total()} calls while {service} stops and afterwards")
        checks.check(f"compose-postgres.yml: no call fails without {service}", statuses.keys() == {200}, statuses)
        checks.check(f"compose-postgres.yml: a token is created without {service}", status == 200, text)
        project.compose("start", service)

        # For 2 s after a failure, nginx sends no requests there.
        def is_asked(service=service):
            request("GET", f"{BASE_URL}/api-tokens", headers=as_admin(), timeout=30)
            return "/api-tokens" in project.log_since_start(service)

        wait_until(f"nginx sends requests to {service} again", is_asked, interval=0.1)
    project.compose("down", "--volumes")


def check(checks, engine, directory):
    print("== compose", flush=True)
    check_files(checks)
    directory = directory / "deploy"
    directory.mkdir()
    check_server(checks, engine, directory)
    check_database(checks, engine, directory)
