"""The harness of the gate's tests: checks, backends, a tap, a client, and tokenbridge itself.

The program and the directory of the run are the arguments of the script. Standard library only.
"""

import base64
import http.client
import http.server
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

PROGRAM, DIRECTORY = sys.argv[1], pathlib.Path(sys.argv[2])
READ, CHANGE, ALERT, ALERT_CHANGE = "OrganizationAPITokenRead", "OrganizationAPITokenModify", "AlertRead", "AlertModify"
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"]
SAFE = {"GET", "HEAD", "OPTIONS"}

counts = {True: 0, False: 0}
printing = threading.Lock()


def check(name, problems):
    """Records a check, which passes without `problems`."""
    problems = [str(problem) for problem in problems]
    lines = [
        f"FAILED  {name}" if problems else f"ok      {name}",
        *(f"          {problem[:600]}" for problem in problems[:6]),
    ]
    if len(problems) > 6:
        lines.append(f"          and {len(problems) - 6} more")
    with printing:
        counts[not problems] += 1
        print("\n".join(lines), flush=True)


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


def stop(process):
    if process and process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


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
    """Between a proxy and tokenbridge: records requests, counts connections, and can refuse them or reply itself."""

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
                # A TLS handshake gets the reply at once.
                while b"\r\n\r\n" not in got and not got.startswith(b"\x16") and (more := proxy.recv(65536)):
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
    """A tokenbridge. All of a run share the store and the admin; one serves HTTPS, with a certificate of its own."""

    password = base64.urlsafe_b64encode(os.urandom(18)).decode()
    basic = ("Authorization", "Basic " + base64.b64encode(f"admin:{password}".encode()).decode())

    def __init__(self, https=False):
        self.port, self.process, self.flags = free_ports(1)[0], None, []
        self.log = DIRECTORY / f"tokenbridge{'-https' * https}.log"
        if https:
            certificate, key = DIRECTORY / "certificate.pem", DIRECTORY / "key.pem"
            subprocess.run(
                [
                    "openssl",
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                    "-nodes",
                    "-days",
                    "2",
                    "-subj",
                    "/CN=127.0.0.1",
                    "-addext",
                    "subjectAltName=IP:127.0.0.1",
                    "-keyout",
                    str(key),
                    "-out",
                    str(certificate),
                ],
                check=True,
                capture_output=True,
            )
            # Apache reads it as another user.
            DIRECTORY.chmod(0o711)
            certificate.chmod(0o644)
            self.flags = ["--tls-cert", str(certificate), "--tls-key", str(key)]

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    PROGRAM,
                    "serve",
                    "--listen",
                    f"127.0.0.1:{self.port}",
                    "--database-url",
                    f"sqlite:{DIRECTORY}/tokenbridge.db",
                    "--legacy-uuid-auth",
                    "--trusted-proxy",
                    "127.0.0.0/8",
                    "--workers",
                    "2",
                    *self.flags,
                ],
                env={"PATH": os.environ["PATH"], "RUST_LOG": "info", "TOKENBRIDGE_ADMIN_PASSWORD": self.password},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=DIRECTORY,
            )
        within(20, "tokenbridge listens", lambda: self.process.poll() is not None or answers(self.port))
        if self.process.poll() is not None:
            raise RuntimeError(f"tokenbridge does not start: {self.log.read_text()[-500:]}")

    def stop(self):
        stop(self.process)

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


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def header(seen, name):
    return [value for key, value in seen["headers"] if key == name]
