"""Containers with the storage and the networks of this test alone, and its checks."""

import base64
import contextlib
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

ADMIN_PASSWORD = os.urandom(16).hex()

# Quotas of the machine can be lower than the defaults of podman, which then starts nothing.
OPEN_FILES = min(16384, resource.getrlimit(resource.RLIMIT_NOFILE)[1])

STORAGE = """
[storage]
driver = "overlay"
graphroot = "{directory}/storage"
runroot = "{directory}/run"
"""
CONTAINERS = """
[containers]
default_ulimits = ["nofile={open_files}:{open_files}", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
tmp_dir = "{directory}/tmp"
[network]
network_backend = "netavark"
network_config_dir = "{directory}/networks"
"""


class Checks:
    passed = failed = 0

    def check(self, name, holds, found=None):
        """Counts a check, and prints it; what was found if it does not hold."""
        self.passed += bool(holds)
        self.failed += not holds
        print(
            f"{'ok    ' if holds else 'FAILED'}  {name}" + ("" if holds or found is None else f": {found}"), flush=True
        )

    def finish(self):
        print(f"\n{self.passed} passed, {self.failed} failed")
        sys.exit(self.failed > 0)


# A file for each network, and one with the process ID.
NAME_SERVER = pathlib.Path("/run/containers/networks/aardvark-dns")


def find_name_server():
    """Returns the process ID of podman's name server; `None` if it does not run."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        process = int((NAME_SERVER / "aardvark.pid").read_text())
        os.kill(process, 0)
        return process


class Engine:
    """podman and buildah."""

    def __init__(self, directory):
        self.log, self.name_server = (directory / "commands.log").open("w"), find_name_server()
        for name, text in (("storage.conf", STORAGE), ("containers.conf", CONTAINERS)):
            (directory / name).write_text(text.format(directory=directory, open_files=OPEN_FILES))
        self.environment = os.environ | {
            "CONTAINERS_STORAGE_CONF": str(directory / "storage.conf"),
            "CONTAINERS_CONF": str(directory / "containers.conf"),
        }  # fmt: skip

    def run(self, *command, status=0, **options):
        """Runs a command and returns its output.

        Where there is no systemd, podman reports on standard error that it cannot start timers for health checks. This
        test runs them itself.
        """
        self.log.write(f"+ {' '.join(map(str, command))}\n")
        done = subprocess.run(
            list(map(str, command)), env=self.environment, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, **options,
        )  # fmt: skip
        self.log.write(done.stderr)
        self.log.flush()
        if done.returncode != status:
            raise RuntimeError(f"{command} exited with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def podman(self, *arguments, **options):
        return self.run("podman", *arguments, **options)

    def inspect(self, name, template):
        return self.podman("inspect", "--format", template, name)

    def address(self, container, network):
        return json.loads(self.inspect(container, "{{json .NetworkSettings.Networks}}"))[network]["IPAddress"]

    def status_of_process(self, container):
        """Returns /proc/PID/status as a dictionary."""
        text = pathlib.Path(f"/proc/{self.inspect(container, '{{.State.Pid}}')}/status").read_text()
        return {key: value.strip() for key, value in (line.split(":", 1) for line in text.splitlines())}

    def clean_up(self):
        with contextlib.suppress(RuntimeError):
            self.podman("rm", "--force", "--all", "--depend", "--time", "0")
        with contextlib.suppress(RuntimeError):
            self.podman("network", "prune", "--force")
        # podman can leave its name server behind. Other networks of this machine may use it.
        name_server = find_name_server()
        if name_server != self.name_server and list(NAME_SERVER.iterdir()) == [NAME_SERVER / "aardvark.pid"]:
            os.kill(name_server, signal.SIGTERM)
        self.log.close()


def find_postgres():
    """Returns the directory of the programs of the newest PostgreSQL."""
    return max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


def request(method, url, body=None, headers=(), timeout=10):
    """Returns the status and the text of a response; 0 if there is none."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, method=method, data=data, headers=dict(headers))
    try:
        with urllib.request.urlopen(asked, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def as_admin():
    """Returns the headers of a JSON request of the admin."""
    credentials = base64.b64encode(f"admin:{ADMIN_PASSWORD}".encode()).decode()
    return {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}


def wait_until(what, done, seconds=60, interval=0.005):
    """Waits until `done` returns a true value, and returns it."""
    deadline = time.monotonic() + seconds
    while not (found := done()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"this did not happen within {seconds} s: {what}")
        time.sleep(interval)
    return found
