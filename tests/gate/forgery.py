"""Headers of a client that claim another method, URI, address, or identity than its own."""

from credentials import RIGHTS, arrived, refusal
from spellings import IDENTITY
from support import check, client, header


def check_forgery(gateway, credentials):
    """Headers of a client change neither the decision nor the headers of the backend."""
    reads, both = credentials.by["read"], credentials.by["both"]
    token = {"read": credentials.by["uuid read"], "both": credentials.by["uuid both"]}
    site, backend = gateway.bamboo, gateway.bamboo.backend
    outside, limited = credentials.by["elsewhere both"]

    def post(headers, query=""):
        before = len(backend.seen)
        answer = client(site.port, "POST", site.path + query, headers, b"{}")
        return answer, backend.seen[before:]

    key = ("X-API-Key", reads)
    names = [
        "X-Original-Method",
        "X-Forwarded-Method",
        "X-HTTP-Method-Override",
        "X_Original_Method",
        "X-Original_Method",
        "X_Forwarded_Method",
        "x-original-method",
        "X-HTTP-Method",
        "X-Method-Override",
    ]
    check(
        f"{gateway.name}: a change is no read by the client's word",
        [
            f"{name}: {problem}"
            for name in names
            for answer, seen in [post([key, (name, "GET")])]
            for problem in [*refusal(gateway, answer, 403), *(["reached"] if seen else [])]
        ],
    )
    problems = []
    for name in names:
        before = len(backend.seen)
        answer = client(site.port, "GET", site.path, [key, (name, "DELETE")])
        for seen in backend.seen[before:]:
            told = [one for one in seen["headers"] if one[1] == "DELETE"]
            problems += [f"{name}: {seen['headers']}"] if told or seen["method"] != "GET" else []
    check(f"{gateway.name}: the backend is not told another method", problems)
    problems = []
    for name in [
        "X-Original-URI",
        "X-Forwarded-Uri",
        "X_Original_URI",
        "X-Original-URL",
        "X_Original_URL",
        "Referer",
        "X-Rewrite-Url",
    ]:
        answer, seen = post([(name, f"{site.path}?uuid={token['both']}")])
        problems += [f"{name}: {problem}" for problem in refusal(gateway, answer, 401)] + (["reached"] if seen else [])
    answer, seen = post(
        [("X-Original-URI", f"/?uuid={token['both']}"), ("X-Forwarded-Uri", f"/?uuid={token['both']}")],
        f"?uuid={token['read']}",
    )
    problems += [*refusal(gateway, answer, 403), *(["reached"] if seen else [])]
    check(f"{gateway.name}: uuids in headers of the client are ignored", problems)
    problems = []
    claims = [(name, "forged") for name in (*IDENTITY, "x-token-permissions", "X-Token-Id")]
    for connection in (
        [],
        [("Connection", "X-Token-Id, X-Token-Name, X-Forwarded-For, Authorization, X-API-Key")],
        [("Connection", "X-Forwarded-Uri, X-Forwarded-Method, X-Original-URI")],
    ):
        answer, seen = post([("X-API-Key", both), *claims, *connection])
        if connection and answer.status == 401 and not seen:
            # The gateway removes the credential that "Connection" names.
            continue
        if answer.status != 200 or len(seen) != 1:
            problems.append(f"{connection}: {answer}")
            continue
        problems += [f"{one}" for one in seen[0]["headers"] if one[1] == "forged"]
        problems += [
            f"{name}: {header(seen[0], name)}"
            for name in ("x-token-id", "x-token-permissions", "x-token-name", "x-forwarded-for")
            if len(header(seen[0], name)) != 1
        ]
    check(f"{gateway.name}: only the gate sets the token headers of the backend", problems)
    for path in ("/", "/login", "/rest/api/latest/plan") if gateway.forwards_the_rest else ():
        before = len(backend.seen)
        answer = client(site.port, "GET", path, claims)
        got = backend.seen[before:]
        check(
            f"{gateway.name}: nor where there is no gate: {path}",
            [f"{answer} {got}"]
            if answer.status != 200 or len(got) != 1 or any("token" in name for name, _ in got[0]["headers"])
            else [],
        )
    problems = []
    for name, value in (
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-For", "127.0.0.9"),
        ("Forwarded", "for=192.0.2.7"),
        ("X-Real-IP", "192.0.2.7"),
        ("X_Forwarded_For", "192.0.2.7"),
        ("X-Forwarded_For", "192.0.2.7"),
        ("True-Client-IP", "192.0.2.7"),
    ):
        answer, seen = post([("X-API-Key", limited), (name, value)])
        problems += [f"{name}: {problem}" for problem in refusal(gateway, answer, 401)] + (["reached"] if seen else [])
    check(f"{gateway.name}: no one comes from where he says", problems)
    before = len(backend.seen)
    answer = client(site.port, "POST", site.path, [("X-API-Key", limited)], b"{}", source="127.0.0.9")
    seen = backend.seen[before:]
    check(
        f"{gateway.name}: who comes from there, passes",
        [answer]
        if answer.status != 200 or len(seen) != 1 or header(seen[0], "x-forwarded-for") != ["127.0.0.9"]
        else [*arrived(gateway, seen[0], "POST", site.path, (outside, RIGHTS["both"]), b"{}")],
    )
