"""Generates clients from the document of the server at BASE_URL, compiles them, and runs a scenario with each."""

import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from checks import ADMIN_PASSWORD, ADMIN_USERNAME, BASE_URL, Checks, call, new_token

TOOLS = Path(os.environ.get("TOOLS") or HERE.parent.parent / "target/tools").resolve() / "generators"
VENV, NODE = TOOLS / "venv/bin", TOOLS / "node_modules/.bin"
# Node.js looks for modules in the directories above a script.
WORK = TOOLS / "work"
DOCUMENT = WORK / "openapi.json"
JAR = next(TOOLS.glob("venv/lib/python3*/site-packages/openapi_generator_cli/openapi-generator.jar"), TOOLS / "openapi-generator.jar")
# The generator contains Jackson, and Debian packages have the rest that a Java client needs.
CLASSPATH = f"{JAR}:/usr/share/java/httpmime.jar:/usr/share/java/jakarta-annotation-api.jar"
# Otherwise a client refuses the fields that later versions add to responses.
LENIENT = "disallowAdditionalPropertiesIfNotPresent=false"

checks = Checks(WORK, VENV)
check = checks.check


def prepare(name, *sources):
    """Creates the directory of a client, with these files of the scenario."""
    directory = WORK / name
    directory.mkdir()
    for source in sources:
        target = directory / source.name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    return directory


def openapi_generator(language, output, *options):
    """Generates a client with openapi-generator."""
    without = "apiTests=false,modelTests=false,apiDocs=false,modelDocs=false"
    generate = ["java", "-jar", JAR, "generate", "-g", language, "-i", DOCUMENT, "-o", output, "--global-property", without]
    return check(f"openapi-generator generate -g {language}", [*generate, *options], seconds=180)


def scenario(name, command, cwd, env=()):
    """Runs the scenario with a token of its own."""
    says = ["created: ", "after the deletion: ", "there is no such token"]
    env = {"TOKEN": new_token(name)["value"], **dict(env)}
    check(f"{name}: the scenario", command, says=says, cwd=cwd, env=env)


def rust():
    # RUSTUP_HOME and CARGO_HOME are in the HOME of the user by default.
    home = Path.home()
    env = {
        "CARGO_HOME": os.environ.get("CARGO_HOME", home / ".cargo"), "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", home / ".rustup"),
        "CARGO_TARGET_DIR": TOOLS / "rust-target",
    }  # fmt: skip
    env = {name: str(path) for name, path in env.items()}
    directory = prepare("rust", *(HERE / "rust").iterdir())
    options = ["--package-name", "tokenbridge-client", "-p", "packageVersion=0.1.0,useSingleRequestParameter=true"]
    if openapi_generator("rust", directory / "client", *options):
        if check("Rust: cargo build", ["cargo", "build", "--locked"], seconds=1200, cwd=directory, env=env):
            scenario("Rust", [TOOLS / "rust-target/debug/scenario"], directory)


def go():
    env = {"GOCACHE": str(TOOLS / "go-cache"), "GOPROXY": "off", "GOTOOLCHAIN": "local"}
    directory = prepare("go", *(HERE / "go").iterdir())
    if openapi_generator("go", directory / "tokenbridge", "-p", f"packageName=tokenbridge,withGoMod=false,{LENIENT}"):
        check("Go: go vet", ["go", "vet", "./..."], seconds=300, cwd=directory, env=env)
        if check("Go: go build", ["go", "build", "-o", "scenario", "."], seconds=300, cwd=directory, env=env):
            scenario("Go", [directory / "scenario"], directory)


def java():
    directory = prepare("java", HERE / "java/Scenario.java")
    packages = "invokerPackage=tokenbridge,apiPackage=tokenbridge.api,modelPackage=tokenbridge.model"
    # Without containerDefaultToNull, an update sends the lists that it does not name as empty ones, which removes the
    # permissions and the limits of a token.
    options = "containerDefaultToNull=true,openApiNullable=false,useJakartaEe=true,useSingleRequestParameter=true"
    if openapi_generator("java", directory / "client", "--library", "native", "-p", f"{packages},{options}"):
        sources = [directory / "Scenario.java", *(directory / "client/src/main/java").rglob("*.java")]
        compile_all = ["javac", "-nowarn", "-proc:none", "-cp", CLASSPATH, "-d", "classes", *sources]
        if check("Java: javac", compile_all, seconds=180, cwd=directory):
            scenario("Java", ["java", "-cp", f"classes:{CLASSPATH}", "Scenario"], directory)


def python_openapi_generator():
    directory = prepare("python", HERE / "python/use_openapi_generator.py")
    if openapi_generator("python", directory, "-p", "packageName=tokenbridge"):
        check("Python, openapi-generator: mypy", [VENV / "mypy", "tokenbridge", "use_openapi_generator.py"], seconds=180, cwd=directory)
        scenario("Python, openapi-generator", [VENV / "python", "use_openapi_generator.py"], directory)


def python_openapi_python_client():
    directory = prepare("openapi-python-client", HERE / "python/use_openapi_python_client.py")
    generate = [VENV / "openapi-python-client", "generate", "--path", DOCUMENT, "--meta", "none", "--fail-on-warning"]
    if check("openapi-python-client generate", [*generate, "--output-path", directory / "tokenbridge"], seconds=180):
        # The generator's own module has errors of its own.
        mypy = [VENV / "mypy", "--follow-imports=silent", "use_openapi_python_client.py"]
        check("Python, openapi-python-client: mypy", mypy, seconds=180, cwd=directory)
        scenario("Python, openapi-python-client", [VENV / "python", "use_openapi_python_client.py"], directory)


def typescript(name, source, generate):
    """Compiles and runs a TypeScript client."""
    directory = prepare(name, HERE / "typescript/tsconfig.json", HERE / "typescript" / source)
    if check(f"{name} generate", generate(directory), seconds=120):
        if check(f"TypeScript, {name}: tsc", [NODE / "tsc"], seconds=180, cwd=directory):
            scenario(f"TypeScript, {name}", ["node", f"out/{Path(source).stem}.js"], directory)


def openapi_typescript():
    def generate(directory):
        return [NODE / "openapi-typescript", DOCUMENT, "-o", directory / "tokenbridge.ts"]

    typescript("openapi-fetch", "use_openapi_fetch.ts", generate)


def hey_api():
    def generate(directory):
        return [NODE / "openapi-ts", "-i", DOCUMENT, "-o", directory / "tokenbridge"]

    typescript("hey-api", "use_hey_api.ts", generate)


def lint():
    # Telemetry and the update check would send requests to other hosts.
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    redocly = [NODE / "redocly", "lint", "--config", HERE / "redocly.yaml", "--format", "stylish", DOCUMENT]
    check("redocly lint", redocly, env=quiet)
    spectral = [NODE / "spectral", "lint", "--ruleset", HERE / "spectral.yaml", "--fail-severity", "hint", DOCUMENT]
    check("spectral lint", spectral)


def bruno():
    operations = sum(len(item) for item in json.loads(DOCUMENT.read_text())["paths"].values())
    directory = prepare("bruno", HERE / "collections/convert_to_bruno.js")
    check("Bruno: a request for every operation", ["node", "convert_to_bruno.js", DOCUMENT, str(operations)], cwd=directory)


def postman():
    """Runs after all others, because the collection also deletes tokens."""
    directory = prepare("postman", HERE / "collections/check_responses.js")
    options = "folderStrategy=Tags,parametersResolution=Example,enableOptionalParameters=false"
    convert = [NODE / "openapi2postmanv2", "-s", DOCUMENT, "-o", "collection.json", "-p", "-O", options]
    if check("openapi-to-postmanv2", convert, says=["Conversion successful"], cwd=directory):
        check("Postman: checks for the responses", ["node", "check_responses.js", "collection.json"], cwd=directory)
        variables = {
            "baseUrl": BASE_URL, "apiKey": new_token("postman")["value"],
            "basicAuthUsername": ADMIN_USERNAME, "basicAuthPassword": ADMIN_PASSWORD,
        }  # fmt: skip
        options = [word for name, value in variables.items() for word in ("--env-var", f"{name}={value}")]
        check("Postman: newman", [NODE / "newman", "run", "collection.json", "--color", "off", *options], cwd=directory)


def run(client):
    try:
        client()
    except OSError as error:
        checks.fail(client.__name__, error)


if __name__ == "__main__":
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    DOCUMENT.write_text(json.dumps(call("GET", "/openapi.json")))
    # The slowest first; two at a time use two cores well.
    clients = (rust, go, java, python_openapi_generator, python_openapi_python_client, openapi_typescript, hey_api, lint, bruno)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, clients))
    run(postman)
    checks.finish()
