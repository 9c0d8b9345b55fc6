"""The image: how it is built, what it contains, and how a container of it runs."""

import json
import os
import pathlib
import subprocess
import time
import tomllib

from support import ADMIN_PASSWORD, as_admin, request, wait_until

# The image must be smaller than 60 MB. The program of profile dist has 30 MB; that of a debug build, which
# the tests use, can have twice as much.
MAX_ADDED_BYTES = 30_000_000
EPOCH = "1893456000"
VERSION = tomllib.loads(pathlib.Path("Cargo.toml").read_text())["package"]["version"]


def build_context(program, directory):
    """Writes what the stage `build` leaves: /image and /data."""
    directory.mkdir()
    subprocess.run(
        ["deploy/container/root", program, directory / "image"],
        check=True,
        env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH},
    )
    (directory / "data").mkdir(mode=0o700)
    return directory


def build(engine, context, tag, image_format):
    """Builds the image, and returns the digest of its manifest and those of its layers."""
    engine.run(
        "buildah", "bud", "--isolation", "chroot", "--format", image_format, "--timestamp", EPOCH, "--no-cache",
        "--build-arg", f"VERSION={VERSION}", "--build-context", f"build={context}", "--tag", tag, "--file",
        "deploy/container/Containerfile", ".",
    )  # fmt: skip
    return engine.inspect(tag, "{{.Digest}}"), engine.inspect(tag, "{{.RootFS.Layers}}")


def check_build(checks, engine, program, directory):
    print("== the image", flush=True)
    contexts = [build_context(program, directory / f"context{number}") for number in (1, 2)]
    first, second = (build(engine, context, "localhost/tokenbridge:oci", "oci") for context in contexts)
    checks.check("two builds have the same digest", first == second, [first, second])
    # In this format, buildah adds a random host name.
    digest, layers = build(engine, contexts[0], "localhost/tokenbridge", "docker")
    checks.check("with a health check, the layers are the same", layers == first[1], layers)
    size = int(engine.inspect("localhost/tokenbridge", "{{.Size}}"))
    print(f"          {size / 1e6:.1f} MB, {os.path.getsize(program) / 1e6:.1f} of them the program; {digest}")
    added = size - os.path.getsize(program)
    checks.check("it adds less than 30 MB to the program", added < MAX_ADDED_BYTES, added)
    config = json.loads(engine.inspect("localhost/tokenbridge", "{{json .Config}}"))
    checks.check("its user is a number, and not root", config["User"] == "10001:10001", config["User"])
    checks.check("its data is a volume", list(config["Volumes"]) == ["/var/lib/tokenbridge"], config["Volumes"])
    label = config["Labels"]["org.opencontainers.image.version"]
    checks.check("a label has the version", label == VERSION, label)
    check_bill_of_materials(checks, directory / "context1/image/usr/share/doc/tokenbridge/sbom.cdx.json")


def check_bill_of_materials(checks, file):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = file.read_text()
    invalid = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    checks.check("its bill of materials is valid", invalid is None, invalid)
    components = {component["name"] for component in json.loads(text)["components"]}
    bundled = {"actix-web", "diesel", "libsqlite3-sys", "openssl-src", "pq-src"}
    checks.check("it names the libraries that are compiled in", bundled <= components, bundled - components)


def start(engine, name):
    """Starts a container, and returns the seconds until its first answer."""
    began = time.monotonic()
    engine.podman("start", name)
    wait_until("the container is ready", lambda: request("GET", f"{BASE_URL}/readyz")[0] == 200, interval=0.002)
    return time.monotonic() - began


PORT = 24810
BASE_URL = f"http://127.0.0.1:{PORT}"


def check_container(checks, engine):
    print("== a container", flush=True)
    engine.podman(
        "create", "--name", "one", "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt",
        "no-new-privileges", "--publish", f"127.0.0.1:{PORT}:8086", "--volume", "data:/var/lib/tokenbridge",
        "--env", f"TOKENBRIDGE_ADMIN_PASSWORD={ADMIN_PASSWORD}", "localhost/tokenbridge",
    )  # fmt: skip
    first = start(engine, "one")
    process = engine.status_of_process("one")
    checks.check("it runs as 10001", process["Uid"].split() == ["10001"] * 4, process["Uid"])
    checks.check("it has no capabilities", int(process["CapBnd"], 16) == 0, process["CapBnd"])
    checks.check("it cannot gain privileges", process["NoNewPrivs"] == "1")
    root = pathlib.Path(f"/proc/{engine.inspect('one', '{{.State.Pid}}')}/mountinfo").read_text().splitlines()
    root = [line.split()[5] for line in root if line.split()[4] == "/"]
    checks.check("its root is read-only", all("ro" in options.split(",") for options in root), root)

    status, text = request("POST", f"{BASE_URL}/api-tokens", {"name": "kept"}, as_admin())
    checks.check("a token is created", status == 200, text)
    value = json.loads(text)["value"]
    check_stop(checks, engine, "one")
    second = start(engine, "one")
    print(f"          from start to the first answer: {first:.2f} s with an empty volume, {second:.2f} s afterwards")
    status, text = request("GET", f"{BASE_URL}/api-tokens/self", headers={"X-API-Key": value})
    checks.check("a restart keeps the data", status == 200, text)
    check_health(checks, engine, "one")
    engine.podman("rm", "--force", "--time", "0", "one")


def check_stop(checks, engine, name):
    began = time.monotonic()
    engine.podman("stop", "--time", "30", name)
    print(f"          it stopped {time.monotonic() - began:.2f} s after SIGTERM")
    checks.check("SIGTERM ends it cleanly", engine.inspect(name, "{{.State.ExitCode}}") == "0")
    log = pathlib.Path(engine.inspect(name, "{{.HostConfig.LogConfig.Path}}")).read_text()
    checks.check("its last line says so", log.rstrip().endswith("stopped"), log[-200:])


def check_health(checks, engine, name):
    """Runs the health check of the image."""

    def is_healthy(expected):
        try:
            engine.podman("healthcheck", "run", name, status=0 if expected else 1)
        except RuntimeError:
            return False
        return True

    checks.check("it is healthy", is_healthy(True) and engine.inspect(name, "{{.State.Health.Status}}") == "healthy")
    volume = pathlib.Path(engine.podman("volume", "inspect", "--format", "{{.Mountpoint}}", "data"))
    (volume / "tokenbridge.db").rename(volume / "away.db")
    checks.check("it is unhealthy while its database file is missing", is_healthy(False))
    (volume / "away.db").rename(volume / "tokenbridge.db")
    # The server checks the pages of the file first.
    checks.check("it is healthy again afterwards", wait_until("it is healthy", lambda: is_healthy(True)))
