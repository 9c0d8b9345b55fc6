"""What the benchmarks share: programs on a core of their own, a PostgreSQL, loads, and tables."""
import atexit, base64, json, os, pathlib, shutil, signal, socket, statistics, subprocess, sys, time, urllib.request

BENCHES = pathlib.Path(__file__).resolve().parent
ROOT = BENCHES.parent
PROFILE = "dist"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / PROFILE
SERVER_CORE, LOAD_CORE, BOTH_CORES = "0", "1", "0,1"
CONNECTIONS = 32
PASSWORD = "a password for measuring"


def basic(password):
    return "Authorization: Basic " + base64.b64encode(f"admin:{password}".encode()).decode()


BASIC = basic(PASSWORD)
JSON = "Content-Type: application/json"


def pin_to_core(core, *command):
    return ["taskset", "-c", core, *map(str, command)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Program:
    """A server, by default on the first core, with its output in a file."""

    def __init__(self, directory, *command, core=SERVER_CORE, port=None, **environment):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [str(part).replace("ADDRESS", f"127.0.0.1:{self.port}") for part in command]
        clean = {"PATH": os.environ["PATH"], **environment}
        self.log = open(directory / "log", "ab")
        self.began = time.monotonic()
        self.process = subprocess.Popen(pin_to_core(core, *command), stderr=self.log, stdout=self.log, env=clean)
        # It must not outlive this script, even after an error.
        atexit.register(self.process.kill)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() - self.began > 120:
                    sys.exit(f"{command[0]} does not listen; its log is {directory / 'log'}")
                time.sleep(0.002)
        self.listened_after = time.monotonic() - self.began

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, what="VmHWM"):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split(f"{what}:")[1].split()[0]) / 1024

    def call(self, path, *headers, method="GET", body=None):
        request = urllib.request.Request(self.url + path, data=body and body.encode(), method=method)
        for header in headers:
            request.add_header(*header.split(": ", 1))
        with urllib.request.urlopen(request) as answer:
            return answer.headers, answer.read().decode()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.log.close()


def wrk(
    program, path, seconds, *headers,
    connections=CONNECTIONS, method="GET", body=None, keys=None, key_header="X-API-Key", first=0, refused=False, core=LOAD_CORE,
):
    """Starts a load; the returned function waits for its results."""
    environment = {"PATH": os.environ["PATH"], "METHOD": method, "HEADERS": "\n".join(headers), "FIRST": str(first)}
    environment |= ({"BODY": body} if body else {}) | ({"KEYS": str(keys), "KEY_HEADER": key_header} if keys else {})
    command = pin_to_core(core, "wrk", "-t1", f"-c{connections}", f"-d{seconds}", "-s", BENCHES / "load/load.lua", program.url + path)
    load = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)

    def figures():
        out, _ = load.communicate(timeout=seconds + 60)
        found = json.loads(out.strip().splitlines()[-1])
        all_refused = found["refused"] == found["requests"]
        if found["broken"] or (not all_refused if refused else found["refused"]):
            sys.exit(f"{path} has unexpected responses: {found}")
        found["rate"] = found["requests"] / found["seconds"]
        return found

    return figures


def measure(program, *arguments, **keywords):
    before = program.cpu()
    found = wrk(program, *arguments, **keywords)()
    found["cpu"] = (program.cpu() - before) / found["requests"] * 1e6
    found["memory"] = program.memory()
    return found


def median(rounds, figure):
    return statistics.median(found[figure] for found in rounds)


def table(title, header, rows):
    print(f"\n### {title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")
    sys.stdout.flush()


class Cluster:
    """A private PostgreSQL, on the second core."""

    def __init__(self, directory):
        versions = pathlib.Path("/usr/lib/postgresql").glob("*/bin")
        self.bin = max(versions, key=lambda path: int(path.parent.name))
        self.data, self.port = directory / "postgres", free_port()
        self.user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        directory.chmod(0o755)
        if self.user:
            self.data.mkdir()
            shutil.chown(self.data, "postgres")
        self.run("initdb", "-D", self.data, "-U", "tokenbridge", "-A", "trust", "--no-locale", "-E", "UTF8")
        settings = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self.data} -c shared_buffers=512MB -c max_wal_size=4GB"
        self.run("pg_ctl", "-D", self.data, "-l", self.data / "log", "-w", "-o", settings, "start", core=LOAD_CORE)
        self.url = f"postgres://tokenbridge@127.0.0.1:{self.port}/postgres"

    def run(self, program, *arguments, core=LOAD_CORE, **keywords):
        command = [*self.user, *pin_to_core(core, self.bin / program, *arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd="/", **keywords)

    def stop(self):
        self.run("pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop")


def build():
    for program in ["wrk", "curl", "taskset"]:
        shutil.which(program) or sys.exit(f"{program} is not installed")
    command = ["cargo", "build", "--locked", "--profile", PROFILE, "--bin", "tokenbridge", "--examples"]
    subprocess.run(command, cwd=ROOT, check=True)
