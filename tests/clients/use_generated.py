"""Lists and creates tokens with the client that openapi-python-client generated, independent of its function names."""

import importlib
import os
import pkgutil
import sys

sys.path.insert(0, sys.argv[1])
import generated
from generated import AuthenticatedClient


def function(method, path):
    """The generated module of an operation; its name comes from the operationId."""
    for module in pkgutil.walk_packages(generated.__path__, "generated."):
        if module.name.startswith("generated.api.") and not module.ispkg:
            found = importlib.import_module(module.name)
            source = found._get_kwargs.__code__.co_consts
            if method in source and path in source:
                return found
    raise AssertionError(f"no function for {method} {path}")


def body_type(module):
    return module._get_kwargs.__annotations__["body"]


def client(value):
    return AuthenticatedClient(
        base_url=os.environ["BASE_URL"], token=value, prefix="", auth_header_name="X-API-Key", raise_on_unexpected_status=True
    )


mine = client(os.environ["TOKEN"])
create, list_ = function("post", "/api-tokens"), function("get", "/api-tokens")
made = create.sync(client=mine, body=body_type(create)(name="made by a generated client"))
print("created:", made.id, made.name)
assert made.value.startswith("tbk_")

listed = list_.sync(client=mine, limit=1000)
print("listed:", len(listed.results), "tokens")
assert made.id in [token.id for token in listed.results]

refused = list_.sync_detailed(client=client("wrong"))
print("with a wrong key:", refused.status_code, refused.parsed)
assert refused.status_code == 401 and refused.parsed.message
