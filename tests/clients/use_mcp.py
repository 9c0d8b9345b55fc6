"""Talks to mcp-panther as an AI's program would, over its standard input and output.

With titles: get_permissions must name exactly these, and after a rotation say that the key is not valid.
"""

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

import httpx
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

BASE_URL, TOKEN, TITLES = os.environ["BASE_URL"], os.environ["TOKEN"], sys.argv[1:]


async def permissions(session):
    result = await session.call_tool("get_permissions", {})
    print("get_permissions:", result.content[0].text)
    return json.loads(result.content[0].text)


async def talk(errors):
    environment = {
        "PANTHER_INSTANCE_URL": BASE_URL,
        "PANTHER_API_TOKEN": TOKEN,
        # Disables the update check.
        "FASTMCP_CHECK_FOR_UPDATES": "off",
        "FASTMCP_SHOW_SERVER_BANNER": "false",
    }
    command = str(Path(sys.executable).with_name("mcp-panther"))
    server = StdioServerParameters(command=command, env={**os.environ, **environment})
    async with stdio_client(server, errlog=errors) as streams, ClientSession(*streams) as session:
        about = (await session.initialize()).serverInfo
        tools = (await session.list_tools()).tools
        print(f"{about.name} {about.version}, {len(tools)} tools")
        found = await permissions(session)
        assert found["success"] and sorted(found["permissions"]) == sorted(TITLES), found
        httpx.post(f"{BASE_URL}/api-tokens/self/rotate", headers={"X-API-Key": TOKEN}).raise_for_status()
        refused = await permissions(session)
        assert not refused["success"] and "Invalid API Key Detected" in refused["message"], refused


def leaves(error):
    """The exceptions of an exception group."""
    return [leaf for inner in error.exceptions for leaf in leaves(inner)] if isinstance(error, BaseExceptionGroup) else [error]


with tempfile.TemporaryFile("w+") as errors:
    try:
        asyncio.run(asyncio.wait_for(talk(errors), 50))
    except Exception as error:
        print(*map(repr, leaves(error)), sep="\n")
        # The client reports only a closed connection; these lines have the reason.
        errors.seek(0)
        print("mcp-panther:", *errors.read().splitlines()[-3:], sep="\n    ")
        sys.exit(1)
