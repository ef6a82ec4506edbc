"""A process that goes away and still answers: what is under way is finished, what is new is sent elsewhere.

Never holds: when that begins and what follows (shutdown.py).
"""

import asyncio
import random

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.transport.connections import Connections

GOING_AWAY, RESUME = 1001, "going away, resume"
CLOSE_HEADER = (b"connection", b"close")
# Ten thousand clients that come back at once would be a load of their own for the processes that stay.
STREAMS_PER_SECOND = 1000
SPREAD_SECONDS_MAX = 10.0
POLL_SECONDS = 0.05


class Draining:
    """Around the whole application; does nothing until `begin`."""

    def __init__(self, app: ASGIApp, connections: Connections) -> None:
        self._app = app
        self.connections = connections

    @property
    def has_begun(self) -> bool:
        return self.connections.is_draining

    def begin(self) -> None:
        """From now on: no new streams, and every answer tells its client to leave the connection."""
        self.connections.is_draining = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and self.has_begun:
            await _refuse(scope, receive, send)
            return

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start" and self.has_begun:
                headers = [*message.get("headers", ())]
                if CLOSE_HEADER not in headers:
                    message = {**message, "headers": [*headers, CLOSE_HEADER]}
            await send(message)

        await self._app(scope, receive, send_on if scope["type"] == "http" else send)

    async def end_streams(self) -> None:
        """End every stream in an order and at moments of chance, and wait until all are gone."""
        loop = asyncio.get_running_loop()
        open_now = list(self.connections)
        random.shuffle(open_now)
        spread = min(SPREAD_SECONDS_MAX, len(open_now) / STREAMS_PER_SECOND)
        began = loop.time()
        moments = sorted(random.uniform(0, spread) for _ in open_now)  # noqa: S311 - jitter, and no secret
        for moment, connection in zip(moments, open_now, strict=True):
            if (left := began + moment - loop.time()) > 0:
                await asyncio.sleep(left)
            connection.end(GOING_AWAY, RESUME)
        while len(self.connections):
            # a socket that was acknowledged meanwhile is told now; to the others this says nothing new
            await self.connections.end(lambda _: True, GOING_AWAY, RESUME)
            await asyncio.sleep(POLL_SECONDS)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """503 instead of the handshake: a balancer takes it for what it is, and a client tries again."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1012, "reason": RESUME})
        return
    headers = [CLOSE_HEADER, (b"retry-after", b"1")]
    await send({"type": "websocket.http.response.start", "status": 503, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b""})
