"""Starts tokenbridge, nginx, and Caddy with the files of deploy/ in front of two recording backends, and checks which requests pass.

matrix.py PROGRAM DIRECTORY, in the repository. The last line is "N passed, M failed". Standard library only.
"""

import base64
import datetime
import http.client
import http.server
import json
import os
import pathlib
import posixpath
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

PROGRAM, DIRECTORY = sys.argv[1], pathlib.Path(sys.argv[2])
READ, CHANGE, ALERT = "OrganizationAPITokenRead", "OrganizationAPITokenModify", "AlertRead"
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"]
SAFE = {"GET", "HEAD", "OPTIONS"}
RIGHTS = {"none": [], "read": [READ], "change": [CHANGE], "both": [READ, CHANGE]}
PATH = "/rest/agents/1.0/7/state"
BODY = b'{"a body": "that only the backend may see"}'
UNKNOWN = "00000000-0000-4000-8000-000000000000"

passed = failed = 0


def check(name, problems):
    """Records a check, which passes without `problems`."""
    global passed, failed
    problems = [str(problem) for problem in problems]
    if not problems:
        passed += 1
        print(f"ok      {name}", flush=True)
        return
    failed += 1
    print(f"FAILED  {name}", flush=True)
    for problem in problems[:6]:
        print(f"          {problem[:600]}", flush=True)
    if len(problems) > 6:
        print(f"          and {len(problems) - 6} more", flush=True)


def within(seconds, what, condition):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Backend(http.server.ThreadingHTTPServer):
    """Records every request, and returns it in the response."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Echo)
        self.seen = []
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes; without this, the second waits until the first is acknowledged.
    disable_nagle_algorithm = True

    def answer(self):
        body = b""
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = [(name.lower(), value) for name, value in self.headers.items()]
        self.server.seen.append({"method": self.command, "path": self.path, "headers": headers, "body": body})
        text = json.dumps({"method": self.command, "path": self.path, "headers": headers}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def log_message(self, *_):
        pass

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)


class Tap:
    """Between a proxy and tokenbridge: records requests, counts connections, and can refuse them or return fixed responses."""

    def __init__(self, target):
        self.target, self.sent, self.connections, self.reply = target, [], 0, None
        self.sockets, self.listener = [], None
        probe = socket.socket()
        probe.bind(("127.0.0.1", 0))
        self.port = probe.getsockname()[1]
        probe.close()
        self.open()

    def open(self):
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def drop(self):
        """Closes all connections."""
        for one in self.sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.sockets.clear()

    def shut(self):
        """Refuses connections."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.drop()

    def accept(self, listener):
        while True:
            try:
                proxy, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            self.sockets.append(proxy)
            threading.Thread(target=self.serve, args=(proxy,), daemon=True).start()

    def serve(self, proxy):
        try:
            if self.reply is not None:
                got = b""
                while b"\r\n\r\n" not in got and (more := proxy.recv(65536)):
                    got += more
                proxy.sendall(self.reply)
                proxy.close()
                return
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            proxy.close()
            return
        self.sockets.append(server)
        for one in (proxy, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self.pump, args=(server, proxy, None), daemon=True).start()
        self.pump(proxy, server, self.sent)

    @staticmethod
    def pump(source, sink, kept):
        try:
            while data := source.recv(65536):
                if kept is not None:
                    kept.append(data)
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Response:
    def __init__(self, status, headers, body):
        self.status, self.body = status, body
        self.headers = {}
        for name, value in headers:
            self.headers.setdefault(name.lower(), value)

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:200]}"


class Client:
    """A client with one persistent connection per port and source address."""

    def __init__(self):
        self.kept = {}

    def __call__(self, port, method, path, headers=(), body=None, source="127.0.0.1"):
        for attempt in (1, 2):
            connection = self.kept.get((port, source))
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30, source_address=(source, 0))
                connection.connect()
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.kept[port, source] = connection
            try:
                connection.putrequest(method, path, skip_accept_encoding=True)
                for name, value in headers:
                    connection.putheader(name, value)
                if body is not None:
                    connection.putheader("Content-Length", str(len(body)))
                connection.endheaders(body)
                got = connection.getresponse()
                answer = Response(got.status, got.getheaders(), got.read())
                if got.will_close:
                    del self.kept[port, source]
                    connection.close()
                return answer
            except (http.client.HTTPException, OSError):
                del self.kept[port, source]
                connection.close()
                if attempt == 2:
                    raise


def raw(port, data, silence=0.25):
    """Sends raw bytes, and returns everything until the server closes or pauses."""
    with socket.create_connection(("127.0.0.1", port), 10) as one:
        got = b""
        try:
            one.sendall(data)
            one.settimeout(silence)
            while more := one.recv(65536):
                got += more
        except OSError:
            pass
    return got


client = Client()


class Tokenbridge:
    def __init__(self, port):
        self.port, self.process = port, None
        self.log = DIRECTORY / "tokenbridge.log"
        self.password = base64.urlsafe_b64encode(os.urandom(18)).decode()
        self.basic = ("Authorization", "Basic " + base64.b64encode(f"admin:{self.password}".encode()).decode())

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "serve", "--listen", f"127.0.0.1:{self.port}", "--database-url", f"sqlite:{DIRECTORY}/tokenbridge.db",
                 "--legacy-uuid-auth", "--trusted-proxy", "127.0.0.0/8", "--workers", "2"],
                env={"PATH": os.environ["PATH"], "RUST_LOG": "info", "TOKENBRIDGE_ADMIN_PASSWORD": self.password},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=DIRECTORY)
        within(20, "tokenbridge listens", lambda: self.process.poll() is not None or answers(self.port))
        if self.process.poll() is not None:
            raise RuntimeError(f"tokenbridge does not start: {self.log.read_text()[-500:]}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def call(self, method, path, body=None, status=200):
        data = b"" if body is None else json.dumps(body).encode()
        headers = [self.basic, ("Content-Type", "application/json")]
        answer = client(self.port, method, path, headers, data)
        if answer.status != status:
            raise RuntimeError(f"{method} {path}: {answer}")
        return json.loads(answer.body) if answer.body else None

    def value(self, name, permissions, **fields):
        made = self.call("POST", "/api-tokens", {"name": name, "permissions": permissions, **fields})
        return made["id"], made["value"]

    def legacy(self, name, permissions, **fields):
        """Creates a legacy token, and returns its uuid. `fields` are set through /api-tokens."""
        rights = {"read": READ in permissions, "change": CHANGE in permissions}
        uuid = self.call("POST", "/rest/agent-config/1.0/tokens", {"name": name, **rights})["uuid"]
        if fields:
            self.call("POST", f"/api-tokens/{uuid}", fields)
        return uuid

    def rotate(self, uuid):
        return self.call("POST", f"/api-tokens/{uuid}/rotate")["value"]


class Proxy:
    def __init__(self, name, target, bamboo, service):
        self.name, self.bamboo_backend, self.service_backend = name, bamboo, service
        self.tap = Tap(target)
        self.bamboo, self.service = free_ports(2)
        self.log = DIRECTORY / f"{name}.log"
        self.ports = {
            "127.0.0.1:8086": f"127.0.0.1:{self.tap.port}", "127.0.0.1:8085": f"127.0.0.1:{bamboo.port}",
            "127.0.0.1:9000": f"127.0.0.1:{service.port}", "127.0.0.1:8080": f"127.0.0.1:{self.bamboo}",
            "127.0.0.1:8081": f"127.0.0.1:{self.service}", "http://:8080": f"http://:{self.bamboo}",
            "http://:8081": f"http://:{self.service}", "/var/log/nginx/": f"{DIRECTORY}/",
        }

    def configuration(self, path):
        text = pathlib.Path(path).read_text()
        for here, there in self.ports.items():
            text = text.replace(here, there)
        return text

    def start(self):
        home = DIRECTORY / self.name
        home.mkdir()
        if self.name == "nginx":
            (home / "gate.conf").write_text(self.configuration("deploy/nginx/tokenbridge-gate.conf"))
            temporary = "".join(f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            (home / "nginx.conf").write_text(
                f"daemon off; master_process off; pid {home}/pid; error_log {self.log} warn;"
                f"events {{ worker_connections 512; }} http {{ {temporary} include {home}/gate.conf; }}")
            command = ["nginx", "-e", str(self.log), "-p", str(home), "-c", str(home / "nginx.conf")]
        else:
            # Its configuration has no second listener.
            text = re.sub(r"(?m)^\{$", "{\n\tadmin off", self.configuration("deploy/caddy/Caddyfile"), count=1)
            # Enables the access log: it is off without "log".
            text = re.sub(r"(?m)^\tbind ", "\tlog\n\tbind ", text)
            (home / "Caddyfile").write_text(text)
            command = [os.environ.get("CADDY_BIN", "caddy"), "run", "--config", str(home / "Caddyfile"), "--adapter", "caddyfile"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env={"PATH": os.environ["PATH"], "HOME": str(home)}, cwd=home,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        within(20, f"{self.name} listens", lambda: self.process.poll() is not None or (answers(self.bamboo) and answers(self.service)))
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} does not start: {self.log.read_text()[-800:]}")

    def stop(self):
        if getattr(self, "process", None) and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def logs(self):
        files = [self.log, *DIRECTORY.glob("tokenbridge-gate.*")] if self.name == "nginx" else [self.log]
        return "".join(file.read_text(errors="replace") for file in files if file.exists())


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def header(seen, name):
    return [value for key, value in seen["headers"] if key == name]


def of_tomcat(target):
    """The path that Tomcat serves for a request target: without path parameters, decoded, without empty and dot segments."""
    path = re.sub(r"^[a-z]+://[^/]*", "", target, flags=re.I)
    path = urllib.parse.unquote(re.sub(r";[^/]*", "", path.split("?")[0])).replace("\\", "/")
    return posixpath.normpath("/" + path.lstrip("/"))


def is_gated(target):
    path = of_tomcat(target).lower()
    return bool(re.search(r"/rest/agents?(/|$)", path))


class Credentials:
    """All kinds of credentials: name, headers, query, ID of the token, and its permissions; None if it is never valid."""

    def __init__(self, tokenbridge):
        self.all, self.secrets = [], []
        # The first login is slow; later ones are cached.
        tokenbridge.call("GET", "/api-tokens")
        soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=4)
        expires = {"expiresAt": soon.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        expired = {name: (tokenbridge.value("expired", permissions or ["UserRead"], **expires)[1], tokenbridge.legacy("expired", permissions, **expires))
                   for name, permissions in RIGHTS.items()}
        elsewhere = {"allowedCIDRBlocks": ["192.0.2.0/24", "127.0.0.9/32"]}
        self.add("none")
        self.add("wrong value by X-API-Key", value="tbk_" + "A" * 49)
        self.add("wrong value by Bearer", bearer="tbk_" + "A" * 49)
        self.add("uuid as X-API-Key", value=UNKNOWN)
        self.add("unknown uuid", uuid=UNKNOWN)
        self.add("no uuid in uuid=", uuid="")
        self.by = {}
        for name, permissions in RIGHTS.items():
            # A token needs a permission; UserRead is not required anywhere here.
            held = permissions or ["UserRead"]
            for alert in ([], [ALERT]):
                label = f"{name}{' and AlertRead' if alert else ''}"
                token, value = tokenbridge.value(f"value $(touch x), {label}", held + alert)
                self.add(f"{label}, by X-API-Key", (token, held + alert), value=value)
                self.add(f"{label}, by Bearer", (token, held + alert), bearer=value)
                self.by[label] = value
            uuid = tokenbridge.legacy(f"uuid, {name}", permissions)
            self.add(f"{name}, by uuid", (uuid, permissions), uuid=uuid)
            self.by[f"uuid {name}"] = uuid
            self.add(f"{name}, by uuid, with another service's Basic", (uuid, permissions), uuid=uuid, basic=True)
            rotated = tokenbridge.legacy(f"rotated, {name}", permissions)
            value = tokenbridge.rotate(rotated)
            self.add(f"{name}, by the uuid of a rotated token", uuid=rotated)
            self.add(f"{name}, by the value of a rotated legacy token, and its uuid", (rotated, permissions), value=value, uuid=rotated)
            self.add(f"{name}, by a wrong value and a right uuid", value="tbk_" + "B" * 49, uuid=uuid)
            self.add(f"{name}, expired value", value=expired[name][0])
            self.add(f"{name}, expired uuid", uuid=expired[name][1])
            outside, value = tokenbridge.value("elsewhere", held, **elsewhere)
            self.add(f"{name}, value out of its blocks", value=value)
            self.by[f"elsewhere {name}"] = (outside, value)
            self.add(f"{name}, uuid out of its blocks", uuid=tokenbridge.legacy("elsewhere", permissions, **elsewhere))
        within(10, "the tokens expire", lambda: datetime.datetime.now(datetime.timezone.utc) > soon)

    def add(self, name, token=None, value=None, bearer=None, uuid=None, basic=False):
        headers = []
        if value is not None:
            headers.append(("X-API-Key", value))
        if bearer is not None:
            headers.append(("Authorization", f"Bearer {bearer}"))
        if basic:
            headers.append(("Authorization", "Basic YmFtYm9vOmJhbWJvbw=="))
        query = "" if uuid is None else f"?a=1&uuid={uuid}"
        self.secrets += [secret for secret in (value, bearer, uuid) if secret]
        self.all.append((name, headers, query, token))


def expected(site, method, token):
    if token is None:
        return 401
    needed = {ALERT} if site == "service" else {READ} if method in SAFE else {READ, CHANGE}
    return 200 if needed <= set(token[1]) else 403


def refusal(answer, status):
    """The problems of a refusal."""
    if answer.status != status:
        yield f"{answer.status} instead of {status}: {answer}"
    if answer.body:
        yield f"a body: {answer}"
    if status == 401 and answer.headers.get("www-authenticate") != "ApiKey":
        yield f"no challenge: {answer}"


def arrived(seen, method, path, token, body=b""):
    """The problems of the request that the backend received."""
    if (seen["method"], seen["path"]) != (method, path):
        yield f"{method} {path} arrives as {seen['method']} {seen['path']}"
    if header(seen, "x-token-id") != [token[0]]:
        yield f"X-Token-Id is {header(seen, 'x-token-id')}"
    if set(",".join(header(seen, "x-token-permissions")).split(",")) - {""} != set(token[1]):
        yield f"X-Token-Permissions is {header(seen, 'x-token-permissions')}"
    if len(header(seen, "x-token-name")) != 1 or "$" in header(seen, "x-token-name")[0]:
        yield f"X-Token-Name is {header(seen, 'x-token-name')}"
    if header(seen, "x-api-key") or any("bearer" in one.lower() for one in header(seen, "authorization")):
        yield f"it gets the credential: {seen['headers']}"
    if seen["body"] != body:
        yield f"its body is {seen['body'][:100]}"


def check_matrix(proxy, credentials):
    for site, port, backend in (("bamboo", proxy.bamboo, proxy.bamboo_backend), ("service", proxy.service, proxy.service_backend)):
        for name, headers, query, token in credentials.all:
            problems = []
            for method in METHODS:
                path = (PATH if site == "bamboo" else "/alerts/a%20b") + query
                body = BODY if method not in SAFE else None
                before = len(backend.seen)
                answer = client(port, method, path, headers, body)
                status = expected(site, method, token)
                reached = backend.seen[before:]
                if status != 200:
                    found = [*refusal(answer, status), *(["the backend is reached"] if reached else [])]
                elif answer.status != 200 or len(reached) != 1:
                    found = [f"{answer}, {len(reached)} requests at the backend"]
                else:
                    found = [*arrived(reached[0], method, path, token, body or b"")]
                    basic = [value for key, value in headers if value.startswith("Basic")]
                    if header(reached[0], "authorization") != basic:
                        found.append(f"Authorization: {header(reached[0], 'authorization')}")
                problems += [f"{method}: {problem}" for problem in found]
            check(f"{proxy.name}, {site}: {name}", problems)


def check_forgery(proxy, credentials):
    """Headers of a client change neither the decision nor the headers of the backend."""
    reads, both = credentials.by["read"], credentials.by["both"]
    token = {"read": credentials.by["uuid read"], "both": credentials.by["uuid both"]}
    backend = proxy.bamboo_backend
    outside, limited = credentials.by["elsewhere both"]

    def post(headers, query=""):
        before = len(backend.seen)
        answer = client(proxy.bamboo, "POST", PATH + query, headers, b"{}")
        return answer, backend.seen[before:]

    key = ("X-API-Key", reads)
    names = ["X-Original-Method", "X-Forwarded-Method", "X-HTTP-Method-Override", "X_Original_Method", "X-Original_Method", "X_Forwarded_Method",
             "x-original-method", "X-HTTP-Method", "X-Method-Override"]
    check(f"{proxy.name}: a change is no read by the client's word",
          [f"{name}: {problem}" for name in names for answer, seen in [post([key, (name, "GET")])]
           for problem in [*refusal(answer, 403), *(["reached"] if seen else [])]])
    problems = []
    for name in names:
        before = len(backend.seen)
        answer = client(proxy.bamboo, "GET", PATH, [key, (name, "DELETE")])
        for seen in backend.seen[before:]:
            told = [one for one in seen["headers"] if one[1] == "DELETE"]
            problems += [f"{name}: {seen['headers']}"] if told or seen["method"] != "GET" else []
    check(f"{proxy.name}: the backend is not told another method", problems)
    problems = []
    for name in ["X-Original-URI", "X-Forwarded-Uri", "X_Original_URI", "X-Original-Url", "Referer", "X-Rewrite-Url"]:
        answer, seen = post([(name, f"{PATH}?uuid={token['both']}")])
        problems += [f"{name}: {problem}" for problem in refusal(answer, 401)] + (["reached"] if seen else [])
    answer, seen = post([("X-Original-URI", f"/?uuid={token['both']}"), ("X-Forwarded-Uri", f"/?uuid={token['both']}")], f"?uuid={token['read']}")
    problems += [*refusal(answer, 403), *(["reached"] if seen else [])]
    check(f"{proxy.name}: uuids in headers of the client are ignored", problems)
    problems = []
    claims = [(name, "forged") for name in ("X-Token-Id", "X-Token-Name", "X-Token-Permissions", "X_Token_Id", "X-Token_Id", "X_Token-Name",
                                            "x-token-permissions", "X-Token-Id")]
    for connection in ([], [("Connection", "X-Token-Id, X-Token-Name, X-Forwarded-For, Authorization, X-API-Key")],
                       [("Connection", "X-Forwarded-Uri, X-Forwarded-Method, X-Original-URI")]):
        answer, seen = post([("X-API-Key", both), *claims, *connection])
        if answer.status != 200 or len(seen) != 1:
            problems.append(f"{connection}: {answer}")
            continue
        problems += [f"{one}" for one in seen[0]["headers"] if one[1] == "forged"]
        problems += [f"{name}: {header(seen[0], name)}" for name in ("x-token-id", "x-token-permissions", "x-token-name", "x-forwarded-for")
                     if len(header(seen[0], name)) != 1]
    check(f"{proxy.name}: only the gate sets the token headers of the backend", problems)
    for path in ("/", "/login", "/rest/api/latest/plan"):
        before = len(backend.seen)
        answer = client(proxy.bamboo, "GET", path, claims)
        got = backend.seen[before:]
        check(f"{proxy.name}: nor where there is no gate: {path}",
              [f"{answer} {got}"] if answer.status != 200 or len(got) != 1 or any("token" in name.replace("_", "-") for name, _ in got[0]["headers"]) else [])
    problems = []
    for name, value in (("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-For", "127.0.0.9"), ("Forwarded", "for=192.0.2.7"), ("X-Real-IP", "192.0.2.7"),
                        ("X_Forwarded_For", "192.0.2.7"), ("X-Forwarded_For", "192.0.2.7"), ("True-Client-IP", "192.0.2.7")):
        answer, seen = post([("X-API-Key", limited), (name, value)])
        problems += [f"{name}: {problem}" for problem in refusal(answer, 401)] + (["reached"] if seen else [])
    check(f"{proxy.name}: no one comes from where he says", problems)
    before = len(backend.seen)
    answer = client(proxy.bamboo, "POST", PATH, [("X-API-Key", limited)], b"{}", source="127.0.0.9")
    seen = backend.seen[before:]
    check(f"{proxy.name}: who comes from there, passes",
          [answer] if answer.status != 200 or len(seen) != 1 or header(seen[0], "x-forwarded-for") != ["127.0.0.9"] else
          [*arrived(seen[0], "POST", PATH, (outside, RIGHTS["both"]), b"{}")])


def check_bodies(proxy, credentials):
    """Bodies of any kind reach the backend whole."""
    backend = proxy.bamboo_backend
    problems = []
    large = BODY * 80000
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {credentials.by['both']}\r\nConnection: close\r\n".encode()
    for name, data, body in (("in chunks", head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY), BODY),
                             ("large", head + b"Content-Length: %d\r\n\r\n%s" % (len(large), large), large),
                             ("none", head + b"Content-Length: 0\r\n\r\n", b"")):
        before = len(backend.seen)
        got = raw(proxy.bamboo, data, silence=10)
        if b" 200 " not in got[:16] or [seen["body"] for seen in backend.seen[before:]] != [body]:
            problems.append(f"{name}: {got[:100]}")
    check(f"{proxy.name}: bodies reach the backend whole", problems)


def check_attacks(proxy, credentials):
    """Raw requests without a valid credential. None may reach a protected path of a backend."""
    reads, uuid, reads_uuid = credentials.by["read"], credentials.by["uuid both"], credentials.by["uuid read"]
    only_alert = credentials.by["none and AlertRead"]
    paths = [
        "//rest/agents/1.0/7/state", "/rest//agents/1.0/7/state", "/%72est/agents/1.0/7/state", "/rest/%61gents/1.0/7/state",
        "/rest%2fagents/1.0/7/state", "/rest%2Fagents%2F1.0/7", "/rest/agents%2f1.0/7", "/%2frest/agents/1.0/7", "/./rest/agents/1.0/7",
        "/x/../rest/agents/1.0/7", "/x/%2e%2e/rest/agents/1.0/7", "/rest/./agents/1.0/7", "/rest/x/../agents/1.0/7", "/rest;x=1/agents/1.0/7",
        "/rest/agents;x=1/1.0/7", "/rest/;/agents/1.0/7", "/;/rest/agents/1.0/7", "/rest/x/..;/agents/1.0/7", "/rest/x/..;y/agents/1.0/7",
        "/rest/.;/agents/1.0/7", "/rest%3bx/agents/1.0/7", "/rest\\agents\\1.0\\7", "/rest%5cagents/1.0/7", "\\rest\\agents\\1.0", "/REST/AGENTS/1.0/7",
        "/rest/Agent/1.0/7", "/rest/agent/1.0/7", "/rest/agent/latest/7/enable", "/rest/agents", "/rest/agents/", "/rest/agents?x", "/bamboo/rest/agents/1.0/7",
        "/rest/agents/1.0/7%3fuuid=" + uuid, "/rest/agents/1.0/7%00", "/rest/agents/1.0/7#?uuid=" + uuid, "/rest/agents/1.0/7;uuid=" + uuid,
        "/rest/agents/1.0/7&uuid=" + uuid, "/rest/agents/1.0/7?UUID=" + uuid, "/rest/agents/1.0/7?uuid%3d" + uuid, "/rest/agents/1.0/7?a=1;uuid=" + uuid,
        "/rest/agents/1.0/7?uuid[]=" + uuid, "/rest/agents/1.0/7?uuid=" + uuid[:-1], f"/rest/agents/1.0/7?uuid={uuid}&uuid={reads_uuid}",
        f"/rest/agents/1.0/7?uuid={reads_uuid}&%75uid={uuid}", f"/rest/agents/1.0/7?uuid=&uuid={uuid}", f"/rest/agents/1.0/7?uuid={uuid}%00",
        f"/rest/agents/1.0/7?uuid=%20{uuid}", f"/rest/agents/1.0/7?%ff&uuid={uuid}x", "/.tokenbridge-verify", "/.tokenbridge-nothing", "/verify",
        "/rest/agents/1.0/../../../rest/agents/1.0/7", "/rest/agents/1.0/7?require=AlertRead", "/rest/%2561gents/1.0/7", "/rest/agents\t/1.0",
        "/rest/a%67ents%2f..%2fagents/1.0/7", "/x#/../rest/agents/1.0/7", "/x%23/../rest/agents/1.0/7",
        "/rest/agents%2f..%2f..%2fx", "/rest/agents/1.0/7#", "/x?/../rest/agents/1.0/7", "/rest/agents%20/1.0", "*",
    ]

    def line(method, target, version="HTTP/1.1"):
        return f"{method} {target} {version}\r\n".encode("latin-1")

    end = b"Host: 127.0.0.1\r\nConnection: close\r\n\r\n"
    everything = [(f"{method} {path}", line(method, path) + end) for path in paths for method in ("GET", "POST", "HEAD", "OPTIONS")]
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
        ("a query that chooses the permission, twice", line("GET", PATH + "?require=AlertRead&require=AlertRead") + alert + end),
        ("uuid in a form", line("POST", PATH) + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n" % len(form) + end + form),
        ("uuid in a cookie", line("GET", PATH) + f"Cookie: uuid={uuid}\r\n".encode() + end),
        ("two API keys, the wrong one first", line("PUT", PATH) + b"X-API-Key: wrong\r\n" + key + end),
        ("two API keys, the reader's first", line("PUT", PATH) + key + b"X-API-Key: " + credentials.by["both"].encode() + b"\r\n" + end),
        ("two bearers, the reader's first", line("PUT", PATH) + f"Authorization: Bearer {reads}\r\nAuthorization: Bearer {credentials.by['both']}\r\n".encode() + end),
        ("X_API_KEY", line("GET", PATH) + f"X_API_KEY: {reads}\r\n".encode() + end),
        ("X-API-Key with a space before the colon", line("GET", PATH) + f"X-API-Key : {reads}\r\n".encode() + end),
        ("X-API-Key on a folded line", line("GET", PATH) + f"X-A: b\r\n X-API-Key: {reads}\r\n".encode() + end),
        ("X-API-Key after a line feed alone in a value", line("GET", PATH) + f"X-A: b\rX-API-Key: {reads}\r\n".encode() + end),
        ("the value as a Basic password", line("GET", PATH) + b"Authorization: Basic " + base64.b64encode(f"x:{reads}".encode()) + b"\r\n" + end),
        ("the admin of tokenbridge", line("GET", PATH) + b"Authorization: Basic " + credentials.admin + b"\r\n" + end),
        ("a Connection header that takes the credential's place", line("PUT", PATH) + key + b"Connection: X-Forwarded-Method, X-Original-Method\r\nHost: 127.0.0.1\r\n\r\n"),
        ("h2c upgrade", line("PUT", PATH) + b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nConnection: Upgrade, HTTP2-Settings\r\nHost: 127.0.0.1\r\n\r\n"),
        ("WebSocket", line("GET", PATH) + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nHost: 127.0.0.1\r\n\r\n"),
        ("Expect: 100-continue", line("PUT", PATH) + key + b"Expect: 100-continue\r\nContent-Length: 4\r\n" + end),
        ("a header of 20000 characters", line("GET", PATH) + b"X-Long: " + b"x" * 20000 + b"\r\n" + end),
        ("a query of 7000 characters", line("GET", PATH + "?a=" + "x" * 7000) + end),
        ("two requests at once", line("GET", "/") + b"Host: 127.0.0.1\r\n\r\n" + smuggled),
        ("smuggled: two lengths", line("POST", "/x") + good + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(smuggled) + smuggled),
        ("smuggled: length and chunks", line("POST", "/x") + good + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (len(smuggled) + 5) + smuggled),
        ("smuggled: unknown coding", line("POST", "/x") + good + b"Transfer-Encoding: xchunked\r\nContent-Length: %d\r\n\r\n" % len(smuggled) + smuggled),
        ("smuggled: space before the colon", line("POST", "/x") + good + b"Transfer-Encoding : chunked\r\nContent-Length: %d\r\n\r\n" % len(smuggled) + smuggled),
        ("smuggled: body of a GET", line("GET", "/x") + good + b"Content-Length: %d\r\n\r\n" % len(smuggled) + smuggled),
        ("smuggled: body of a GET to the gate", line("GET", PATH) + b"Host: 127.0.0.1\r\n" + key + b"Content-Length: %d\r\n\r\n" % len(smuggled) + smuggled),
    ]
    backend = proxy.bamboo_backend
    problems = []
    for name, data in everything:
        before = len(backend.seen)
        got = raw(proxy.bamboo, data)
        for seen in backend.seen[before:]:
            ours = name == "smuggled: body of a GET to the gate" and seen["method"] == "GET"
            if is_gated(seen["path"]) and not ours:
                problems.append(f"{name}: {seen['method']} {seen['path']} {seen['headers']}")
        if b" 101 " in got[:20]:
            problems.append(f"{name}: upgraded")
    check(f"{proxy.name}: {len(everything)} attacks on bamboo", problems)
    backend = proxy.service_backend
    problems = []
    for name, data in everything:
        # Valid values may pass.
        if "permission" in name or name.startswith("smuggled") or credentials.by["both"].encode() in data and b"Bearer" in data:
            continue
        before = len(backend.seen)
        got = raw(proxy.service, data)
        problems += [f"{name}: {seen['method']} {seen['path']} {seen['headers']}" for seen in backend.seen[before:]]
        if b" 101 " in got[:20]:
            problems.append(f"{name}: upgraded")
    check(f"{proxy.name}: attacks on the service", problems)


def check_legacy_paths(proxy, tokenbridge, credentials):
    """tokenbridge serves the tokens API at Bamboo's address."""
    problems = []
    before = len(proxy.bamboo_backend.seen)
    for path in ("/rest/agent-config/1.0/tokens", "/rest/agent/1.0/tokens/", "/rest/agent-config/latest/tokens"):
        answer = client(proxy.bamboo, "GET", path, [tokenbridge.basic])
        problems += [f"{path}: {answer}"] if answer.status != 200 or b'"uuid"' not in answer.body else []
        answer = client(proxy.bamboo, "GET", path)
        problems += [f"{path}: {answer}"] if answer.status != 401 else []
    # The path contains the uuid, which must not appear in the log.
    answer = client(proxy.bamboo, "GET", f"/rest/agent-config/1.0/tokens/{credentials.by['uuid read']}", [tokenbridge.basic])
    problems += [answer] if answer.status != 200 else []
    problems += proxy.bamboo_backend.seen[before:]
    check(f"{proxy.name}: the tokens' own paths are tokenbridge's", problems)


def check_sourcing(proxy, credentials, statuses, headers=(), method="GET"):
    """Responses have no body, because scripts execute it."""
    target = DIRECTORY / "answer"
    for status in statuses:
        target.write_bytes(b"touch never")
        arguments = [part for name, value in headers for part in ("-H", f"{name}: {value}")]
        told = subprocess.run(["curl", "-s", "-X", method, "-o", str(target), "-w", "%{http_code}", *arguments,
                               f"http://127.0.0.1:{proxy.bamboo}{PATH}/text?uuid=%60touch%20sourced%60"], capture_output=True, text=True, cwd=DIRECTORY, check=False).stdout
        ran = subprocess.run(["bash", "-ec", "source ./answer"], capture_output=True, cwd=DIRECTORY, check=False)
        check(f"{proxy.name}: a sourced {status} runs nothing",
              [f"{told}: {target.read_bytes()[:200]} {ran}"] if told != str(status) or ran.returncode or ran.stdout or ran.stderr or
              target.read_bytes() or (DIRECTORY / "sourced").exists() else [])


def check_closed(proxy, credentials, what, statuses=range(500, 600)):
    """No request passes, regardless of its credential."""
    problems = []
    for site, port, backend in (("bamboo", proxy.bamboo, proxy.bamboo_backend), ("service", proxy.service, proxy.service_backend)):
        for headers, query in (([], ""), ([("X-API-Key", credentials.by["both and AlertRead"])], ""), ([], f"?uuid={credentials.by['uuid both']}")):
            for method in ("GET", "POST"):
                before = len(backend.seen)
                answer = client(port, method, PATH + query, headers, b"{}" if method == "POST" else None)
                if answer.status not in statuses or answer.body:
                    problems.append(f"{site} {method}: {answer}")
                if len(backend.seen) > before:
                    problems.append(f"{site} {method}: the backend is reached")
    check(f"{proxy.name}: {what}", problems)


def check_open(proxy, credentials, what):
    def once():
        return client(proxy.bamboo, "POST", PATH, [("X-API-Key", credentials.by["both"])], b"{}").status
    status = once()
    until = time.monotonic() + 15
    while status != 200 and time.monotonic() < until:
        time.sleep(0.1)
        status = once()
    check(f"{proxy.name}: {what}", [status] if status != 200 else [])


def check_keep_alive(proxy, credentials):
    """Persistent connections: hundreds of requests, and few connections to tokenbridge."""
    before, count = proxy.tap.connections, 400
    for _ in range(count):
        client(proxy.bamboo, "GET", PATH, [("X-API-Key", credentials.by["read"])])
    made = proxy.tap.connections - before
    check(f"{proxy.name}: {count} requests, {made} new connections to tokenbridge", [made] if made > 8 else [])


def check_gate_requests(proxy, credentials):
    """The requests to the gate."""
    sent = b"".join(proxy.tap.sent)
    problems = []
    if BODY in sent or b"a body" in sent:
        problems.append("a body")
    if not re.search(rb"\r\n(x-original-method|x-forwarded-method): DELETE\r\n", sent, re.I) or not re.search(
            rb"\r\n(x-original-uri|x-forwarded-uri): /rest/agents/1.0/7/state\?a=1&uuid=", sent, re.I):
        problems.append("no method or no URI")
    asked = re.findall(rb"^([A-Z]+ \S+ HTTP/1.1)\r\n", sent, re.M)
    lines = {line for line in asked if b"/verify" in line}
    if lines != {b"GET /verify HTTP/1.1", b"GET /verify?require=AlertRead HTTP/1.1"} and lines != {
            b"GET /verify? HTTP/1.1", b"GET /verify?require=AlertRead HTTP/1.1"}:
        problems.append(lines)
    check(f"{proxy.name}: the gate gets the method and the URI, and never a body", problems)


def secrets(name, text, credentials):
    found = [secret[:12] for secret in credentials.secrets if secret in text and secret != UNKNOWN]
    check(f"{name}: no uuid and no value in {len(text)} characters of its logs", found or ([] if text else ["no logs"]))


def traefik():
    """Traefik is not run: only its files are checked."""
    problems = []
    for file, needed in (("traefik.yml", ["entryPoints:", "providers:", "accessLog:", "RequestPath: drop", "RequestLine: drop"]),
                         ("dynamic.yml", ["routers:", "middlewares:", "services:", "forwardAuth:", "authResponseHeaders:", "authRequestHeaders:",
                                          "X-Original-Method: \"\"", "X-Token-Id: \"\""])):
        text = pathlib.Path("deploy/traefik", file).read_text()
        problems += [f"{file}: no {key}" for key in needed if key not in text]
        try:
            import yaml
        except ImportError:
            continue
        try:
            read = yaml.safe_load(text)
        except yaml.YAMLError as error:
            problems.append(f"{file}: {error}")
            continue
        if file == "dynamic.yml":
            parts = read["http"]
            for name, router in parts["routers"].items():
                problems += [f"{name}: no middleware {one}" for one in router.get("middlewares", []) if one not in parts["middlewares"]]
                problems += [f"{name}: no service {router['service']}"] if router["service"] not in parts["services"] else []
            for name, middleware in parts["middlewares"].items():
                if "chain" in middleware:
                    problems += [f"{name}: no middleware {one}" for one in middleware["chain"]["middlewares"] if one not in parts["middlewares"]]
    check("deploy/traefik: not run; its files can be read, and what they name is there", problems)


def main():
    bamboo, service = Backend(), Backend()
    tokenbridge = Tokenbridge(free_ports(1)[0])
    proxies = [Proxy(name, tokenbridge.port, bamboo, service) for name in ("nginx", "caddy")]
    try:
        tokenbridge.start()
        for proxy in proxies:
            proxy.start()
        credentials = Credentials(tokenbridge)
        credentials.admin = tokenbridge.basic[1].removeprefix("Basic ").encode()
        for proxy in proxies:
            print(f"== {proxy.name}", flush=True)
            check_matrix(proxy, credentials)
            check_forgery(proxy, credentials)
            check_bodies(proxy, credentials)
            check_attacks(proxy, credentials)
            check_legacy_paths(proxy, tokenbridge, credentials)
            check_keep_alive(proxy, credentials)
            check_gate_requests(proxy, credentials)
            check_sourcing(proxy, credentials, [401])
            check_sourcing(proxy, credentials, [403], [("X-API-Key", credentials.by["none"])])
            for what, reply in (("answers 500", b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nls"), ("answers 503", b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"),
                                ("closes without an answer", b""), ("talks nonsense", b"200 OK\r\n\r\n"), ("breaks off", b"HTTP/1.1 200 OK\r\nX-Tok")):
                proxy.tap.drop()
                proxy.tap.reply = reply
                check_closed(proxy, credentials, f"shut while tokenbridge {what}") if what != "answers 500" else check_closed_with_body(proxy, credentials, what)
            for what, reply in (("answers 302", b"HTTP/1.1 302 No\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"), ("answers 404", b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")):
                proxy.tap.drop()
                proxy.tap.reply = reply
                check_closed(proxy, credentials, f"shut while tokenbridge {what}", range(300, 600))
            proxy.tap.reply = None
            check_open(proxy, credentials, "open again")
        print("== tokenbridge stopped", flush=True)
        tokenbridge.stop()
        for proxy in proxies:
            proxy.tap.shut()
            check_closed(proxy, credentials, "shut while tokenbridge is stopped")
            check_sourcing(proxy, credentials, [503 if proxy.name == "nginx" else 502])
        tokenbridge.start()
        for proxy in proxies:
            proxy.tap.open()
            check_open(proxy, credentials, "open again without a restart")
        print("== the store lost", flush=True)
        database = DIRECTORY / "tokenbridge.db"
        database.rename(DIRECTORY / "away.db")
        for proxy in proxies:
            before = len(bamboo.seen)
            answer = client(proxy.bamboo, "GET", PATH, [("X-API-Key", credentials.by["change"])])
            check(f"{proxy.name}: shut while tokenbridge has no store", [answer] if answer.status != 503 or answer.body or len(bamboo.seen) > before else [])
        (DIRECTORY / "away.db").rename(database)
        for proxy in proxies:
            check_open(proxy, credentials, "open again when it has it back")
        print("== logs", flush=True)
        stray = [seen for seen in bamboo.seen if is_gated(seen["path"]) and not header(seen, "x-token-id")]
        check(f"of {len(bamboo.seen)} requests none reached Bamboo's agents without the gate", [f"{one['method']} {one['path']}" for one in stray])
        for proxy in proxies:
            proxy.stop()
            secrets(proxy.name, proxy.logs(), credentials)
        tokenbridge.stop()
        credentials.secrets.append(tokenbridge.password)
        secrets("tokenbridge", tokenbridge.log.read_text(), credentials)
        traefik()
    finally:
        for one in (*proxies, tokenbridge):
            one.stop()
    print(f"\n{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def check_closed_with_body(proxy, credentials, what):
    """No request passes, and the body of a broken tokenbridge is ignored: nginx drops it, Caddy passes it on."""
    problems = []
    before = len(proxy.bamboo_backend.seen)
    answer = client(proxy.bamboo, "GET", PATH, [("X-API-Key", credentials.by["both"])])
    if answer.status < 500 or len(proxy.bamboo_backend.seen) > before:
        problems.append(answer)
    check(f"{proxy.name}: shut while tokenbridge {what}", problems)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
sys.exit(main())
