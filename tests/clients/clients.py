"""Runs third-party clients against the server at BASE_URL, with the admin ADMIN_USERNAME and ADMIN_PASSWORD.

EXAMPLES (default 15) is how many requests schemathesis makes up for each operation.
"""

import json
import os
import re
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from checks import ADMIN_PASSWORD, ADMIN_USERNAME, BASE_URL, Checks, call, new_token

TOOLS = Path(os.environ.get("TOOLS") or HERE.parent.parent / "target/tools").resolve()
CLIENTS, MCP = TOOLS / "clients/bin", TOOLS / "mcp/bin"
PAT, SCHEMATHESIS = CLIENTS / "pat", CLIENTS / "schemathesis"
addresses = iter(f"192.0.2.{n}" for n in range(1, 255))


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


def metrics():
    check("metrics, read by prometheus-client", [CLIENTS / "python", HERE / "read_metrics.py"])


if __name__ == "__main__":
    EXAMPLES = os.environ.get("EXAMPLES", "15")
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        checks = Checks(scratch, CLIENTS)
        check = checks.check
        for program in (panther_analysis_tool, mcp_panther, gql, challenges, metrics, schemathesis):
            try:
                program()
            except OSError as error:
                checks.fail(program.__name__, error)
    checks.finish()
