"""Subscriptions over a WebSocket, as a client of graphql-transport-ws has them."""

import asyncio
import json
from typing import Any

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.support.platform import Platform

SECONDS = 20


async def messages_of(
    platform: Platform, query: str, variables: dict[str, Any], *, token: str = "", limit: int | None = None
) -> list[Any]:
    """The messages of a subscription, to its end or to the limit. `token`: the administrator's unless given."""
    url, protocol = platform.url.replace("http://", "ws://"), Subprotocol("graphql-transport-ws")
    messages: list[Any] = []
    async with asyncio.timeout(SECONDS), connect(url, subprotocols=[protocol], proxy=None) as socket:
        start = {"type": "connection_init", "payload": {"authorization": f"Bearer {token or platform.admin}"}}
        await socket.send(json.dumps(start))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        payload = {"query": query, "variables": variables}
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        while len(messages) != limit and (not messages or messages[-1]["type"] == "next"):
            messages.append(json.loads(await socket.recv()))
    return messages
