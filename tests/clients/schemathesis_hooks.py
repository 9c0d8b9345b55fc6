"""Rules for valid requests that a schema cannot express."""

import ipaddress
import os
import re
import unicodedata

import schemathesis
from hypothesis import strategies as st

# The ID of the token that authenticates the requests.
KEEP = os.environ.get("KEEP")

# A time in the past is not a valid expiry.
times = st.builds("{}-01-31T12:00:00{}{}".format, st.integers(2100, 9998), st.sampled_from(["", ".5"]), st.sampled_from(["Z", "+05:30"]))
schemathesis.openapi.format("date-time", times)
schemathesis.openapi.format("cidr", st.one_of(st.ip_addresses(v=4).map("{}/32".format), st.ip_addresses(v=6).map("{}/128".format)))


def is_name(text):
    """At least one visible character and no invisible one, which no OpenAPI pattern can express; unassigned characters differ between Unicode versions."""
    categories = [unicodedata.category(letter) for letter in text]
    visible = any(category[0] in "LNPS" and letter not in "\u115f\u1160\u17b4\u2800\u3164\uffa0" for letter, category in zip(text, categories))
    return visible and not any(category in ("Cc", "Cf", "Zl", "Zp", "Cn", "Co") for category in categories) and unicodedata.is_normalized("NFC", text)


def is_address(text):
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def is_valid(field, value):
    """Checks what the pattern of a text cannot express."""
    if not isinstance(value, str):
        return True
    if field in ("description", "owner"):
        return value == "" or is_name(value.replace("\n", "") if field == "description" else value)
    if field == "value":
        # The checksum.
        return not re.fullmatch(r"tbk_[\w-]{49}", value) or value == f"tbk_{'A' * 43}DCtZhg"
    if field == "client_ip":
        return is_address(value)
    return field != "name" or is_name(value)


@schemathesis.hook
def filter_case(context, case):
    if KEEP and isinstance(case.path_parameters, dict) and case.path_parameters.get("id") == KEEP:
        return False
    query = case.query if isinstance(case.query, dict) else {}
    # A cursor is the "next" of an earlier response.
    if "cursor" in query:
        return False
    # A deletion needs a filter; filters on the last use wait for a flush, and have their own tests.
    if case.method == "DELETE" and case.operation.path == "/api-tokens":
        waits = "unusedSince" in query or query.get("state") == "never-used"
        if waits or not any(query.get(name) for name in ("name", "state", "expiresBefore")):
            return False
    # null stands for an absent body, which the document declares as optional.
    if case.body is None and case.operation.path.endswith("/rotate"):
        return False
    # An ETag is that of an earlier response, and a key belongs to one payload.
    if any(name in (case.headers or {}) for name in ("If-Match", "Idempotency-Key")):
        return False
    # The gate takes every method, also those that a document cannot declare.
    declared = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    if case.method not in declared and case.operation.path.startswith("/verify"):
        return False
    body = case.body if isinstance(case.body, dict) else {}
    if not all(is_valid(field, value) for field, value in body.items()):
        return False
    # Schemathesis also reuses the times of earlier responses.
    expires_at = body.get("expiresAt")
    return not (isinstance(expires_at, str) and expires_at[:2] == "20")
