"""Runs third-party clients against the server at BASE_URL, with the admin ADMIN_USERNAME and ADMIN_PASSWORD.

EXAMPLES (default 15) is how many requests schemathesis makes up for each operation.
"""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLS = Path(os.environ.get("TOOLS") or HERE.parent.parent / "target/tools").resolve()
CLIENTS, MCP = TOOLS / "clients/bin", TOOLS / "mcp/bin"
PAT, SCHEMATHESIS, GENERATOR = CLIENTS / "pat", CLIENTS / "schemathesis", CLIENTS / "openapi-python-client"
REDOCLY = TOOLS / "node_modules/.bin/redocly"

passed = failed = 0
addresses = iter(f"192.0.2.{n}" for n in range(1, 255))


def call(method, path, body=None, key=None):
    """Sends a request with the key or as the admin, and returns the JSON of the response."""
    request = urllib.request.Request(BASE_URL + path, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if key:
        request.add_header("X-API-Key", key)
    else:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{ADMIN_USERNAME}:{ADMIN_PASSWORD}".encode()).decode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def new_token(name, permissions=("OrganizationAPITokenModify", "OrganizationAPITokenRead")):
    return call("POST", "/api-tokens", {"name": name, "permissions": permissions})


def check(name, command, status=0, says=(), seconds=60, env=()):
    """Runs a command, prints its output, and checks its exit code and that the output contains the texts."""
    global passed, failed
    print(f"== {name}", flush=True)
    began = time.monotonic()
    surroundings = {"PATH": f"{CLIENTS}:{os.environ['PATH']}", "HOME": str(scratch), "LANG": "C.UTF-8", "NO_PROXY": "*", "PYTHONDONTWRITEBYTECODE": "1", "BASE_URL": BASE_URL}
    try:
        done = subprocess.run(
            list(map(str, command)), cwd=scratch, env=surroundings | dict(env), text=True, errors="replace", timeout=seconds,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        got, said = done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        got, said = f"none within {seconds} s", (error.stdout or b"").decode(errors="replace")
    print(said.rstrip())
    missing = [text for text in says if text not in said]
    took = f"({time.monotonic() - began:.1f} s)"
    if got == status and not missing:
        passed += 1
        print(f"ok      {name} {took}", flush=True)
    else:
        failed += 1
        print(f"FAILED  {name} {took}: exit code {got}, expected {status}" + "".join(f"; the output lacks {t!r}" for t in missing), flush=True)


def panther_analysis_tool():
    def connect(value):
        return [PAT, "--skip-version-check", "check-connection", "--api-token", value, "--api-host", f"{BASE_URL}/public/graphql"]

    old = new_token("pat")["value"]
    check("pat check-connection", connect(old), says=["connection successful"])
    new = call("POST", "/api-tokens/self/rotate", key=old)["value"]
    check("pat check-connection, the value before the rotation", connect(old), status=1, says=["the API key is not valid"])
    check("pat check-connection, the value after the rotation", connect(new), says=["connection successful"])


def mcp_panther():
    # mcp-panther's names of the permissions OrganizationAPITokenRead and RuleRead.
    titles = ["Read API Token Info", "View Rules"]
    value = new_token("mcp-panther", ["OrganizationAPITokenRead", "RuleRead"])["value"]
    check("mcp-panther get_permissions, then a rotation", [MCP / "python", HERE / "use_mcp.py", *titles], env={"TOKEN": value})
    check("mcp-panther, the value before the rotation", [MCP / "python", HERE / "use_mcp.py"], status=1, says=["the API key is not valid"], env={"TOKEN": value})


def gql():
    check("gql: schema, version, rotation", [CLIENTS / "python", HERE / "use_gql.py"], env={"TOKEN": new_token("gql")["value"]})


def challenges():
    """Programs that send credentials only when a response asks for them."""
    url = f"{BASE_URL}/api-tokens?limit=1"
    check("curl --anyauth", ["curl", "-sSf", "--anyauth", "--user", f"{ADMIN_USERNAME}:{ADMIN_PASSWORD}", url], says=['"results"'])
    check("wget", ["wget", "-qO-", f"--user={ADMIN_USERNAME}", f"--password={ADMIN_PASSWORD}", url], says=['"results"'])
    admin = {"ADMIN_USERNAME": ADMIN_USERNAME, "ADMIN_PASSWORD": ADMIN_PASSWORD}
    check("urllib, Basic and Digest", [sys.executable, HERE / "use_challenges.py"], says=["/api-tokens 200", "/introspect 200"], env=admin)


def schemathesis():
    paths = call("GET", "/openapi.json")["paths"]
    # Without self and its ID: the requests would change, rotate, or delete the token that authenticates them.
    token = new_token("schemathesis")
    by_key = {"ApiKeyAuth": {"api_key": token["value"]}}
    by_basic = {"BasicAuth": {"username": ADMIN_USERNAME, "password": ADMIN_PASSWORD}}
    schemathesis_run("/api-tokens, API key", by_key, "^/api-tokens(?!/self)", {"KEEP": token["id"]})
    schemathesis_run("/api-tokens, Basic", by_basic, "^/api-tokens(?!/self)")
    for prefix in sorted({path.split("/tokens")[0] for path in paths if path.startswith("/rest/")}):
        schemathesis_run(prefix, by_basic, f"^{re.escape(prefix)}/")
    # The requests with Basic may have changed the first token.
    by_key = {"ApiKeyAuth": {"api_key": new_token("schemathesis")["value"]}}
    schemathesis_run("all other paths", by_key | by_basic, "^/(?!(api-tokens|rest)(/|$))")


def schemathesis_run(name, auth, paths, env=()):
    config = scratch / "schemathesis.toml"
    hooks = json.dumps(str(HERE / "schemathesis_hooks.py"))
    lines = [f"hooks = {hooks}", "[generation]", 'database = "none"']
    # A run with only 401 and 429 has tested nothing.
    lines += ["[warnings]", 'fail-on = ["missing_auth", "rate_limited", "unused_openapi_auth"]']
    for scheme, fields in auth.items():
        lines += [f"[auth.openapi.{scheme}]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items())]
    config.write_text("\n".join(lines) + "\n")
    check(
        f"schemathesis, {name}",
        [
            SCHEMATHESIS, "--no-color", "--config-file", config, "run", f"{BASE_URL}/openapi.json",
            "--include-path-regex", paths, "--checks", "all", "--phases", "examples,coverage,fuzzing,stateful",
            "--max-examples", EXAMPLES, "--seed", "1", "--request-timeout", "10", "--continue-on-failure",
            "-H", f"X-Forwarded-For: {next(addresses)}",
        ],
        seconds=300, env=env,
    )  # fmt: skip


def redocly():
    # Telemetry and the update check would send requests to other hosts.
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    document = scratch / "openapi.json"
    document.write_text(json.dumps(call("GET", "/openapi.json")))
    check("redocly lint", [REDOCLY, "lint", "--config", HERE / "redocly.yaml", "--format", "stylish", document], env=quiet)


def generated_client():
    generate = [GENERATOR, "generate", "--url", f"{BASE_URL}/openapi.json", "--meta", "none", "--fail-on-warning", "--output-path", "generated"]
    check("openapi-python-client generate", generate)
    check("the generated client", [CLIENTS / "python", HERE / "use_generated.py", scratch], env={"TOKEN": new_token("generated")["value"]})


def metrics():
    check("metrics, read by prometheus-client", [CLIENTS / "python", HERE / "read_metrics.py"])


if __name__ == "__main__":
    BASE_URL = os.environ["BASE_URL"]
    ADMIN_USERNAME, ADMIN_PASSWORD = os.environ["ADMIN_USERNAME"], os.environ["ADMIN_PASSWORD"]
    EXAMPLES = os.environ.get("EXAMPLES", "15")
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        for program in (panther_analysis_tool, mcp_panther, gql, challenges, redocly, generated_client, metrics, schemathesis):
            try:
                program()
            except OSError as error:
                failed += 1
                print(f"FAILED  {program.__name__}: {error}", flush=True)
    print(f"\n{passed} passed, {failed} failed")
    sys.exit(failed > 0)
