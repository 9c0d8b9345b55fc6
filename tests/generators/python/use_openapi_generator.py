"""Uses tokens with the client that openapi-generator wrote."""

import os

from tokenbridge import ApiClient, APITokensApi, Configuration, ForOtherServicesApi
from tokenbridge.exceptions import NotFoundException
from tokenbridge.models import APITokenAPIModifyAPIToken, APITokenAPINewAPIToken, APITokenAPIRotateAPIToken, Permission

NAME = "made by openapi-generator for Python"

configuration = Configuration(host=os.environ["BASE_URL"], api_key={"ApiKeyAuth": os.environ["TOKEN"]})
with ApiClient(configuration) as client:
    tokens, services = APITokensApi(client), ForOtherServicesApi(client)

    body = APITokenAPINewAPIToken(name=NAME, permissions=[Permission.ORGANIZATIONAPITOKENREAD], allowedCIDRBlocks=["10.0.0.0/8"])
    created = tokens.create_api_token(body)
    assert created.value and created.expires_at is None
    print("created:", created.id)

    page = tokens.list_api_tokens(name_equals=NAME, limit=10)
    assert [token.id for token in page.results] == [created.id], page

    rotation = APITokenAPIRotateAPIToken(gracePeriodSeconds=60)
    lost, rotated = (
        # The repetition does not rotate again, and returns a fresh value.
        tokens.rotate_api_token(created.id, idempotency_key=str(created.id), api_token_api_rotate_api_token=rotation)
        for _ in range(2)
    )
    assert lost.value and rotated.value and rotated.value != lost.value
    assert rotated.rotated_at and rotated.rotated_at == lost.rotated_at

    updated = tokens.update_api_token(created.id, APITokenAPIModifyAPIToken(name=f"{NAME}, renamed", owner="ops", expiresAt=None))
    assert updated.name == f"{NAME}, renamed"

    for address, active in {"10.0.0.7": True, "192.0.2.7": False, "2001:db8::7": False}.items():
        assert services.introspect(rotated.value, client_ip=address).active is active, address

    assert not services.introspect(lost.value, client_ip="10.0.0.7").active

    # The first value is in its grace period, so it ends alone.
    assert services.introspect(created.value, client_ip="10.0.0.7").active
    services.revoke(created.value)
    assert not services.introspect(created.value, client_ip="10.0.0.7").active

    disabled = tokens.update_api_token(created.id, APITokenAPIModifyAPIToken(disabled=True))
    assert disabled.disabled_at and disabled.owner == "ops"
    assert not services.introspect(rotated.value, client_ip="10.0.0.7").active

    tokens.delete_api_token(created.id)
    try:
        tokens.get_api_token(created.id)
    except NotFoundException as refused:
        assert refused.data
        print("after the deletion:", refused.data.message)
    else:
        raise AssertionError("the token still exists")
