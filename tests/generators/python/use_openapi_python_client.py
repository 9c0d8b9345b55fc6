"""Uses tokens with the client that openapi-python-client wrote."""

import os

from tokenbridge import AuthenticatedClient
from tokenbridge.api.api_tokens import create_api_token, delete_api_token, get_api_token, list_api_tokens, rotate_api_token, update_api_token
from tokenbridge.api.for_other_services import introspect, revoke
from tokenbridge.models import (
    APITokenAPIAPIToken,
    APITokenAPIListResp,
    APITokenAPIModifyAPIToken,
    APITokenAPINewAPIToken,
    APITokenAPIRotateAPIToken,
    Error,
    Introspection,
    IntrospectionRequest,
    Permission,
    RevocationRequest,
)

NAME = "made by openapi-python-client"


def token(response: APITokenAPIAPIToken | Error | None) -> APITokenAPIAPIToken:
    assert isinstance(response, APITokenAPIAPIToken), response
    return response


client = AuthenticatedClient(
    base_url=os.environ["BASE_URL"], token=os.environ["TOKEN"], prefix="", auth_header_name="X-API-Key", raise_on_unexpected_status=True
)

body = APITokenAPINewAPIToken(name=NAME, permissions=[Permission.ORGANIZATIONAPITOKENREAD], allowed_cidr_blocks=["10.0.0.0/8"])
created = token(create_api_token.sync(client=client, body=body))
assert created.value and created.expires_at is None
print("created:", created.id)

page = list_api_tokens.sync(client=client, name_equals=NAME, limit=10)
assert isinstance(page, APITokenAPIListResp) and [token.id for token in page.results] == [created.id], page

rotation = APITokenAPIRotateAPIToken(grace_period_seconds=60)
lost, rotated = (
    # The repetition does not rotate again, and returns a fresh value.
    token(rotate_api_token.sync(created.id, client=client, body=rotation, idempotency_key=str(created.id)))
    for _ in range(2)
)
assert isinstance(created.value, str) and isinstance(lost.value, str) and isinstance(rotated.value, str)
assert rotated.value != lost.value and rotated.rotated_at and rotated.rotated_at == lost.rotated_at

change = APITokenAPIModifyAPIToken(name=f"{NAME}, renamed", owner="ops", expires_at=None)
assert token(update_api_token.sync(created.id, client=client, body=change)).name == f"{NAME}, renamed"



def is_active(value: str, address: str) -> bool:
    state = introspect.sync(client=client, body=IntrospectionRequest(token=value, client_ip=address))
    assert isinstance(state, Introspection), state
    return state.active


for address, active in {"10.0.0.7": True, "192.0.2.7": False, "2001:db8::7": False}.items():
    assert is_active(rotated.value, address) is active, address
assert not is_active(lost.value, "10.0.0.7")

# The first value is in its grace period, so it ends alone.
assert is_active(created.value, "10.0.0.7")
assert revoke.sync_detailed(client=client, body=RevocationRequest(token=created.value)).status_code == 200
assert not is_active(created.value, "10.0.0.7")

disabled = token(update_api_token.sync(created.id, client=client, body=APITokenAPIModifyAPIToken(disabled=True)))
assert disabled.disabled_at and disabled.owner == "ops"
assert not is_active(rotated.value, "10.0.0.7")

assert delete_api_token.sync_detailed(created.id, client=client).status_code == 204
refused = get_api_token.sync_detailed(created.id, client=client)
assert refused.status_code == 404 and isinstance(refused.parsed, Error), refused
print("after the deletion:", refused.parsed.message)
