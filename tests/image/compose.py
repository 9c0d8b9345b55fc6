"""deploy/compose.yml and deploy/compose-postgres.yml: valid files, and the former run by podman-compose."""

import json
import pathlib

import yaml

from support import ADMIN_PASSWORD, OPEN_FILES, as_admin, request, wait_until

PORT = 24811
BASE_URL = f"http://127.0.0.1:{PORT}"


def check_files(checks):
    from compose_spec import ComposeSpecification

    for file in ("compose.yml", "compose-postgres.yml"):
        text = pathlib.Path("deploy", file).read_text()
        try:
            ComposeSpecification.model_validate(yaml.safe_load(text), extra="forbid")
            invalid = None
        except ValueError as error:
            invalid = error
        checks.check(f"{file} is valid", invalid is None, invalid)


def check_services(checks, engine, directory):
    # Only the port and the quotas differ: podman asks for more processes than root may have on some machines.
    project = directory / "deploy"
    project.mkdir()
    text = pathlib.Path("deploy/compose.yml").read_text()
    text = text.replace("127.0.0.1:8086:", f"127.0.0.1:{PORT}:")
    text = text.replace("nofile: 16384", f"nofile: {OPEN_FILES}\n      nproc: 4096")
    (project / "compose.yml").write_text(text)

    def compose(*arguments):
        engine.environment["TOKENBRIDGE_ADMIN_PASSWORD"] = ADMIN_PASSWORD
        engine.run("podman-compose", "--file", project / "compose.yml", *arguments)

    def up():
        compose("up", "--detach", "--no-build")
        wait_until("the service is ready", lambda: request("GET", f"{BASE_URL}/readyz")[0] == 200)

    up()
    status, text = request("POST", f"{BASE_URL}/api-tokens", {"name": "kept"}, as_admin())
    checks.check("compose.yml: the service creates a token", status == 200, text)
    container = engine.podman("ps", "--quiet")
    process = engine.status_of_process(container)
    facts = process["Uid"].split()[0], int(process["CapBnd"], 16), process["NoNewPrivs"]
    checks.check("compose.yml: it runs as 10001, without capabilities", facts == ("10001", 0, "1"), facts)
    compose("down")
    up()
    status, _ = request("GET", f"{BASE_URL}/api-tokens/self", headers={"X-API-Key": json.loads(text)["value"]})
    checks.check("compose.yml: the token is there after down and up", status == 200, status)
    compose("down")


def check(checks, engine, directory):
    print("== deploy/compose.yml", flush=True)
    check_files(checks)
    check_services(checks, engine, directory)
