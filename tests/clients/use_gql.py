"""Reads the GraphQL schema with gql, validates queries against it, and rotates its own token."""

import os

from gql import Client, gql
from gql.transport.exceptions import TransportError
from gql.transport.requests import RequestsHTTPTransport

# Nullability as in Panther's schema, with the fields that Panther's clients know.
FIELDS = {
    "APIToken": {
        "allowedCIDRBlocks": "[String!]!",
        "createdAt": "DateTime!",
        "expiresAt": "DateTime",
        "id": "ID!",
        "lastUsedAt": "DateTime",
        "name": "String!",
        "permissions": "[Permission!]!",
        "rotatedAt": "DateTime",
        "updatedAt": "DateTime",
        "value": "String",
    },
    "RotateAPITokenOutput": {"token": "APIToken"},
    "Mutation": {"rotateAPIToken": "RotateAPITokenOutput!"},
}
VERSION = gql("query GetVersion { generalSettings { pantherVersion } }")
ROTATE = gql(
    "mutation { rotateAPIToken { token { allowedCIDRBlocks createdAt expiresAt id lastUsedAt name permissions rotatedAt updatedAt value } } }"
)


def client(value):
    transport = RequestsHTTPTransport(url=f"{os.environ['BASE_URL']}/public/graphql", headers={"X-API-Key": value}, timeout=30)
    return Client(transport=transport, fetch_schema_from_transport=True)


old = os.environ["TOKEN"]
with client(old) as session:
    print(session.execute(VERSION))
    schema = session.client.schema
    for name, fields in FIELDS.items():
        found = {field: str(schema.type_map[name].fields[field].type) for field in fields}
        assert found == fields, f"{name}: {found}"
    assert len(schema.type_map["Permission"].values) == 39
    token = session.execute(ROTATE)["rotateAPIToken"]["token"]
print({**token, "value": "…"})
assert token["rotatedAt"] and token["value"] not in (None, old)

with client(token["value"]) as session:
    session.execute(VERSION)
try:
    with client(old) as session:
        session.execute(VERSION)
except TransportError as error:
    print("the old value:", error)
else:
    raise AssertionError("the old value still works")
