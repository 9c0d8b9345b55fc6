#!/usr/bin/env python3
"""Writes and verifies tokens during a failure, and checks afterwards that every response holds.

Only responses count: an acknowledged write must be there, and a value whose revocation was acknowledged must be refused. A
request without an acknowledgment (503, timeout, connection closed) may or may not have been executed. Prints figures, then a
line "ok" or "FAILED" for each check.
"""

import argparse
import base64
import collections
import concurrent.futures
import http.client
import json
import random
import subprocess
import sys
import threading
import time
import urllib.parse

# Maximum response time: 10 seconds for a connection, 12 for the work, and a margin.
MAX_RESPONSE_SECONDS = 25.0
# How long after an acknowledged revocation another replica may accept the value.
MAX_REVOCATION_DELAY = 1.0
# Pause of a thread after a 503. It is shorter than Retry-After, to measure the end of the outage.
PAUSE_AFTER_FAILURE = 0.2
NOWHERE = "192.0.2.0/24"

LEGACY = ("/rest/agent-config/1.0/tokens", "/rest/agent/latest/tokens")
NEW = "/api-tokens"


class Response:
    """A response. `status` is a number, or "cut" or "timeout"."""

    def __init__(self, status, began, ended, text=b"", headers=None):
        self.status, self.began, self.ended = status, began, ended
        self.text, self.headers = text, headers or {}

    def json(self):
        return json.loads(self.text)


def call(base, method, path, body=None, headers=None, timeout=MAX_RESPONSE_SECONDS + 10):
    """Sends a request on a new connection: a persistent one may be closed for unrelated reasons."""
    url = urllib.parse.urlsplit(base)
    conn = http.client.HTTPConnection(url.hostname, url.port, timeout=timeout)
    headers = dict(headers or {})
    if body is not None:
        body = json.dumps(body)
        headers["Content-Type"] = "application/json"
    began = time.monotonic()
    try:
        conn.request(method, path, body, headers)
        response = conn.getresponse()
        text = response.read()
        return Response(response.status, began, time.monotonic(), text, response.headers)
    except TimeoutError:
        return Response("timeout", began, time.monotonic())
    except (OSError, http.client.HTTPException):
        return Response("cut", began, time.monotonic())
    finally:
        conn.close()


class Value:
    """A token's value, and the time from which and until which it is valid."""

    def __init__(self, text):
        self.text = text
        self.end_began = None
        self.end_answered = None
        self.ended_at = None


class Token:
    """The state of a token according to the responses to its only writer."""

    def __init__(self, id_, name):
        self.id, self.name = id_, name
        self.value = None
        self.old_values = []
        self.rotations = 0
        self.limited = False
        self.deleted = False
        # The outcome of an operation is unknown; its token is no longer used.
        self.unknown = None


class Run:
    def __init__(self, options):
        with open(options.admin_password, encoding="utf-8") as file:
            password = file.read().strip()
        self.admin = {"Authorization": "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()}
        self.nginx, self.replicas = options.nginx, options.replica
        # Half of the requests through nginx, like clients, and the rest to either replica.
        self.base_urls = [options.nginx] * len(self.replicas) + self.replicas
        self.prefix = f"{options.prefix}-{time.time_ns():x}"
        self.random = random.Random()
        self.lock = threading.Lock()
        self.numbers = iter(range(10**9))
        self.stopping = threading.Event()
        # No pauses during a failure, so that many requests are in flight.
        self.no_pauses = threading.Event()
        self.broken_at = None
        self.tokens = []
        self.idle = collections.deque()
        self.values = []
        self.ended_values = []
        self.unknown_creates = []
        # (kind, base, response, valid)
        self.answers = []
        self.odd = []
        self.late, self.within_grace, self.same_replica, self.wrongly_refused = [], [], [], []

    # Requests

    def request(self, kind, base, method, path, body=None, headers=None):
        answer = call(base, method, path, body, headers or self.admin)
        good = 200 <= answer.status < 300 if isinstance(answer.status, int) else False
        if kind == "verify":
            good = answer.status in (200, 401)
        with self.lock:
            self.answers.append((kind, base, answer, good))
            if isinstance(answer.status, int) and not good and answer.status != 503:
                self.odd.append(f"{kind}: {method} {base}{path}: {answer.status} {answer.text[:200]!r}")
            if answer.status == 503 and not answer.headers.get("Retry-After"):
                self.odd.append(f"{kind}: {method} {base}{path}: 503 without Retry-After: {answer.text[:200]!r}")
        return answer if good else None

    def pick_base_url(self):
        return self.random.choice(self.base_urls)

    def name(self):
        with self.lock:
            return f"{self.prefix}-{next(self.numbers)}"

    def take(self, wanted=lambda token: True):
        """A token that no other thread changes."""
        with self.lock:
            for _ in range(min(len(self.idle), 20)):
                token = self.idle.popleft()
                if wanted(token):
                    return token
                self.idle.append(token)
        return None

    def give_back(self, token):
        if token.unknown is None and not token.deleted and not token.limited:
            with self.lock:
                self.idle.append(token)

    def new_value(self, token, text):
        token.value = Value(text)
        with self.lock:
            self.values.append(token.value)

    def start_revocation(self, token):
        if token.value:
            token.value.end_began = time.monotonic()

    def finish_revocation(self, token, base, answer):
        value = token.value
        if value:
            value.ended_at, value.end_answered = base, answer.ended
            token.old_values.append(value)
            token.value = None
            with self.lock:
                self.ended_values.append(value)

    # The operations of the threads. Each returns whether it was acknowledged.

    def create(self):
        name, base = self.name(), self.pick_base_url()
        legacy = self.random.random() < 0.5
        if legacy:
            body = {"name": name, "read": True, "change": False}
            answer = self.request("create", base, "POST", self.random.choice(LEGACY), body)
        else:
            answer = self.request("create", base, "POST", NEW, {"name": name})
        if not answer:
            with self.lock:
                self.unknown_creates.append(name)
            return False
        made = answer.json()
        token = Token(made["uuid" if legacy else "id"], name)
        with self.lock:
            self.tokens.append(token)
        if not legacy:
            self.new_value(token, made["value"])
        self.give_back(token)
        return True

    def rotate(self):
        token = self.take()
        if not token:
            return True
        base = self.pick_base_url()
        self.start_revocation(token)
        if token.value and self.random.random() < 0.5:
            answer = self.request("rotate", base, "POST", NEW + "/self/rotate", None, {"X-API-Key": token.value.text})
        else:
            answer = self.request("rotate", base, "POST", f"{NEW}/{token.id}/rotate")
        if answer:
            self.finish_revocation(token, base, answer)
            token.rotations += 1
            self.new_value(token, answer.json()["value"])
        else:
            token.unknown = "rotate"
        self.give_back(token)
        return bool(answer)

    def delete(self):
        token = self.take(lambda token: token.value)
        if not token:
            return True
        base = self.pick_base_url()
        self.start_revocation(token)
        answer = self.request("delete", base, "DELETE", f"{self.random.choice((NEW, *LEGACY))}/{token.id}")
        if answer:
            self.finish_revocation(token, base, answer)
            token.deleted = True
        else:
            token.unknown = "delete"
        self.give_back(token)
        return bool(answer)

    def update(self):
        """A new name through the legacy API, or CIDR blocks through the other one that exclude the client, which invalidates the value."""
        token = self.take(lambda token: token.value)
        if not token:
            return True
        base = self.pick_base_url()
        if self.random.random() < 0.5:
            name = self.name()
            answer = self.request("update", base, "PUT", f"{self.random.choice(LEGACY)}/{token.id}", {"name": name})
            if answer:
                token.name = name
            else:
                token.unknown = "rename"
        else:
            self.start_revocation(token)
            answer = self.request("update", base, "POST", f"{NEW}/{token.id}", {"allowedCIDRBlocks": [NOWHERE]})
            if answer:
                self.finish_revocation(token, base, answer)
                token.limited = True
            else:
                token.unknown = "limit"
        self.give_back(token)
        return bool(answer)

    def verify(self):
        with self.lock:
            kind = self.random.random()
            if kind < 0.3 and self.ended_values:
                # A replica is most likely to have cached the value that was revoked last.
                value = self.random.choice(self.ended_values[-40:])
            elif kind < 0.6 and self.ended_values:
                value = self.random.choice(self.ended_values)
            else:
                good = [value for value in self.random.sample(self.values, min(len(self.values), 30)) if value.end_began is None]
                if not good:
                    return True
                value = good[0]
        base = self.pick_base_url()
        # Taken before the request: responses that arrive while it is in flight do not count.
        end_answered, ended_at = value.end_answered, value.ended_at
        answer = self.request("verify", base, "GET", NEW + "/self", None, {"X-API-Key": value.text})
        if not answer:
            return False
        # A revocation that started in the meantime may be the reason.
        end_began = value.end_began
        with self.lock:
            if answer.status == 401 and end_began is None:
                self.wrongly_refused.append(answer)
            if answer.status == 200 and end_answered is not None:
                age = answer.began - end_answered
                self.within_grace.append(age)
                if age > MAX_REVOCATION_DELAY:
                    self.late.append(age)
                if base == ended_at and base in self.replicas:
                    self.same_replica.append(age)
        return True

    def thread(self, work, interval):
        while not self.stopping.is_set():
            began = time.monotonic()
            answered = work()
            rest = PAUSE_AFTER_FAILURE
            if answered:
                rest = 0 if self.no_pauses.is_set() else interval - (time.monotonic() - began)
            if rest > 0:
                self.stopping.wait(rest)

    # After the load

    def read(self, base, path, value=None):
        """A read that must succeed: the failure is over."""
        headers = {"X-API-Key": value.text} if value else self.admin
        return call(base, "GET", path, None, headers)

    def inspect(self, token):
        """The problems of a token, as (check, text)."""
        wrong = []
        first, second = self.random.sample(self.replicas, 2)
        new, legacy = self.read(first, f"{NEW}/{token.id}"), self.read(second, f"{LEGACY[0]}/{token.id}")
        if new.status != legacy.status or new.status not in (200, 404):
            return [("alike", f"{token.id}: {new.status} by {NEW}, {legacy.status} by the legacy API")], None
        there = new.status == 200
        if there:
            new, legacy = new.json(), legacy.json()
            if new["name"] != legacy["name"]:
                wrong.append(("alike", f"{token.id}: {new['name']} and {legacy['name']}"))
        happened = None
        if token.deleted or token.unknown == "delete":
            happened = not there
            if token.deleted and there:
                wrong.append(("deletes", f"{token.id} is there"))
        elif not there:
            wrong.append(("creates", f"{token.id} is not there"))
        if there:
            if token.unknown == "rename":
                happened = new["name"] != token.name
            elif new["name"] != token.name:
                wrong.append(("updates", f"{token.id} has the name {new['name']}, not {token.name}"))
            shut_out = new["allowedCIDRBlocks"] == [NOWHERE]
            if token.unknown == "limit":
                happened = shut_out
            elif shut_out != token.limited:
                wrong.append(("updates", f"{token.id} has the blocks {new['allowedCIDRBlocks']}"))
            if token.rotations and "rotatedAt" not in new:
                wrong.append(("rotates", f"{token.id} was never rotated"))
        if token.value:
            accepted = [self.read(base, NEW + "/self", token.value).status for base in self.replicas]
            if token.unknown in ("rotate", "delete", "limit"):
                if token.unknown == "rotate":
                    happened = accepted[0] == 401
                if accepted not in ([200] * 2, [401] * 2) or (accepted[0] == 401) != happened:
                    wrong.append(("alike", f"{token.id}: {token.unknown} unanswered, its value: {accepted}"))
            elif accepted != [200, 200]:
                wrong.append(("rotates" if token.rotations else "creates", f"{token.id}: its value: {accepted}"))
        for value in token.old_values:
            accepted = [self.read(base, NEW + "/self", value).status for base in self.replicas]
            if accepted != [401, 401]:
                which = "deletes" if token.deleted else "updates" if token.limited else "rotates"
                wrong.append((which, f"{token.id}: a value that was ended: {accepted}"))
        return wrong, happened

    def names(self):
        """The count of each name in either API, and whether both list the same tokens."""
        new, cursor = {}, ""
        while cursor is not None:
            query = urllib.parse.urlencode({"limit": 1000, "name": self.prefix} | ({"cursor": cursor} if cursor else {}))
            page = self.read(self.nginx, f"{NEW}?{query}").json()
            new |= {token["id"]: token["name"] for token in page["results"]}
            cursor = page.get("next")
        legacy = self.read(self.nginx, LEGACY[0]).json()
        legacy = {token["uuid"]: token["name"] for token in legacy if token["name"].startswith(self.prefix)}
        return collections.Counter(new.values()), new == legacy


def longest_outage(answers, broken_at):
    """The time of the first failed request, and of the first successful response to one that began after the last failure.

    The replicas notice a failure one after the other, so a success after the first failure does not end the outage.
    """
    failures = [answer.ended for _, _, answer, good in answers if not good and answer.ended > broken_at]
    if not failures:
        return None, None
    good = [answer.ended for _, _, answer, good in answers if good and answer.began > max(failures)]
    return min(failures), min(good, default=None)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nginx", required=True, help="base URL of the proxy")
    parser.add_argument("--replica", required=True, action="append", help="base URL of a replica; twice")
    parser.add_argument("--admin-password", required=True, help="file with the admin's password")
    parser.add_argument("--prefix", default="ha", help="what the names of the tokens begin with")
    parser.add_argument("--calm", type=float, default=8, help="seconds before something is broken")
    parser.add_argument("--after", type=float, default=5, help="seconds to go on without a failed write")
    parser.add_argument("--give-up", type=float, default=75, help="seconds to wait for that")
    parser.add_argument("break_command", nargs="+", help="what breaks something")
    options = parser.parse_args()
    run = Run(options)

    threads = [threading.Thread(target=run.thread, args=work, daemon=True) for work in [
        (run.create, 0.1), (run.create, 0.1), (run.rotate, 0.1), (run.rotate, 0.1), (run.delete, 0.15), (run.update, 0.15),
        (run.verify, 0.04), (run.verify, 0.04), (run.verify, 0.04), (run.verify, 0.04),
    ]]
    for thread in threads:
        thread.start()
    time.sleep(options.calm)
    run.no_pauses.set()
    time.sleep(1)
    began = time.monotonic()
    subprocess.run(options.break_command, check=True)
    run.no_pauses.clear()
    # The failure happened between these two times. Requests before the first must succeed; later ones may fail.
    run.broken_at = began

    def writes():
        with run.lock:
            return [entry for entry in run.answers if entry[0] != "verify"]

    recovered = None
    while time.monotonic() < began + options.give_up and (recovered is None or time.monotonic() < recovered + options.after):
        time.sleep(0.1)
        _, recovered = longest_outage(writes(), began)
    run.stopping.set()
    for thread in threads:
        thread.join()
    report(run, options, recovered)


def report(run, options, recovered):
    broken_at, failed = run.broken_at, 0

    def check(good, text, examples=()):
        nonlocal failed
        print(("ok      " if good else "FAILED  ") + text)
        if not good:
            failed += 1
            for example in list(examples)[:5]:
                print("          " + str(example))

    calm = [entry for entry in run.answers if entry[2].ended < broken_at]
    later = [entry for entry in run.answers if entry[2].ended >= broken_at]

    for title, entries in (("before", calm), ("after", later)):
        counts = collections.Counter((kind, str(answer.status)) for kind, _, answer, _ in entries)
        kinds = []
        for kind in ("create", "rotate", "update", "delete", "verify"):
            statuses = ", ".join(f"{count} x {status}" for (which, status), count in sorted(counts.items()) if which == kind)
            kinds.append(f"{kind}: {statuses}")
        print(f"answers {title}: " + "; ".join(kinds))

    def outage(entries):
        first, recovery = longest_outage(entries, broken_at)
        if first is None:
            return "never failed"
        last = max(answer.ended for _, _, answer, good in entries if not good)
        end = "never answered again" if recovery is None else f"{recovery - first:.1f} s until the first success"
        return f"first failure after {first - broken_at:.1f} s, {end}, {last - first:.1f} s until the last failure"

    print("writes:       ", outage([entry for entry in later if entry[0] != "verify"]))
    print("verifications:", outage([entry for entry in later if entry[0] == "verify"]))
    longest = max(run.answers, key=lambda entry: entry[2].ended - entry[2].began)
    seconds = longest[2].ended - longest[2].began
    print(f"longest request: {seconds:.2f} s ({longest[0]}, {longest[2].status}); before: "
          f"{max(answer.ended - answer.began for _, _, answer, _ in calm):.2f} s")

    if recovered is None:
        check(False, "writes succeed again")
        return sys.exit(1)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        inspected = list(pool.map(run.inspect, run.tokens))
    wrong = collections.defaultdict(list)
    for found, _ in inspected:
        for which, text in found:
            wrong[which].append(text)
    names, alike = run.names()
    unknown = [(token.unknown, happened) for token, (_, happened) in zip(run.tokens, inspected) if token.unknown]
    unknown += [("create", name in names) for name in run.unknown_creates]
    twice = [name for name, count in names.items() if count > 1]

    def answered(kind):
        return sum(1 for which, _, _, good in run.answers if which == kind and good)

    ended = len(run.ended_values)
    print(f"writes answered: {sum(answered(kind) for kind in ('create', 'rotate', 'update', 'delete'))}; "
          f"not answered: {len(unknown)}, of which happened: {sum(1 for _, happened in unknown if happened)}")
    print(f"values ended: {ended}; accepted within a second after that: {len(run.within_grace) - len(run.late)}"
          + (f" (the last after {max(run.within_grace) * 1000:.0f} ms)" if run.within_grace else "")
          + f"; later: {len(run.late)}")
    print("oldest revoked token accepted: " + (f"{max(run.late):.1f} s after the answer" if run.late else "none"))

    bad = [entry for entry in calm if not entry[3]]
    check(not bad, "before: every request got a response, none a 5xx", [f"{e[0]} {e[1]} {e[2].status}" for e in bad])
    check(any(not entry[3] for entry in later), "the failure was noticeable")
    check(True, "writes succeed again, without a restart")
    check(not run.odd, "every failure was a 503 with Retry-After", run.odd)
    cut = [entry for entry in run.answers if isinstance(entry[2].status, str)]
    check(not cut, "every request got a complete response", [f"{e[0]} {e[1]} {e[2].status}" for e in cut])
    check(seconds <= MAX_RESPONSE_SECONDS, f"every response came within {MAX_RESPONSE_SECONDS:.0f} seconds", [f"{longest[0]} {longest[1]}: {seconds:.1f} s"])
    for kind, text in (
        ("creates", f"all {answered('create')} answered creates are there, by both APIs"),
        ("rotates", f"all {answered('rotate')} answered rotations: the new value works, the old one is refused"),
        ("updates", f"all {answered('update')} answered updates are there"),
        ("deletes", f"all {answered('delete')} answered deletes: no token, and its value is refused"),
        ("alike", f"the {len(unknown)} unanswered writes happened wholly or not at all, as both replicas and both APIs see it"),
    ):
        check(not wrong[kind], text, wrong[kind])
    check(alike, "both APIs list the same tokens")
    check(not twice, "no create was executed twice", twice)
    check(not run.late, "no revoked value was accepted more than a second later", [f"after {age:.2f} s" for age in run.late])
    check(not run.same_replica, "no replica accepted a value that it had itself revoked", [f"after {age * 1000:.0f} ms" for age in run.same_replica])
    check(not run.wrongly_refused, "no valid value was refused")
    sys.exit(1 if failed else 0)


main()
