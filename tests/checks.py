"""Checks of other programs against the server at BASE_URL, with the admin ADMIN_USERNAME and ADMIN_PASSWORD."""

import base64
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request

BASE_URL = os.environ["BASE_URL"]
ADMIN_USERNAME, ADMIN_PASSWORD = os.environ["ADMIN_USERNAME"], os.environ["ADMIN_PASSWORD"]


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


class Checks:
    """Runs commands in a directory, with its own HOME and with programs from `path` first."""

    def __init__(self, scratch, path):
        self.scratch, self.path = scratch, path
        self.passed = self.failed = 0
        self.lock = threading.Lock()

    def check(self, name, command, status=0, says=(), seconds=60, env=(), cwd=None, hides=()):
        """Runs a command, prints its output, and checks its exit code and which texts the output contains, and which not."""
        began = time.monotonic()
        surroundings = {
            "PATH": f"{self.path}:{os.environ['PATH']}", "HOME": str(self.scratch), "LANG": "C.UTF-8", "NO_PROXY": "*",
            "PYTHONDONTWRITEBYTECODE": "1", "BASE_URL": BASE_URL,
        }  # fmt: skip
        try:
            done = subprocess.run(
                list(map(str, command)), cwd=cwd or self.scratch, env=surroundings | dict(env), text=True, errors="replace",
                timeout=seconds, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            got, said = done.returncode, done.stdout
        except subprocess.TimeoutExpired as error:
            got, said = f"none within {seconds} s", (error.stdout or b"").decode(errors="replace")
        missing = [text for text in says if text not in said]
        exposed = [text for text in hides if text in said]
        took = f"({time.monotonic() - began:.1f} s)"
        holds = got == status and not missing and not exposed
        with self.lock:
            self.passed += holds
            self.failed += not holds
            print(f"== {name}\n{said.rstrip()}")
            if holds:
                print(f"ok      {name} {took}", flush=True)
            else:
                lacks = "".join(f"; the output lacks {text!r}" for text in missing)
                lacks += "; the output contains what it must hide" * bool(exposed)
                print(f"FAILED  {name} {took}: exit code {got}, expected {status}{lacks}", flush=True)
        return holds

    def expect(self, name, holds):
        """Counts a check that needs no command."""
        with self.lock:
            self.passed += holds
            self.failed += not holds
            print(f"{'ok    ' if holds else 'FAILED'}  {name}", flush=True)

    def fail(self, name, reason):
        """Counts a check that could not run."""
        with self.lock:
            self.failed += 1
            print(f"FAILED  {name}: {reason}", flush=True)

    def finish(self):
        """Prints the counts, and exits."""
        print(f"\n{self.passed} passed, {self.failed} failed")
        sys.exit(self.failed > 0)
