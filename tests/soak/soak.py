#!/usr/bin/env python3
"""soak.py BASE_URL PID SECONDS: a mixed load on a server, and its memory, descriptors and threads meanwhile.

The load verifies, creates, rotates and deletes, guesses passwords from many addresses, and holds connections that send or read
nothing. Every wrong answer counts, above all a revoked value that passes. Ends with a line `N passed, M failed`.
"""

import base64
import collections
import http.client
import itertools
import json
import os
import re
import socket
import statistics
import sys
import threading
import time
import urllib.parse

BASE, PID, SECONDS = urllib.parse.urlsplit(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
ADMIN = {"Authorization": "Basic " + base64.b64encode(f"admin:{os.environ['ADMIN_PASSWORD']}".encode()).decode()}
MIB = 1024 * 1024
# Limits on anonymous memory. They exclude the pages of the executable, which are many in a debug build.
MAX_MEMORY = 64 * MIB
MAX_GROWTH = 12 * MIB
# Number of stalled connections per thread.
SLOW_CONNECTIONS = 40
# Threads and descriptors come and go with the work; more than this is a leak.
MAX_THREADS_MORE = 8
MAX_FILES_MORE = 16

counts = collections.Counter()
wrong = []
stopping = threading.Event()


class Client:
    """A persistent connection that is reopened after the server closes it."""

    def __init__(self):
        self.connection = http.client.HTTPConnection(BASE.hostname, BASE.port, timeout=60)

    def call(self, method, path, headers, body=None):
        """Sends a request, and returns the status and the text of the response."""
        headers = dict(headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        for last in (False, True):
            try:
                self.connection.request(method, path, body, headers)
                response = self.connection.getresponse()
                return response.status, response.read()
            except (http.client.RemoteDisconnected, ConnectionError):
                # The server closes a connection that has been idle; the request has not been handled.
                self.connection.close()
                if last:
                    raise


def expect(what, status, *expected):
    counts[what] += 1
    if status not in expected:
        wrong.append(f"{what}: {status}")


def verify(client, kept):
    status, _ = client.call("GET", "/verify", {"X-API-Key": kept})
    expect("verifications", status, 200)


def change(client, _):
    """Runs the life cycle of a token: both values pass while they are valid, and neither afterwards."""
    status, text = client.call("POST", "/api-tokens", ADMIN, '{"name":"soak"}')
    expect("creates", status, 200)
    created = json.loads(text)
    status, text = client.call("POST", f"/api-tokens/{created['id']}/rotate", ADMIN)
    expect("rotations", status, 200)
    rotated = json.loads(text)
    for value, passes in ((created["value"], 401), (rotated["value"], 200)):
        status, _ = client.call("GET", "/verify", {"X-API-Key": value})
        expect("verifications of a rotated token", status, passes)
    status, _ = client.call("DELETE", f"/api-tokens/{created['id']}", ADMIN)
    expect("deletions", status, 204)
    status, _ = client.call("GET", "/verify", {"X-API-Key": rotated["value"]})
    expect("verifications of a revoked value", status, 401)


guesses = itertools.count()


def guess(client, _):
    """Sends a wrong password from one of 20,000 addresses."""
    number = next(guesses)
    header = "Basic " + base64.b64encode(f"guessed{number}:wrong".encode()).decode()
    client_address = f"198.{18 + number // 250 % 2}.{number // 250 % 40}.{number % 250}"
    status, _ = client.call("GET", "/api-tokens", {"Authorization": header, "X-Forwarded-For": client_address})
    expect("wrong logins", status, 401, 429, 503)


def repeat(work, kept):
    client = Client()
    while not stopping.is_set():
        try:
            work(client, kept)
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            wrong.append(f"{work.__name__}: {error!r}")
            client = Client()


def hold_connections():
    """Opens connections that send half a request or do not read a large response, and replaces closed ones."""
    half = b"POST /api-tokens HTTP/1.1\r\nHost: x\r\nX-Half: "
    unread = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * 8
    held = []
    for number in itertools.count():
        if stopping.is_set():
            break
        if len(held) >= SLOW_CONNECTIONS:
            oldest = held.pop(0)
            stopping.wait(0.1)
            oldest.close()
        try:
            one = socket.create_connection((BASE.hostname, BASE.port), timeout=60)
            one.sendall(half if number % 2 else unread)
            held.append(one)
            counts["slow clients"] += 1
        except OSError:
            # The server may refuse or close these connections at any time.
            stopping.wait(0.1)
    for one in held:
        one.close()


def measure():
    """Returns the server's memory in bytes, threads, and file descriptors."""
    with open(f"/proc/{PID}/status", encoding="ascii") as status:
        fields = dict(re.findall(r"^(\w+):\s+(\d+)", status.read(), re.MULTILINE))
    return int(fields["RssAnon"]) * 1024, int(fields["Threads"]), len(os.listdir(f"/proc/{PID}/fd"))


def main():
    first = Client()
    _, text = first.call("POST", "/api-tokens", ADMIN, '{"name":"kept"}')
    kept = json.loads(text)["value"]
    # Warm up: runs every kind of work once, so that lazy allocations are done.
    for work in (verify, change, guess):
        work(first, kept)
    _, threads_before, files_before = measure()

    works = [verify, verify, change, guess, guess]
    workers = [threading.Thread(target=repeat, args=(work, kept)) for work in works]
    workers.append(threading.Thread(target=hold_connections))
    for worker in workers:
        worker.start()
    samples, end = [], time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(min(1.0, SECONDS / 30))
        samples.append(measure())
    stopping.set()
    for worker in workers:
        worker.join()
    first.connection.close()

    # Waits until the load's connections have closed, at most for a request timeout.
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        memory_after, threads_after, files_after = measure()
        if files_after <= files_before + MAX_FILES_MORE and threads_after <= threads_before + MAX_THREADS_MORE:
            break
        time.sleep(0.2)

    third = len(samples) // 3
    memory = [sample[0] for sample in samples]
    parts = memory[:third], memory[third:-third], memory[-third:]
    early, middle, late = (statistics.mean(part) for part in parts)
    threads = max(sample[1] for sample in samples)
    print(f"{SECONDS:.0f} s: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    print(
        f"memory: {early / MIB:.1f}, {middle / MIB:.1f}, and {late / MIB:.1f} MiB in the thirds of the run, {max(memory) / MIB:.1f} at most, "
        f"{memory_after / MIB:.1f} afterwards"
    )
    print(f"threads: {threads_before} before, {threads} at most, {threads_after} afterwards")
    print(f"descriptors: {files_before} before, {max(sample[2] for sample in samples)} at most, {files_after} afterwards")
    for one in wrong[:20]:
        print("  wrong:", one)

    checks = {
        "every response is the expected one": not wrong,
        "every kind of work was done": all(counts[kind] for kind in ("verifications", "deletions", "wrong logins", "slow clients")),
        f"the memory stays below {MAX_MEMORY // MIB} MiB": late < MAX_MEMORY,
        f"the memory grows by less than {MAX_GROWTH // MIB} MiB": late - early < MAX_GROWTH,
        f"the memory is below {MAX_MEMORY // MIB} MiB afterwards": memory_after < MAX_MEMORY,
        "no thread is left behind": threads_after <= threads_before + MAX_THREADS_MORE,
        "no descriptor is left behind": files_after <= files_before + MAX_FILES_MORE,
    }
    for what, holds in checks.items():
        print("ok     " if holds else "FAILED ", what)
    failed = sum(not holds for holds in checks.values())
    print(f"\n{len(checks) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
