"""The checks of a gateway: which requests pass, and what a backend receives."""

import subprocess
import time

from credentials import arrived, refusal
from spellings import IDENTITY, NAME_CHARACTERS, aliases, is_equivalent, of_cgi, tokens_targets
from support import METHODS, SAFE, check, client, header, raw

BODY = b'{"a body": "that only the backend may see"}'


def check_matrix(gateway, credentials):
    for site in gateway.sites:
        for name, headers, query, token in credentials.all:
            problems = []
            for method in METHODS:
                path, body = site.path + query, BODY if method not in SAFE else None
                before = len(site.backend.seen)
                answer = client(site.port, method, path, headers, body)
                reached = site.backend.seen[before:]
                needed = gateway.required(site, method)
                status = gateway.unauthorized(method, headers, token) or (200 if needed <= set(token[1]) else 403)
                if status != 200:
                    found = [*refusal(gateway, answer, status), *(["the backend is reached"] if reached else [])]
                elif answer.status != 200 or len(reached) != 1:
                    found = [f"{answer}, {len(reached)} requests at the backend"]
                else:
                    found = [*arrived(gateway, reached[0], method, path, token, body or b"")]
                    basic = [value for key, value in headers if value.startswith("Basic") and gateway.keeps_basic]
                    if not gateway.keeps_values and header(reached[0], "authorization") != basic:
                        found.append(f"Authorization: {header(reached[0], 'authorization')}")
                problems += [f"{method}: {problem}" for problem in found]
            check(f"{gateway.name}, {site.name}: {name}", problems)


def check_aliases(gateway, credentials, php):
    """No spelling of the identity headers that a client sends reaches a backend, as Python and PHP read it."""
    for character in "-" + NAME_CHARACTERS:
        problems = []
        claims = [(name, "forged") for name in aliases(character)]
        for site in gateway.sites:
            for path in {site.path, "/"} if gateway.forwards_the_rest else {site.path}:
                before = len(site.backend.seen)
                answer = client(
                    site.port, "GET", path, [gateway.credential(credentials.by["both and AlertRead"]), *claims]
                )
                reached = site.backend.seen[before:]
                if len(reached) != (answer.status == 200):
                    problems.append(f"{path}: {answer}, {len(reached)} requests at the backend")
                if answer.status not in gateway.alias_statuses(character):
                    problems.append(f"{path}: {answer}")
                for seen in reached:
                    problems += [f"{path}: {name}" for name, value in seen["headers"] if "forged" in value]
                    variables = php.variables(seen["headers"])
                    problems += [f"{path}: PHP reads {name}" for name, value in variables.items() if "forged" in value]
                    for name in IDENTITY:
                        values = [value for other, value in seen["headers"] if of_cgi(other) == of_cgi(name)]
                        if len(values) > 1 or values and variables.get(of_cgi(name)) != values[0]:
                            problems.append(f"{path}: {name} is {values}, PHP reads {variables.get(of_cgi(name))}")
        check(f"{gateway.name}: X{character}Token{character}Id does not reach the backend", problems)


def check_tokens_targets(gateway, tokenbridge, credentials):
    """tokenbridge serves the tokens API at Bamboo's address, and responds with 404 to every other spelling."""
    site, problems, count = gateway.bamboo, [], 0
    for path in (
        "/rest/agent-config/1.0/tokens",
        "/rest/agent/1.0/tokens/",
        "/rest/agent-config/latest/tokens",
        "/rest/agent/latest/tokens.json",
    ):
        answer = client(site.port, "GET", path, [tokenbridge.basic])
        problems += [f"{path}: {answer}"] if answer.status != 200 or b'"uuid"' not in answer.body else []
        answer = client(site.port, "GET", path)
        problems += [f"{path}: {answer}"] if answer.status != 401 else []
    # The gate would let these credentials pass.
    head = f"{tokenbridge.basic[0]}: {tokenbridge.basic[1]}\r\nX-API-Key: {credentials.by['both']}\r\n"
    for target in tokens_targets(credentials.by["uuid read"]):
        count += 1
        before = len(site.backend.seen)
        got = raw(
            site.port,
            f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}Connection: close\r\n\r\n".encode("latin-1"),
            silence=10,
        )
        status, own = got[9:12], b"\r\nx-request-id: " in got.lower()
        problems += [f"{target}: reaches Bamboo as {seen['path']}" for seen in site.backend.seen[before:]]
        is_served = status == b"200" and is_equivalent(target)
        # The gateway itself refuses what is no URI.
        if not is_served and not (status == b"404" and own) and status != b"400":
            problems.append(f"{target}: {got[:300]}")
    check(f"{gateway.name}: {count} spellings of the tokens paths stay with tokenbridge", problems)


def check_bodies(gateway, credentials):
    """Bodies of any kind reach the backend whole."""
    site, problems, large = gateway.sites[0], [], BODY * 80000
    name, value = gateway.credential(credentials.by["all"])
    head = f"POST {site.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{name}: {value}\r\nConnection: close\r\n".encode()
    for name, data, body in (
        ("in chunks", head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY), BODY),
        ("large", head + b"Content-Length: %d\r\n\r\n%s" % (len(large), large), large),
        ("none", head + b"Content-Length: 0\r\n\r\n", b""),
    ):
        before = len(site.backend.seen)
        got = raw(site.port, data, silence=10)
        if b" 200 " not in got[:16] or [seen["body"] for seen in site.backend.seen[before:]] != [body]:
            problems.append(f"{name}: {got[:100]}")
    check(f"{gateway.name}: bodies reach the backend whole", problems)


def check_sourcing(gateway, statuses, headers=(), method="GET"):
    """Responses have no body, because scripts execute it."""
    directory = gateway.home
    target = directory / "answer"
    for status in statuses:
        target.write_bytes(b"touch never")
        arguments = [part for name, value in headers for part in ("-H", f"{name}: {value}")]
        told = subprocess.run(
            [
                "curl",
                "-s",
                "-X",
                method,
                "-o",
                str(target),
                "-w",
                "%{http_code}",
                *arguments,
                f"http://127.0.0.1:{gateway.bamboo.port}{gateway.bamboo.path}/text?uuid=%60touch%20sourced%60",
            ],
            capture_output=True,
            text=True,
            cwd=directory,
            check=False,
        ).stdout
        ran = subprocess.run(["bash", "-ec", "source ./answer"], capture_output=True, cwd=directory, check=False)
        check(
            f"{gateway.name}: a sourced {status} runs nothing",
            [f"{told}: {target.read_bytes()[:200]} {ran}"]
            if told != str(status)
            or ran.returncode
            or ran.stdout
            or ran.stderr
            or target.read_bytes()
            or (directory / "sourced").exists()
            else [],
        )


def check_closed(gateway, credentials, what, statuses=range(500, 600), may_have_body=False):
    """No request passes, regardless of its credential."""
    problems = []
    for site in gateway.sites:
        for headers, query in (
            ([], ""),
            ([gateway.credential(credentials.by["all"])], ""),
            ([], f"?uuid={credentials.by['uuid both']}"),
        ):
            for method in ("GET", "POST"):
                before = len(site.backend.seen)
                answer = client(site.port, method, site.path + query, headers, b"{}" if method == "POST" else None)
                if (
                    answer.status not in gateway.closed_statuses(statuses)
                    or answer.body.strip()
                    and not (may_have_body or gateway.has_error_pages)
                ):
                    problems.append(f"{site.name} {method}: {answer}")
                if len(site.backend.seen) > before:
                    problems.append(f"{site.name} {method}: the backend is reached")
    check(f"{gateway.name}: {what}", problems)


def check_open(gateway, credentials, what):
    def once():
        site = gateway.sites[0]
        return client(site.port, "POST", site.path, [gateway.credential(credentials.by["all"])], b"{}").status

    status = once()
    until = time.monotonic() + 15
    while status != 200 and time.monotonic() < until:
        time.sleep(0.1)
        status = once()
    check(f"{gateway.name}: {what}", [status] if status != 200 else [])


def check_keep_alive(gateway, credentials):
    """Persistent connections: hundreds of requests, and few connections to tokenbridge."""
    site, before, count = gateway.sites[0], gateway.tap.connections, 400
    for _ in range(count):
        client(site.port, "GET", site.path, [("X-API-Key", credentials.by["both and AlertRead"])])
    made = gateway.tap.connections - before
    check(f"{gateway.name}: {count} requests, {made} new connections to tokenbridge", [made] if made > 8 else [])
