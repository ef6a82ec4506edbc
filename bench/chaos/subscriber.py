"""A subscriber over WebSocket that resumes wherever it was dropped. Never holds a judgement of what it saw."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from bench.chaos.history import Heard

PROTOCOL = Subprotocol("graphql-transport-ws")
SUBSCRIPTION = (
    "subscription($organization: ID, $after: String)"
    " { moduleEvents(organizationId: $organization, after: $after) { revision cursor } }"
)
RECONNECT_SECONDS = 0.05


class Subscriber:
    """Follows one organization from `start` on. `lives` says how long each connection is kept; None: until it ends."""

    def __init__(self, heard: Heard, *, token: str, port: Callable[[], int], lives: Callable[[], float | None]) -> None:
        self.heard = heard
        self._token = token
        self._port = port
        self._lives = lives
        self._cursor = f"v1:{heard.start}"

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        while True:
            with suppress(OSError, WebSocketException, TimeoutError, EOFError):
                async with asyncio.timeout(self._lives()):
                    await self._listen()
            self.heard.drops += 1
            await asyncio.sleep(RECONNECT_SECONDS)

    async def until(self, revision: int, seconds: float) -> bool:
        """Whether it has heard a revision in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.heard.revisions or self.heard.revisions[-1] < revision:
                    await asyncio.sleep(0.05)
                return True
        return self.heard.start >= revision

    async def _listen(self) -> None:
        url = f"ws://127.0.0.1:{self._port()}/graphql"
        async with connect(
            url, subprotocols=[PROTOCOL], proxy=None, compression=None, ping_interval=None, close_timeout=0.1
        ) as socket:
            try:
                bearer = {"authorization": f"Bearer {self._token}"}
                await socket.send(json.dumps({"type": "connection_init", "payload": bearer}))
                await socket.recv()
                variables = {"organization": self.heard.organization, "after": self._cursor}
                payload = {"query": SUBSCRIPTION, "variables": variables}
                await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
                while True:
                    message = json.loads(await socket.recv())
                    if message["type"] == "next":
                        if not message["payload"].get("data"):
                            return
                        event = message["payload"]["data"]["moduleEvents"]
                        self._cursor = event["cursor"]
                        self.heard.revisions.append(event["revision"])
                    elif message["type"] == "ping":
                        await socket.send('{"type":"pong"}')
                    elif message["type"] in ("error", "complete"):
                        return
            finally:
                # dropped, not closed: a connection that breaks says no goodbye
                socket.transport.abort()
