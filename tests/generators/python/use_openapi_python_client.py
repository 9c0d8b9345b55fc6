"""Uses tokens with the client that openapi-python-client wrote."""

import os

from tokenbridge import AuthenticatedClient
from tokenbridge.api.api_tokens import create_api_token, delete_api_token, get_api_token, list_api_tokens, rotate_api_token, update_api_token
from tokenbridge.api.for_other_services import introspect
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

rotated = token(rotate_api_token.sync(created.id, client=client, body=APITokenAPIRotateAPIToken(grace_period_seconds=60)))
assert isinstance(rotated.value, str) and rotated.value != created.value and rotated.rotated_at

change = APITokenAPIModifyAPIToken(name=f"{NAME}, renamed", owner="ops", expires_at=None)
assert token(update_api_token.sync(created.id, client=client, body=change)).name == f"{NAME}, renamed"

for address, active in {"10.0.0.7": True, "192.0.2.7": False, "2001:db8::7": False}.items():
    state = introspect.sync(client=client, body=IntrospectionRequest(token=rotated.value, client_ip=address))
    assert isinstance(state, Introspection) and state.active is active, (address, state)

disabled = token(update_api_token.sync(created.id, client=client, body=APITokenAPIModifyAPIToken(disabled=True)))
assert disabled.disabled_at and disabled.owner == "ops"
state = introspect.sync(client=client, body=IntrospectionRequest(token=rotated.value, client_ip="10.0.0.7"))
assert isinstance(state, Introspection) and not state.active, state

assert delete_api_token.sync_detailed(created.id, client=client).status_code == 204
refused = get_api_token.sync_detailed(created.id, client=client)
assert refused.status_code == 404 and isinstance(refused.parsed, Error), refused
print("after the deletion:", refused.parsed.message)
