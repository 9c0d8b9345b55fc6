"""Runs third-party clients against the server at BASE_URL, with the admin ADMIN_USERNAME and ADMIN_PASSWORD.

EXAMPLES (default 15) is how many requests schemathesis makes up for each operation.
"""

import json
import os
import re
import sys
import tempfile
import urllib.error
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from checks import ADMIN_PASSWORD, ADMIN_USERNAME, BASE_URL, Checks, call, new_token

TOOLS = Path(os.environ.get("TOOLS") or HERE.parent.parent / "target/tools").resolve()
ROOT = HERE.parent.parent
CLIENTS, MCP, OPERATORS = TOOLS / "clients/bin", TOOLS / "mcp/bin", TOOLS / "operators/bin"
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


class Ansible:
    """The playbook of deploy/ansible, with the tokens that a test declares."""

    def __init__(self):
        held = ["OrganizationAPITokenModify", "OrganizationAPITokenRead", "AlertRead"]
        self.key = new_token("runs Ansible", held)["value"]
        self.values = scratch / "values"

    def run(self, name, tokens, says, status=0):
        """Runs the playbook, which must not print a value even with -vvv."""
        declared = {"tokenbridge_url": BASE_URL, "tokens_directory": str(self.values), "tokens": tokens}
        env = {"TOKENBRIDGE_API_KEY": self.key, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "false"}
        command = [OPERATORS / "ansible-playbook", "-vvv", "-e", json.dumps(declared), ROOT / "deploy/ansible/tokens.yml"]
        check(f"Ansible: {name}", command, status, says=says, seconds=600, env=env, hides=["tbk_"])

    def value(self, name):
        return (self.values / name).read_text()


def ansible():
    playbook = Ansible()
    call("POST", "/api-tokens", {"name": "of another owner", "owner": "another owner"})
    agents = {"name": "agents", "permissions": ["OrganizationAPITokenRead"], "allowed_cidr_blocks": ["127.0.0.1/8", "10.1.2.3/8"]}
    reports = {"name": "reports", "permissions": ["AlertRead"], "description": "Reads alerts"}

    playbook.run("the first run creates", [agents, reports], ["failed=0", "changed=5 "])
    first = playbook.value("agents")
    ids = {name: call("GET", "/api-tokens/self", key=playbook.value(name))["id"] for name in ("agents", "reports")}
    playbook.run("the second run changes nothing", [agents, reports], ["failed=0", "changed=0 "])

    call("POST", f"/api-tokens/{ids['reports']}", {"description": "changed by hand", "disabled": True})
    playbook.run("a token that was changed by hand is as declared again", [agents, reports], ["failed=0", "changed=1 "])
    restored = call("GET", f"/api-tokens/{ids['reports']}")
    expect("the description and the state are restored", restored["description"] == "Reads alerts" and "disabledAt" not in restored)

    playbook.run("not yet due", [agents | {"rotate_after_days": 1}, reports], ["failed=0", "changed=0 "])
    playbook.run("a rotation that is due", [agents | {"rotate_after_days": 0}, reports], ["failed=0", "changed=2 "])
    expect("the file has the new value", call("GET", "/api-tokens/self", key=playbook.value("agents"))["id"] == ids["agents"])
    expect("the earlier value is in its grace period", playbook.value("agents") != first and is_valid(first))

    (playbook.values / "agents").unlink()
    playbook.run("a lost file", [agents, reports], ["failed=0", "changed=2 "])

    value = playbook.value("reports")
    playbook.run("the declaration of a token is removed", [agents], ["failed=0", "changed=2 "])
    expect("its value is revoked, and its file deleted", not is_valid(value) and not (playbook.values / "reports").exists())
    left = {token["name"] for token in call("GET", "/api-tokens?limit=1000")["results"]}
    expect("other tokens stay", {"agents", "of another owner", "runs Ansible"} <= left)

    excessive = {"name": "excessive", "permissions": ["UserModify"]}
    playbook.run("a refusal is explained", [agents, excessive], ["a token can grant only permissions that it holds"], status=2)


def secret_scanners():
    values = " ".join(new_token(f"leaked {number}")["value"] for number in range(5))
    scan = [OPERATORS / "python", HERE / "use_scanners.py", ROOT / "deploy/secret-scanning"]
    path = f"{OPERATORS}:{os.environ['PATH']}"
    check("gitleaks and detect-secrets find values, and nothing else", scan, env={"VALUES": values, "PATH": path}, hides=["tbk_"])
    expect("the values that were found are revoked", not any(map(is_valid, values.split())))


def is_valid(value):
    try:
        return bool(call("GET", "/api-tokens/self", key=value))
    except urllib.error.HTTPError as refused:
        assert refused.code == 401, refused
        return False


def metrics():
    check("metrics, read by prometheus-client", [CLIENTS / "python", HERE / "read_metrics.py"])


if __name__ == "__main__":
    EXAMPLES = os.environ.get("EXAMPLES", "15")
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        checks = Checks(scratch, CLIENTS)
        check, expect = checks.check, checks.expect
        programs = (panther_analysis_tool, mcp_panther, gql, challenges, metrics, ansible, secret_scanners, schemathesis)
        wanted = sys.argv[1:]
        for program in (program for program in programs if not wanted or program.__name__ in wanted):
            try:
                program()
            except OSError as error:
                checks.fail(program.__name__, error)
    checks.finish()
