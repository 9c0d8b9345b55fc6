"""Starts tokenbridge and the gateways of deploy/ in front of recording backends, and checks which requests pass.

matrix.py PROGRAM DIRECTORY [GATEWAY…], in the repository. The gateways are checked side by side. The last line is
"N passed, M failed". Standard library only.
"""

import re
import signal
import sys
import threading
import traceback

from attacks import check_attacks
from checks import (
    check_aliases,
    check_bodies,
    check_closed,
    check_keep_alive,
    check_matrix,
    check_open,
    check_sourcing,
    check_tokens_targets,
)
from credentials import Credentials
from forgery import check_forgery
from gateways import GATEWAYS, Apache
from php import Php
from spellings import is_gated, is_tokens_path
from support import DIRECTORY, READ, Tokenbridge, check, client, counts, header

BROKEN = [
    ("answers 500", b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nls"),
    ("answers 503", b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"),
    ("closes without an answer", b""),
    ("talks nonsense", b"200 OK\r\n\r\n"),
    ("breaks off", b"HTTP/1.1 200 OK\r\nX-Tok"),
]
REFUSING = [
    ("answers 302", b"HTTP/1.1 302 No\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
    ("answers 404", b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
]


def side_by_side(gateways, run):
    """Runs a function for each gateway. An exception is a failed check."""

    def guarded(gateway):
        try:
            run(gateway)
        except Exception:
            check(f"{gateway.name}: {run.__name__}", [traceback.format_exc()[-600:]])

    threads = [threading.Thread(target=guarded, args=(gateway,)) for gateway in gateways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def check_gate_requests(gateway):
    """The requests to the gate: with the method and the URI, and never a body."""
    sent = b"".join(gateway.tap.sent)
    problems = ["a body"] if b"a body" in sent else []
    asked = set(re.findall(rb"^([A-Z]+ /verify\S*) HTTP/1.1\r\n", sent, re.M))
    if not re.search(rb"\r\n(x-original-method|x-forwarded-method): DELETE\r\n", sent, re.I) or not re.search(
        rb"\r\n(x-original-uri|x-forwarded-uri): /rest/agents/1.0/7/state\?a=1&uuid=", sent, re.I
    ):
        problems.append("no method or no URI")
    if {line.rstrip(b"?") for line in asked} != {b"GET /verify", b"GET /verify?require=AlertRead"}:
        problems.append(asked)
    check(f"{gateway.name}: the gate gets the method and the URI, and never a body", problems)


def check_gateway(gateway, tokenbridge, credentials, php):
    check_matrix(gateway, credentials)
    check_aliases(gateway, credentials, php)
    check_attacks(gateway, credentials)
    if gateway.is_configured_whole:
        check_bodies(gateway, credentials)
    if gateway.keeps_connections:
        check_keep_alive(gateway, credentials)
    if gateway.protects_bamboo:
        check_forgery(gateway, credentials)
        check_tokens_targets(gateway, tokenbridge, credentials)
        check_gate_requests(gateway)
        check_sourcing(gateway, [401])
        check_sourcing(gateway, [403], [("X-API-Key", credentials.by["none"])])
    for replies, statuses in ((BROKEN, range(500, 600)), (REFUSING, range(300, 600))):
        for what, reply in replies:
            gateway.tap.drop()
            gateway.tap.reply = reply
            check_closed(
                gateway, credentials, f"shut while tokenbridge {what}", statuses, may_have_body=what == "answers 500"
            )
    gateway.tap.drop()
    gateway.tap.reply = None
    check_open(gateway, credentials, "open again")


def check_store_lost(gateways, credentials):
    database = DIRECTORY / "tokenbridge.db"
    database.rename(DIRECTORY / "away.db")
    for gateway in gateways:
        site = gateway.sites[0]
        before = len(site.backend.seen)
        # No gateway has used this value, so no cache has it.
        answer = client(site.port, "GET", site.path, [gateway.credential(credentials.by["unused"])])
        check(
            f"{gateway.name}: shut while tokenbridge has no store",
            [answer]
            if answer.status not in gateway.closed_statuses(range(500, 600)) or len(site.backend.seen) > before
            else [],
        )
    (DIRECTORY / "away.db").rename(database)
    side_by_side(gateways, lambda gateway: check_open(gateway, credentials, "open again when it has it back"))


def check_logs(name, text, credentials, may_be_silent=False):
    found = [secret[:12] for secret in credentials.secrets if secret in text]
    check(
        f"{name}: no uuid and no value in {len(text)} characters of its logs",
        found or ([] if text or may_be_silent else ["no logs"]),
    )


def check_stop_and_start(gateways, servers, credentials):
    def stopped(gateway):
        gateway.tap.shut()
        check_closed(gateway, credentials, "shut while tokenbridge is stopped")
        if gateway.protects_bamboo:
            check_sourcing(gateway, [gateway.status_while_down])

    def started(gateway):
        gateway.tap.open()
        check_open(gateway, credentials, "open again without a restart")

    for server in servers:
        server.stop()
    side_by_side(gateways, stopped)
    for server in servers:
        server.start()
    side_by_side(gateways, started)
    check_store_lost(gateways, credentials)


def main():
    tokenbridge, https = servers = [Tokenbridge(), Tokenbridge(https=True)]
    gateways, php = [], None
    try:
        for server in servers:
            server.start()
        credentials = Credentials(tokenbridge)
        php = Php()
        wanted = sys.argv[3:]
        for kind in GATEWAYS:
            if wanted and kind.__name__.lower() not in wanted:
                continue
            gateway = kind((https if kind is Apache else tokenbridge).port)
            if kind is Apache:
                gateway.client = tokenbridge.value("Apache", [READ])
            gateways.append(gateway)
            gateway.start()
        side_by_side(gateways, lambda gateway: check_gateway(gateway, tokenbridge, credentials, php))
        check_stop_and_start(gateways, servers, credentials)
        for gateway in gateways:
            gateway.stop()
            if gateway.is_configured_whole:
                check_logs(gateway.name, gateway.logs(), credentials, may_be_silent=not gateway.protects_bamboo)
            if gateway.protects_bamboo:
                seen = gateway.bamboo.backend.seen
                stray = [
                    one
                    for one in seen
                    if is_gated(one["path"]) and not header(one, "x-token-id") or is_tokens_path(one["path"])
                ]
                check(
                    f"{gateway.name}: of {len(seen)} requests none reached Bamboo's agents or tokens past tokenbridge",
                    [f"{one['method']} {one['path']}" for one in stray],
                )
        credentials.secrets.append(tokenbridge.password)
        for server in servers:
            server.stop()
            check_logs(server.log.stem, server.log.read_text(), credentials)
    finally:
        for one in (*gateways, *servers, *([php] if php else [])):
            one.stop()
    print(f"\n{counts[True]} passed, {counts[False]} failed", flush=True)
    return 1 if counts[False] else 0


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
sys.exit(main())
