"""Spellings of paths and of header names that servers behind a gateway could treat as others."""

import posixpath
import re
import urllib.parse

PREFIXES = ["/rest/agent-config/1.0", "/rest/agent-config/latest", "/rest/agent/1.0", "/rest/agent/latest"]

# The characters of a field name (RFC 9110, section 5.6.2) that are neither letters nor digits, besides "-".
NAME_CHARACTERS = "!#$%&'*+.^_`|~"

IDENTITY = ["X-Token-Id", "X-Token-Name", "X-Token-Permissions"]


def of_tomcat(target):
    """The path that Tomcat serves for a target: without path parameters, decoded, without empty and dot segments."""
    path = re.sub(r"^[a-z]+://[^/]*", "", target, flags=re.I)
    path = urllib.parse.unquote(re.sub(r";[^/]*", "", path.split("?")[0])).replace("\\", "/")
    return posixpath.normpath("/" + path.lstrip("/"))


def is_gated(target):
    return bool(re.search(r"/rest/agents?(/|$)", of_tomcat(target).lower()))


def is_tokens_path(target):
    return bool(re.search(r"/rest/agent(-config)?/[^/]+/tokens", of_tomcat(target).lower()))


def is_equivalent(target):
    """Whether a target is a tokens path after normalization (RFC 3986, section 6.2.2), which gateways may do."""
    path = re.sub(r"^http://[^/]*", "", target).split("?")[0].split("#")[0]
    decoded = re.sub(
        r"%([0-9A-Fa-f]{2})",
        lambda code: chr(int(code[1], 16)) if re.match(r"[A-Za-z0-9._~-]", chr(int(code[1], 16))) else code[0],
        path,
    )
    normal = posixpath.normpath("/" + decoded.lstrip("/"))
    # The suffix has one spelling.
    return any(re.fullmatch(re.escape(prefix) + r"/tokens(/[0-9a-f-]{36})?(\.json)?", normal) for prefix in PREFIXES)


def tokens_targets(uuid):
    """Targets that Bamboo could serve as a tokens path."""
    endings = [
        "",
        "/",
        ".json",
        ".json/",
        ".xml",
        ".JSON",
        ".Json",
        ".json.xml",
        ".jsonp",
        ".",
        "..",
        "%2Ejson",
        "%2ejson",
        ".%6ason",
        "%2Exml",
        "%20",
        "%09",
        "%0a",
        "%0D",
        "%00",
        "%00.json",
        "+",
        "~",
        "s",
        ";x=1",
        ";",
        ";.json",
        ".json;x",
        ";/",
        "%3b",
        "%3Bx=1",
        "%2f",
        "%2F",
        "%2f%2e",
        "%5c",
        "\\",
        "#",
        "%23",
        "%3f",
        "%25",
        "%252f",
        "/.",
        "/./",
        "//",
        "/x/..",
        "/%2e",
        "/x/%2E%2E",
        "/..;/tokens",
        "/;",
        "/;x",
        "%c0%ae",
        "%e2%80%8b",
        "%ff",
        "%",
        "%zz",
        "?x=.json",
        "/?x",
    ]
    members = [f"{prefix}/tokens{member}" for prefix in PREFIXES for member in ("", f"/{uuid}")]
    targets = [path + ending for path in members for ending in endings]
    for path in members:
        _, _, plugin, version, *_ = path.split("/")
        after = path.split("/tokens")[1]
        upper = path.split("/tokens")[0].upper() + "/TOKENS" + after
        targets += [
            f"/{path}",
            f"//{path}",
            f"/.{path}",
            f"/x/..{path}",
            f"/x/%2e%2e{path}",
            f"/%2E{path}",
            f"/;{path}",
            f"/.;{path}",
            f"/x/..;{path}",
            f"/%2f{path}",
            f"\\{path}",
            f"http://127.0.0.1{path}",
            f"http://other.example{path}",
            upper,
            upper.replace("TOKENS", "tokens"),
            path.replace("tokens", "Tokens"),
            path.replace("tokens", "%74okens"),
            path.replace("tokens", "token%73"),
            path.replace("tokens", "%54okens"),
            path.replace("tokens", "%2574okens"),
            path.replace("/rest", "/%72est"),
            path.replace("/rest", "/rest;x"),
            path.replace("/rest", "/rest%3bx"),
            path.replace("agent", "%61gent"),
            path.replace(".", "%2e"),
            f"/rest//{plugin}/{version}/tokens{after}",
            f"/rest/./{plugin}/{version}/tokens{after}",
            f"/rest/x/../{plugin}/{version}/tokens{after}",
            f"/rest/{plugin};x=1/{version}/tokens{after}",
            f"/rest/{plugin}/{version};x/tokens{after}",
            f"/rest/{plugin}/;/{version}/tokens{after}",
            f"/rest/{plugin}//{version}/tokens{after}",
            f"/rest/{plugin}/{version}//tokens{after}",
            f"/rest/{plugin}/{version}/./tokens{after}",
            f"/rest/{plugin}/{version}/x/../tokens{after}",
            f"/rest/{plugin}/{version}/x/..;/tokens{after}",
            f"/rest/{plugin}/{version}/;x/tokens{after}",
            f"/rest/{plugin}/x/../{version}/tokens{after}",
            f"/rest/{plugin}/{version}/%2e/tokens{after}",
            f"/rest/{plugin}/{version}/x/%2e%2e/tokens{after}",
            f"/rest/{plugin}%2f{version}/tokens{after}",
            f"/rest/{plugin}/{version}%2Ftokens{after}",
            f"/rest%2F{plugin}/{version}/tokens{after}",
            f"/rest/{plugin}/{version}\\tokens{after}",
            f"/rest/{plugin}/{version}%5Ctokens{after}",
            f"/rest\\{plugin}/{version}/tokens{after}",
            f"/rest/{plugin}/{version}/x/%2e%2e%2ftokens{after}",
            f"/rest/{plugin}/{version}/tokens;x{after}",
            f"/rest/agents/../{plugin}/{version}/tokens{after}",
            f"/rest/agents/..;/{plugin}/{version}/tokens{after}",
            f"/rest/agents/1.0/%2e%2e/%2e%2e/{plugin}/{version}/tokens{after}",
        ]
    return targets


def aliases(character):
    """The spellings of the identity headers with this character instead of some hyphens."""
    for name in IDENTITY:
        first, second, third = name.split("-")
        yield character.join((first, second, third))
        yield f"{first}{character}{second}-{third}"
        yield f"{first}-{second}{character}{third}"
    yield character.join(("x", "TOKEN", "iD"))
    yield character.join(("X", "Forwarded", "For"))


def of_cgi(name):
    """The variable of a header in CGI, PHP, and WSGI."""
    return "HTTP_" + re.sub(r"[^A-Za-z0-9]", "_", name).upper()
