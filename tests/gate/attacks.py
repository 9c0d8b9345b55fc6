"""Raw requests without a valid credential. None may reach a protected path of a backend."""

import base64

from spellings import is_gated
from support import ALERT, check, raw

PATH = "/rest/agents/1.0/7/state"


def line(method, target, version="HTTP/1.1"):
    return f"{method} {target} {version}\r\n".encode("latin-1")


def targets(uuid, reads_uuid):
    """Request targets that a server could take for a protected path, or for one with a uuid."""
    return [
        "//rest/agents/1.0/7/state",
        "/rest//agents/1.0/7/state",
        "/%72est/agents/1.0/7/state",
        "/rest/%61gents/1.0/7/state",
        "/rest%2fagents/1.0/7/state",
        "/rest%2Fagents%2F1.0/7",
        "/rest/agents%2f1.0/7",
        "/%2frest/agents/1.0/7",
        "/./rest/agents/1.0/7",
        "/x/../rest/agents/1.0/7",
        "/x/%2e%2e/rest/agents/1.0/7",
        "/rest/./agents/1.0/7",
        "/rest/x/../agents/1.0/7",
        "/rest;x=1/agents/1.0/7",
        "/rest/agents;x=1/1.0/7",
        "/rest/;/agents/1.0/7",
        "/;/rest/agents/1.0/7",
        "/rest/x/..;/agents/1.0/7",
        "/rest/x/..;y/agents/1.0/7",
        "/rest/.;/agents/1.0/7",
        "/rest%3bx/agents/1.0/7",
        "/rest\\agents\\1.0\\7",
        "/rest%5cagents/1.0/7",
        "\\rest\\agents\\1.0",
        "/REST/AGENTS/1.0/7",
        "/rest/Agent/1.0/7",
        "/rest/agent/1.0/7",
        "/rest/agent/latest/7/enable",
        "/rest/agents",
        "/rest/agents/",
        "/rest/agents?x",
        "/bamboo/rest/agents/1.0/7",
        "/rest/agents/1.0/7%3fuuid=" + uuid,
        "/rest/agents/1.0/7%00",
        "/rest/agents/1.0/7#?uuid=" + uuid,
        "/rest/agents/1.0/7;uuid=" + uuid,
        "/rest/agents/1.0/7&uuid=" + uuid,
        "/rest/agents/1.0/7?UUID=" + uuid,
        "/rest/agents/1.0/7?uuid%3d" + uuid,
        "/rest/agents/1.0/7?a=1;uuid=" + uuid,
        "/rest/agents/1.0/7?uuid[]=" + uuid,
        "/rest/agents/1.0/7?uuid=" + uuid[:-1],
        f"/rest/agents/1.0/7?uuid={uuid}&uuid={reads_uuid}",
        f"/rest/agents/1.0/7?uuid={reads_uuid}&%75uid={uuid}",
        f"/rest/agents/1.0/7?uuid=&uuid={uuid}",
        f"/rest/agents/1.0/7?uuid={uuid}%00",
        f"/rest/agents/1.0/7?uuid=%20{uuid}",
        f"/rest/agents/1.0/7?%ff&uuid={uuid}x",
        "/.tokenbridge-verify",
        "/.tokenbridge-nothing",
        "/verify",
        "/rest/agents/1.0/../../../rest/agents/1.0/7",
        "/rest/agents/1.0/7?require=AlertRead",
        "/rest/%2561gents/1.0/7",
        "/rest/agents\t/1.0",
        "/rest/a%67ents%2f..%2fagents/1.0/7",
        "/x#/../rest/agents/1.0/7",
        "/x%23/../rest/agents/1.0/7",
        "/rest/agents%2f..%2f..%2fx",
        "/rest/agents/1.0/7#",
        "/x?/../rest/agents/1.0/7",
        "/rest/agents%20/1.0",
        "*",
    ]


def requests(credentials):
    """The attacks, each with its name."""
    reads, uuid, reads_uuid = credentials.by["read"], credentials.by["uuid both"], credentials.by["uuid read"]
    only_alert = credentials.by["none and AlertRead"]
    end = b"Host: 127.0.0.1\r\nConnection: close\r\n\r\n"
    everything = [
        (f"{method} {path}", line(method, path) + end)
        for path in targets(uuid, reads_uuid)
        for method in ("GET", "POST", "HEAD", "OPTIONS")
    ]
    form = f"uuid={uuid}".encode()
    key = f"X-API-Key: {reads}\r\n".encode()
    alert = f"X-API-Key: {only_alert}\r\n".encode()
    good = f"Host: 127.0.0.1\r\nX-API-Key: {credentials.by['both']}\r\n".encode()
    smuggled = line("PUT", PATH) + b"Host: 127.0.0.1\r\n\r\n"
    everything += [
        ("absolute form", line("GET", f"http://127.0.0.1{PATH}") + end),
        ("absolute form, another host", line("GET", f"http://other.example{PATH}") + end),
        ("absolute form with a uuid in its authority", line("GET", f"http://x?uuid={uuid}@127.0.0.1{PATH}") + end),
        ("another Host", line("GET", PATH) + b"Host: other.example\r\nConnection: close\r\n\r\n"),
        ("HTTP/1.0", line("GET", PATH, "HTTP/1.0") + b"\r\n"),
        ("HTTP/1.0 with Host", line("GET", PATH, "HTTP/1.0") + b"Host: 127.0.0.1\r\n\r\n"),
        ("HTTP/0.9", f"GET {PATH}\r\n".encode()),
        ("HTTP/2 by prior knowledge", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"),
        ("no Host", line("GET", PATH) + b"\r\n"),
        ("CONNECT", line("CONNECT", "127.0.0.1:80") + end),
        ("TRACE", line("TRACE", PATH) + key + end),
        ("an unknown method that a reader sends", line("PROPFIND", PATH) + key + end),
        ("a method in lower case that a reader sends", line("put", PATH) + key + end),
        ("a query that chooses the permission", line("PUT", PATH + "?require=AlertRead") + alert + end),
        (
            "a query that chooses the permission, twice",
            line("GET", PATH + "?require=AlertRead&require=AlertRead") + alert + end,
        ),
        *(
            (
                f"a query that chooses the permission, on {target}",
                line(method, target + "?require=AlertRead") + alert + end,
            )
            for target in (
                "",
                "/",
                "//",
                "/.",
                "*",
                "http://127.0.0.1",
                "http://127.0.0.1/",
                "http://127.0.0.1//",
                "/verify",
                "/../verify",
            )
            for method in ("GET", "PUT")
        ),
        (
            "uuid in a form",
            line("POST", PATH)
            + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n" % len(form)
            + end
            + form,
        ),
        ("uuid in a cookie", line("GET", PATH) + f"Cookie: uuid={uuid}\r\n".encode() + end),
        ("two API keys, the wrong one first", line("PUT", PATH) + b"X-API-Key: wrong\r\n" + key + end),
        (
            "two API keys, the reader's first",
            line("PUT", PATH) + key + b"X-API-Key: " + credentials.by["both"].encode() + b"\r\n" + end,
        ),
        (
            "two bearers, the reader's first",
            line("PUT", PATH)
            + f"Authorization: Bearer {reads}\r\nAuthorization: Bearer {credentials.by['both']}\r\n".encode()
            + end,
        ),
        ("X_API_KEY", line("GET", PATH) + f"X_API_KEY: {reads}\r\n".encode() + end),
        ("X-API-Key with a space before the colon", line("GET", PATH) + f"X-API-Key : {reads}\r\n".encode() + end),
        ("X-API-Key on a folded line", line("GET", PATH) + f"X-A: b\r\n X-API-Key: {reads}\r\n".encode() + end),
        (
            "X-API-Key after a line feed alone in a value",
            line("GET", PATH) + f"X-A: b\rX-API-Key: {reads}\r\n".encode() + end,
        ),
        (
            "the value as a Basic password",
            line("GET", PATH) + b"Authorization: Basic " + base64.b64encode(f"x:{reads}".encode()) + b"\r\n" + end,
        ),
        ("the admin of tokenbridge", line("GET", PATH) + b"Authorization: Basic " + credentials.admin + b"\r\n" + end),
        (
            "a Connection header that takes the credential's place",
            line("PUT", PATH) + key + b"Connection: X-Forwarded-Method, X-Original-Method\r\nHost: 127.0.0.1\r\n\r\n",
        ),
        (
            "h2c upgrade",
            line("PUT", PATH)
            + b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            + b"Host: 127.0.0.1\r\n\r\n",
        ),
        (
            "WebSocket",
            line("GET", PATH)
            + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            + b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nHost: 127.0.0.1\r\n\r\n",
        ),
        ("Expect: 100-continue", line("PUT", PATH) + key + b"Expect: 100-continue\r\nContent-Length: 4\r\n" + end),
        ("a header of 20000 characters", line("GET", PATH) + b"X-Long: " + b"x" * 20000 + b"\r\n" + end),
        ("a query of 7000 characters", line("GET", PATH + "?a=" + "x" * 7000) + end),
        ("two requests at once", line("GET", "/") + b"Host: 127.0.0.1\r\n\r\n" + smuggled),
        (
            "smuggled: two lengths",
            line("POST", "/x") + good + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(smuggled) + smuggled,
        ),
        (
            "smuggled: length and chunks",
            line("POST", "/x")
            + good
            + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (len(smuggled) + 5)
            + smuggled,
        ),
        (
            "smuggled: unknown coding",
            line("POST", "/x")
            + good
            + b"Transfer-Encoding: xchunked\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
            + smuggled,
        ),
        (
            "smuggled: space before the colon",
            line("POST", "/x")
            + good
            + b"Transfer-Encoding : chunked\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
            + smuggled,
        ),
        (
            "smuggled: body of a GET",
            line("GET", "/x") + good + b"Content-Length: %d\r\n\r\n" % len(smuggled) + smuggled,
        ),
        (
            "smuggled: body of a GET to the gate",
            line("GET", PATH) + b"Host: 127.0.0.1\r\n" + key + b"Content-Length: %d\r\n\r\n" % len(smuggled) + smuggled,
        ),
    ]
    return everything


def attack(site, name, data, is_protected):
    """The problems of an attack: requests that reach a protected path of the backend."""
    before = len(site.backend.seen)
    got = raw(site.port, data)
    for seen in site.backend.seen[before:]:
        # The request itself may pass, but not the one in its body.
        is_carrier = name == "smuggled: body of a GET to the gate" and seen["method"] == "GET"
        if is_protected(seen["path"]) and not is_carrier:
            yield f"{name}: {seen['method']} {seen['path']} {seen['headers']}"
    if b" 101 " in got[:20]:
        yield f"{name}: upgraded"


def check_attacks(gateway, credentials):
    everything = [
        (name, data)
        for name, data in requests(credentials)
        if not gateway.splits_at_semicolons or b"?a=1;uuid=" not in data
    ]
    if gateway.protects_bamboo:
        check(
            f"{gateway.name}: {len(everything)} attacks on bamboo",
            [problem for name, data in everything for problem in attack(gateway.bamboo, name, data, is_gated)],
        )
    passing = ["none and AlertRead"] if gateway.required(gateway.service, "GET") == {ALERT} else ["read", "both"]
    # What a credential allows, may pass.
    others = [
        (name, data)
        for name, data in everything
        if not name.startswith("smuggled") and not any(credentials.by[one].encode() in data for one in passing)
    ]
    check(
        f"{gateway.name}: {len(others)} attacks on the service",
        [problem for name, data in others for problem in attack(gateway.service, name, data, lambda path: True)],
    )
