"""The gateways, each with the files of deploy/, unchanged except for addresses and paths, and its own backends."""

import os
import pathlib
import re
import subprocess

from support import (
    ALERT,
    ALERT_CHANGE,
    CHANGE,
    DIRECTORY,
    READ,
    SAFE,
    Backend,
    Tap,
    answers,
    client,
    free_ports,
    stop,
    within,
)


class Site:
    """What a gateway protects: the port where it listens, and the backend behind it."""

    def __init__(self, name, path):
        self.name, self.path, self.backend = name, path, Backend()
        self.port = free_ports(1)[0]


class Gateway:
    """A gateway in front of a service. Subclasses write its configuration and name its command."""

    # Its files protect a Bamboo besides.
    protects_bamboo = False
    # It forwards paths of Bamboo that the gate does not protect.
    forwards_the_rest = False
    # It forwards the Basic credentials of another service.
    keeps_basic = True
    # It forwards API keys and bearer values.
    keeps_values = False
    # It sends pages of its own with errors.
    has_error_pages = False
    # It replaces ";" in queries by "&", for the gate as for the backend.
    splits_at_semicolons = False
    # It keeps its connections to tokenbridge open.
    keeps_connections = True
    # Its logs and its limits on bodies are those of deploy/.
    is_configured_whole = True
    # It knows the name of a token.
    knows_names = True
    challenge = "ApiKey"
    # The status while tokenbridge is down.
    status_while_down = 503

    def __init__(self, target):
        self.name = type(self).__name__.lower()
        self.tap, self.process = Tap(target), None
        self.home, self.log = DIRECTORY / self.name, DIRECTORY / f"{self.name}.log"
        self.service = Site("service", "/alerts/a%20b")
        self.sites = [self.service]
        if self.protects_bamboo:
            self.bamboo = Site("bamboo", "/rest/agents/1.0/7/state")
            self.sites.insert(0, self.bamboo)

    def required(self, site, method):
        """The permissions that a request needs."""
        by_method = {READ} if method in SAFE else {READ, CHANGE}
        return {ALERT} if site is self.service else by_method

    def unauthorized(self, method, headers, token):
        """The status of a request whose credential is wrong, or of a kind that the gateway does not read."""
        return 401 if token is None else None

    def credential(self, value):
        return "X-API-Key", value

    def alias_statuses(self, character):
        """The statuses of a request with a header name that has this character instead of a hyphen."""
        return {200}

    def closed_statuses(self, statuses):
        """The statuses while tokenbridge responds with one of these."""
        return statuses

    def deployed(self, path, **replaced):
        """The text of a file in deploy/, with the addresses and paths of this run."""
        text = pathlib.Path("deploy", path).read_text()
        places = {
            "127.0.0.1:8086": self.tap.port,
            "127.0.0.1:9000": self.service.backend.port,
            "127.0.0.1:8081": self.service.port,
        }
        if self.protects_bamboo:
            places |= {"127.0.0.1:8085": self.bamboo.backend.port, "127.0.0.1:8080": self.bamboo.port}
        for address, port in places.items():
            host, old = address.split(":")
            text = text.replace(address, f"{host}:{port}").replace(f"http://:{old}", f"http://:{port}")
            text = text.replace(f"port_value: {old}", f"port_value: {port}")
        for old, new in {"/var/log/nginx": DIRECTORY, **replaced}.items():
            text = text.replace(old, str(new))
        return text

    def write(self, name, text):
        (self.home / name).write_text(text)
        return self.home / name

    def start(self):
        self.home.mkdir()
        command = [str(part) for part in self.command()]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env={"PATH": os.environ["PATH"], "HOME": str(self.home)},
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        # Traefik listens before it has read its routes.
        within(
            30,
            f"{self.name} is ready",
            lambda: (
                self.process.poll() is not None
                or all(answers(site.port) and client(site.port, "GET", site.path).status == 401 for site in self.sites)
            ),
        )
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} does not start: {self.log.read_text()[-1500:]}")

    def stop(self):
        stop(self.process)

    def logs(self):
        return self.log.read_text(errors="replace")


class Nginx(Gateway):
    protects_bamboo = True
    forwards_the_rest = True

    def sites_file(self):
        return self.deployed("nginx/tokenbridge-gate.conf")

    def modules(self):
        return ""

    def command(self):
        gate = self.write("gate.conf", self.sites_file())
        temporary = "".join(
            f"{kind}_temp_path {self.home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        main = self.write(
            "nginx.conf",
            f"{self.modules()} daemon off; master_process off; pid {self.home}/pid; error_log {self.log} warn;"
            f"events {{ worker_connections 512; }} http {{ {temporary} include {gate}; }}",
        )
        return ["nginx", "-e", self.log, "-p", self.home, "-c", main]

    def logs(self):
        return "".join(
            file.read_text(errors="replace")
            for file in (self.log, *DIRECTORY.glob("tokenbridge-gate.*"))
            if file.exists()
        )


class Njs(Nginx):
    protects_bamboo = False
    forwards_the_rest = False

    def required(self, site, method):
        return {ALERT} if method in SAFE else {ALERT, ALERT_CHANGE}

    def modules(self):
        return "load_module /usr/lib/nginx/modules/ngx_http_js_module.so;"

    def sites_file(self):
        script = self.write("tokenbridge.js", self.deployed("nginx/tokenbridge.js"))
        return self.deployed("nginx/tokenbridge-njs.conf", **{"/etc/nginx/tokenbridge.js": script})


class Ingress(Nginx):
    """What ingress-nginx writes for deploy/kubernetes/ingress.yaml: its controller needs a cluster."""

    protects_bamboo = False
    forwards_the_rest = False
    keeps_values = True
    has_error_pages = True
    keeps_connections = False
    is_configured_whole = False

    def sites_file(self):
        annotations = dict(
            re.findall(
                r'nginx\.ingress\.kubernetes\.io/([a-z-]+): "(.*)"',
                pathlib.Path("deploy/kubernetes/ingress.yaml").read_text(),
            )
        )
        url = annotations.pop("auth-url").replace(
            "tokenbridge.default.svc.cluster.local:8086", f"127.0.0.1:{self.tap.port}"
        )
        identity = annotations.pop("auth-response-headers").split(",")
        if annotations:
            raise RuntimeError(f"annotations without an equivalent here: {annotations}")
        variables = [
            (name, f"$authHeader{number}", name.lower().replace("-", "_")) for number, name in enumerate(identity)
        ]
        text = pathlib.Path("tests/gate/ingress-nginx.conf").read_text()
        for place, value in (
            ("@PORT@", self.service.port),
            ("@BACKEND@", self.service.backend.port),
            ("@URL@", url),
            (
                "@SET@",
                "".join(f"auth_request_set {variable} $upstream_http_{field};" for _, variable, field in variables),
            ),
            ("@PASS@", "".join(f"proxy_set_header '{name}' {variable};" for name, variable, _ in variables)),
        ):
            text = text.replace(place, str(value))
        return text


class Caddy(Gateway):
    protects_bamboo = True
    forwards_the_rest = True
    status_while_down = 502

    def command(self):
        # Its configuration has no second listener.
        text = re.sub(r"(?m)^\{$", "{\n\tadmin off", self.deployed("caddy/Caddyfile"), count=1)
        # Enables the access log: it is off without "log".
        file = self.write("Caddyfile", re.sub(r"(?m)^\tbind ", "\tlog\n\tbind ", text))
        return [os.environ.get("CADDY_BIN", "caddy"), "run", "--config", file, "--adapter", "caddyfile"]


class Traefik(Gateway):
    protects_bamboo = True
    keeps_basic = False
    status_while_down = 500
    splits_at_semicolons = True

    def command(self):
        dynamic = self.write("dynamic.yml", self.deployed("traefik/dynamic.yml"))
        static = self.deployed("traefik/traefik.yml", **{"/etc/traefik/dynamic.yml": dynamic})
        # It would ask the network for newer versions.
        return ["traefik", f"--configFile={self.write('traefik.yml', static + 'global: { checkNewVersion: false }')}"]


class Envoy(Gateway):
    keeps_basic = False

    def required(self, site, method):
        return {READ} if method in SAFE else {READ, CHANGE}

    def command(self):
        file = self.write("envoy.yaml", self.deployed("envoy/envoy.yaml"))
        return ["envoy", "-c", file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]


class Haproxy(Gateway):
    def command(self):
        script = self.write("tokenbridge.lua", self.deployed("haproxy/tokenbridge.lua"))
        file = self.write(
            "haproxy.cfg", self.deployed("haproxy/haproxy.cfg", **{"/etc/haproxy/tokenbridge.lua": script})
        )
        return ["haproxy", "-db", "-f", file]


class Apache(Gateway):
    """It presents credentials of its own to tokenbridge."""

    keeps_basic = False
    knows_names = False
    keeps_connections = False
    challenge = "Bearer"
    # The ID and the value of the token that it presents.
    client = ("", "")

    def unauthorized(self, method, headers, token):
        has_value = any(value.startswith("Bearer ") for _, value in headers)
        # The module itself would let OPTIONS pass.
        return 401 if has_value and token is None else None if has_value else 403 if method == "OPTIONS" else 401

    def credential(self, value):
        return "Authorization", f"Bearer {value}"

    def alias_statuses(self, character):
        return {200} if character == "-" else {403}

    def closed_statuses(self, statuses):
        return range(400, 600)

    def command(self):
        modules = [
            "mpm_event",
            "authn_core",
            "authz_core",
            "authz_user",
            "auth_openidc",
            "env",
            "headers",
            "proxy",
            "proxy_http",
            "setenvif",
        ]
        loaded = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in modules)
        gate = self.deployed(
            "apache/tokenbridge-gate.conf",
            **{
                "TOKENBRIDGE_CLIENT apache": f"TOKENBRIDGE_CLIENT {self.client[0]}",
                "change-me": self.client[1],
                "https://tokenbridge.example.org": f"https://127.0.0.1:{self.tap.port}",
                "/etc/ssl/certs/ca-certificates.crt": DIRECTORY / "certificate.pem",
            },
        )
        main = (
            f"ServerRoot {self.home}\nServerName localhost\nPidFile {self.home}/pid\nErrorLog {self.log}\n"
            f"DefaultRuntimeDir {self.home}\n"
            f"User www-data\nGroup www-data\n{loaded}\nInclude {self.write('gate.conf', gate)}\n"
        )
        return ["apache2", "-D", "FOREGROUND", "-f", self.write("apache2.conf", main)]


GATEWAYS = [Nginx, Caddy, Traefik, Envoy, Haproxy, Njs, Ingress, Apache]
