"""deploy/kubernetes: valid manifests, and a rolling restart of their pods under load, without a cluster.

The pods are containers with the image, the variables, the security context, the probes, and the signals of the rendered
manifests. This script does what kubelet, the Deployment's controller, and the Service's proxy do.
"""

import contextlib
import http.client
import json
import os
import pathlib
import pwd
import socket
import subprocess
import threading
import time

import yaml

from support import ADMIN_PASSWORD, as_admin, find_postgres, request, wait_until

NETWORK = "pods"
PROXY_PORT, SLOTS = 24820, 4
# Delay until all nodes know that a pod is not ready or is being deleted. In clusters it is about a second.
PROPAGATION_SECONDS = 3
READERS = 4


def render(overlay):
    text = subprocess.run(
        ["kubectl", "kustomize", f"deploy/kubernetes/{overlay}"], check=True, text=True, stdout=subprocess.PIPE
    ).stdout
    return text, {document["kind"]: document for document in yaml.safe_load_all(text)}


def check_manifests(checks, directory):
    from cloudcoil.models.prometheus_operator import v1

    for overlay in ("sqlite", "postgres"):
        text, found = render(overlay)
        file = directory / f"{overlay}.yaml"
        file.write_text(text)
        valid = subprocess.run(
            ["kubernetes-validate", "--strict", "--no-warn", file],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        checks.check(f"{overlay}: the manifests are valid", valid.returncode == 0, valid.stdout)
        monitor = found["ServiceMonitor"]
        parsed = v1.ServiceMonitor.model_validate(monitor).model_dump(mode="json", by_alias=True, exclude_unset=True)
        checks.check(f"{overlay}: the ServiceMonitor is valid", parsed == monitor, parsed)
        check_references(checks, overlay, found)


def check_references(checks, overlay, found):
    """Checks the names that connect the resources, which no schema knows."""
    pod = (found.get("Deployment") or found["StatefulSet"])["spec"]["template"]
    labels = pod["metadata"]["labels"]
    selectors = [found["Service"]["spec"]["selector"], found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]]
    if budget := found.get("PodDisruptionBudget"):
        selectors.append(budget["spec"]["selector"]["matchLabels"])
    checks.check(
        f"{overlay}: every selector finds the pods",
        all(selector.items() <= labels.items() for selector in selectors),
        selectors,
    )
    services = found["ServiceMonitor"]["spec"]["selector"]["matchLabels"].items()
    checks.check(f"{overlay}: Prometheus finds the Service", services <= found["Service"]["metadata"]["labels"].items())
    container = pod["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    named = {port["targetPort"] for port in found["Service"]["spec"]["ports"]}
    named |= {port["port"] for rule in found["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]}
    checks.check(f"{overlay}: every named port exists", named <= ports.keys(), named)
    data = found["ConfigMap"]["data"]
    listens = {data["TOKENBRIDGE_LISTEN"], data["TOKENBRIDGE_METRICS_LISTEN"]}
    checks.check(
        f"{overlay}: the ports are those that the server listens on",
        listens == {f"0.0.0.0:{port}" for port in ports.values()},
        ports,
    )


class Pod:
    """A container as a pod's template describes it, with its probes."""

    started = 0

    def __init__(self, engine, manifests, secrets):
        Pod.started += 1
        self.engine, self.name = engine, f"tokenbridge-{Pod.started}"
        spec = manifests["Deployment"]["spec"]["template"]["spec"]
        self.container = spec["containers"][0]
        self.grace_seconds = spec["terminationGracePeriodSeconds"]
        self.is_ready = self.is_terminating = self.has_restarted = False
        engine.podman(*self.command(spec, manifests, secrets))
        self.address = engine.address(self.name, NETWORK)
        self.prober = threading.Thread(target=self.probe, daemon=True)
        self.prober.start()

    def command(self, spec, manifests, secrets):
        pod, container = spec["securityContext"], self.container["securityContext"]
        command = ["run", "--detach", "--name", self.name, "--network", NETWORK, "--no-healthcheck"]
        command += ["--user", f"{pod['runAsUser']}:{pod['runAsGroup']}", "--group-add", pod["fsGroup"]]
        if container["readOnlyRootFilesystem"]:
            command += ["--read-only", "--read-only-tmpfs=false"]
        if not container["allowPrivilegeEscalation"]:
            command += ["--security-opt", "no-new-privileges"]
        for capability in container["capabilities"]["drop"]:
            command += ["--cap-drop", capability]
        command += ["--memory", self.container["resources"]["limits"]["memory"].removesuffix("i").lower()]
        for name, value in self.variables(manifests, secrets).items():
            command += ["--env", f"{name}={value}"]
        for mount in self.container["volumeMounts"]:
            source = next(volume for volume in spec["volumes"] if volume["name"] == mount["name"])
            command += ["--volume", f"{secrets[source['secret']['secretName']]}:{mount['mountPath']}:ro"]
        return [*command, f"localhost/{self.container['image']}"]

    def variables(self, manifests, secrets):
        variables = dict(manifests["ConfigMap"]["data"])
        for variable in self.container["env"]:
            if "value" in variable:
                variables[variable["name"]] = variable["value"]
            else:
                key = variable["valueFrom"]["secretKeyRef"]
                variables[variable["name"]] = (secrets[key["name"]] / key["key"]).read_text()
        return variables

    def probe(self):
        """Runs the startup probe until it succeeds, then the other two."""
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}

        def succeeds(probe):
            url = f"http://{self.address}:{ports[probe['httpGet']['port']]}{probe['httpGet']['path']}"
            return request("GET", url, timeout=probe["timeoutSeconds"])[0] in range(200, 400)

        startup, readiness, liveness = (self.container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness"))
        for _ in range(startup["failureThreshold"]):
            if succeeds(startup):
                break
            time.sleep(startup["periodSeconds"])
        failures = {"readiness": 0, "liveness": 0}
        due = {"readiness": 0.0, "liveness": 0.0}
        while not self.is_terminating:
            for kind, probe in (("readiness", readiness), ("liveness", liveness)):
                if time.monotonic() >= due[kind]:
                    failures[kind] = 0 if succeeds(probe) else failures[kind] + 1
                    due[kind] = time.monotonic() + probe["periodSeconds"]
            self.is_ready = failures["readiness"] < readiness["failureThreshold"]
            self.has_restarted |= failures["liveness"] >= liveness["failureThreshold"]
            time.sleep(0.05)

    def delete(self):
        """Sends SIGTERM, and SIGKILL after the grace period. Returns the exit code."""
        self.is_terminating = True
        self.engine.podman("stop", "--time", self.grace_seconds, self.name)
        code = self.engine.inspect(self.name, "{{.State.ExitCode}}")
        self.engine.podman("rm", self.name)
        return int(code)


HAPROXY = """
global
    stats socket {directory}/haproxy.socket level admin
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    # A request that meets a closed connection must count as failed.
    retries 0
    http-reuse always
frontend service
    bind 127.0.0.1:{port}
    default_backend pods
backend pods
    server-template pod 1-{slots} 127.0.0.1:1 disabled
"""


class Service:
    """Sends requests to the pods that are ready and are not being deleted, and learns of changes late."""

    def __init__(self, directory):
        self.socket = f"{directory}/haproxy.socket"
        config = directory / "haproxy.cfg"
        config.write_text(HAPROXY.format(directory=directory, port=PROXY_PORT, slots=SLOTS))
        self.process = subprocess.Popen(
            ["haproxy", "-db", "-f", config], stdout=(directory / "haproxy.log").open("w"), stderr=subprocess.STDOUT
        )
        wait_until("HAProxy listens", lambda: pathlib.Path(self.socket).exists())
        self.pods, self.slots, self.changes = [], {}, []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def follow(self):
        known = set()
        while not self.stopped.wait(0.05):
            endpoints = {pod for pod in list(self.pods) if pod.is_ready and not pod.is_terminating}
            if endpoints != known:
                self.changes.append((time.monotonic() + PROPAGATION_SECONDS, known := endpoints))
            while self.changes and self.changes[0][0] <= time.monotonic():
                self.apply(self.changes.pop(0)[1])

    def apply(self, endpoints):
        for pod in [pod for pod in self.slots if pod not in endpoints]:
            self.command(f"set server pods/pod{self.slots.pop(pod)} state maint")
        for pod in endpoints - self.slots.keys():
            slot = min(set(range(1, SLOTS + 1)) - set(self.slots.values()))
            self.command(f"set server pods/pod{slot} addr {pod.address} port 8086")
            self.command(f"set server pods/pod{slot} state ready")
            self.slots[pod] = slot

    def command(self, text):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.socket)
            connection.sendall(f"{text}\n".encode())
            connection.recv(4096)

    def stop(self):
        self.stopped.set()
        self.thread.join()
        self.process.terminate()
        self.process.wait()


class Load:
    """Verifies a token's value all the time, and creates and deletes tokens."""

    def __init__(self, value):
        self.stopped = threading.Event()
        self.counts = {"verifications": [0, 0], "writes": [0, 0]}
        self.failures = []
        self.lock = threading.Lock()
        jobs = [(self.verify, value)] * READERS + [(self.write, None)]
        self.threads = [threading.Thread(target=self.repeat, args=job, daemon=True) for job in jobs]
        for thread in self.threads:
            thread.start()

    def repeat(self, job, argument):
        connection = http.client.HTTPConnection("127.0.0.1", PROXY_PORT, timeout=30)
        while not self.stopped.is_set():
            job(connection, argument)

    def send(self, connection, kind, method, path, headers, body=None):
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            status, text = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            status, text = 0, repr(error)
        holds = status in (200, 204)
        with self.lock:
            self.counts[kind][0] += 1
            self.counts[kind][1] += not holds
            if not holds:
                self.failures.append((kind, method, status, str(text)[:100]))
        return text if holds else None

    def verify(self, connection, value):
        self.send(
            connection,
            "verifications",
            "GET",
            "/verify",
            {"X-API-Key": value, "X-Original-Method": "GET", "X-Original-URI": "/"},
        )

    def write(self, connection, _):
        if text := self.send(
            connection, "writes", "POST", "/api-tokens", as_admin(), json.dumps({"name": "during the restart"})
        ):
            self.send(connection, "writes", "DELETE", f"/api-tokens/{json.loads(text)['id']}", as_admin())

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


@contextlib.contextmanager
def postgres(directory, address):
    """Runs a private PostgreSQL that pods reach, and yields its URL."""
    binaries = find_postgres()
    user, data = pwd.getpwnam("postgres"), directory / "postgres"
    data.mkdir()
    os.chown(data, user.pw_uid, user.pw_gid)
    directory.chmod(0o755)

    def run(program, *arguments):
        subprocess.run(
            [binaries / program, *arguments],
            check=True,
            user="postgres",
            group="postgres",
            cwd="/",
            stdout=subprocess.DEVNULL,
        )

    run("initdb", "--pgdata", data, "--username=tokenbridge", "--auth=trust", "--encoding=UTF8", "--no-sync")
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write("host all all samenet trust\n")
    options = f"-c listen_addresses={address} -c port=24821 -c unix_socket_directories='' -c fsync=off"
    run("pg_ctl", "--pgdata", data, "--log", data / "log", "--silent", "--wait", "--options", options, "start")
    try:
        yield f"postgres://tokenbridge@{address}:24821/postgres"
    finally:
        run("pg_ctl", "--pgdata", data, "--mode=fast", "--silent", "stop")


def check_rolling_restart(checks, engine, directory):
    _, manifests = render("postgres")
    engine.podman("network", "create", NETWORK)
    gateway = json.loads(engine.podman("network", "inspect", NETWORK))[0]["subnets"][0]["gateway"]
    # The gateway has its address only while there is a container.
    engine.podman(
        "run", "--detach", "--name", "gateway", "--network", NETWORK, "--no-healthcheck", "localhost/tokenbridge"
    )
    with postgres(directory, gateway) as url:
        secrets = {"tokenbridge": directory / "secrets"}
        secrets["tokenbridge"].mkdir(mode=0o755)
        for name, text in (("admin-password", ADMIN_PASSWORD), ("database-url", url)):
            (secrets["tokenbridge"] / name).write_text(text)
        service = Service(directory)
        try:
            roll(checks, engine, manifests, secrets, service)
        finally:
            service.stop()


def roll(checks, engine, manifests, secrets, service):
    spec = manifests["Deployment"]["spec"]
    surge = spec["strategy"]["rollingUpdate"]["maxSurge"]
    checks.check(
        "an update removes no pod before its successor is ready",
        spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0,
    )

    def start(count):
        pods = [Pod(engine, manifests, secrets) for _ in range(count)]
        service.pods += pods
        wait_until("the pods are ready", lambda: all(pod.is_ready for pod in pods))
        return pods

    old = start(spec["replicas"])
    wait_until("the service has its endpoints", lambda: len(service.slots) == spec["replicas"])
    status, text = request("POST", f"http://127.0.0.1:{PROXY_PORT}/api-tokens", {"name": "verified"}, as_admin())
    checks.check("a token is created through the service", status == 200, text)
    load, began, codes = Load(json.loads(text)["value"]), time.monotonic(), []
    while old:
        started = start(surge)
        for pod in old[: len(started)]:
            codes.append(pod.delete())
        old = old[len(started) :]
    new = {pod for pod in service.pods if not pod.is_terminating}
    wait_until("the service sends requests to the new pods only", lambda: set(service.slots) == new)
    load.stop()
    (verifications, unverified), (writes, unwritten) = load.counts["verifications"], load.counts["writes"]
    print(f"          {spec['replicas']} pods replaced in {time.monotonic() - began:.0f} s")
    print(f"          {verifications} verifications, {unverified} failed; {writes} writes, {unwritten} failed")
    checks.check("no verification failed", verifications > 0 and unverified == 0, load.failures[:5])
    checks.check("no write failed", writes > 0 and unwritten == 0, load.failures[:5])
    checks.check("every pod exited with 0", codes == [0] * spec["replicas"], codes)
    checks.check("no liveness probe failed", not any(pod.has_restarted for pod in service.pods))
    for pod in new:
        process = engine.status_of_process(pod.name)
        facts = process["Uid"].split()[0], int(process["CapBnd"], 16), process["NoNewPrivs"], process["Seccomp"]
        checks.check(f"{pod.name} runs with the security context", facts == ("10001", 0, "1", "2"), facts)


def check(checks, engine, directory):
    print("== deploy/kubernetes", flush=True)
    check_manifests(checks, directory)
    check_rolling_restart(checks, engine, directory)
