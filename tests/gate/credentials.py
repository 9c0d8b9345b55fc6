"""All kinds of credentials, and what is expected of the gate and of a backend for each."""

import datetime

from support import ALERT, ALERT_CHANGE, CHANGE, READ, header, within

RIGHTS = {"none": [], "read": [READ], "change": [CHANGE], "both": [READ, CHANGE]}
UNKNOWN = "00000000-0000-4000-8000-000000000000"


class Credentials:
    """All kinds of credentials: name, headers, query, and token (ID, permissions) or None if it is never valid."""

    def __init__(self, tokenbridge):
        self.all, self.secrets = [], []
        self.admin = tokenbridge.basic[1].removeprefix("Basic ").encode()
        # The first login is slow; later ones are cached.
        tokenbridge.call("GET", "/api-tokens")
        soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=4)
        expires = {"expiresAt": soon.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        expired = {
            name: (
                tokenbridge.value("expired", permissions or ["UserRead"], **expires)[1],
                tokenbridge.legacy("expired", permissions, **expires),
            )
            for name, permissions in RIGHTS.items()
        }
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
            self.add(
                f"{name}, by the value of a rotated legacy token, and its uuid",
                (rotated, permissions),
                value=value,
                uuid=rotated,
            )
            self.add(f"{name}, by a wrong value and a right uuid", value="tbk_" + "B" * 49, uuid=uuid)
            self.add(f"{name}, expired value", value=expired[name][0])
            self.add(f"{name}, expired uuid", uuid=expired[name][1])
            outside, value = tokenbridge.value("elsewhere", held, **elsewhere)
            self.add(f"{name}, value out of its blocks", value=value)
            self.by[f"elsewhere {name}"] = (outside, value)
            self.add(f"{name}, uuid out of its blocks", uuid=tokenbridge.legacy("elsewhere", permissions, **elsewhere))
        everything = [READ, CHANGE, ALERT, ALERT_CHANGE]
        token, self.by["all"] = tokenbridge.value("all", everything)
        self.by["unused"] = tokenbridge.value("unused", everything)[1]
        self.add("all, by X-API-Key", (token, everything), value=self.by["all"])
        self.add("all, by Bearer", (token, everything), bearer=self.by["all"])
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
        self.secrets += [secret for secret in (value, bearer, uuid) if secret and secret != UNKNOWN]
        self.all.append((name, headers, query, token))


def refusal(gateway, answer, status):
    """The problems of a refusal."""
    if answer.status != status:
        yield f"{answer.status} instead of {status}: {answer}"
    if answer.body.strip() and not gateway.has_error_pages:
        yield f"a body: {answer}"
    if status == 401 and not answer.headers.get("www-authenticate", "").startswith(gateway.challenge):
        yield f"no challenge: {answer}"


def arrived(gateway, seen, method, path, token, body=b""):
    """The problems of the request that the backend received."""
    if (seen["method"], seen["path"]) != (method, path):
        yield f"{method} {path} arrives as {seen['method']} {seen['path']}"
    if header(seen, "x-token-id") != [token[0]]:
        yield f"X-Token-Id is {header(seen, 'x-token-id')}"
    if set(",".join(header(seen, "x-token-permissions")).split(",")) - {""} != set(token[1]):
        yield f"X-Token-Permissions is {header(seen, 'x-token-permissions')}"
    if len(header(seen, "x-token-name")) != gateway.knows_names or "$" in "".join(header(seen, "x-token-name")):
        yield f"X-Token-Name is {header(seen, 'x-token-name')}"
    if not gateway.keeps_values and (
        header(seen, "x-api-key") or any("bearer" in one.lower() for one in header(seen, "authorization"))
    ):
        yield f"it gets the credential: {seen['headers']}"
    if seen["body"] != body:
        yield f"its body is {seen['body'][:100]}"
