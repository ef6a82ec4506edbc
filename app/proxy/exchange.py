"""One request on its way to a service and its answer on the way back, both as they come. Never holds: who may."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import httpx
from starlette.types import Message, Receive, Send

from app.proxy.headers import response_headers
from app.transport.refusal import ClientGone, Refused
from app.upstream import Header

BODY_BYTES_MAX = 10 * 1024 * 1024
DISCARDED_BYTES_MAX = BODY_BYTES_MAX + 1024 * 1024
DISCARD_SECONDS = 1.0
CALLER_SECONDS_MAX = 30.0  # that a caller may send nothing of its body, or take nothing of its answer


class RequestBody:
    """The caller's body, a chunk at a time. Raises Refused when it is too large or slow, ClientGone at an early end."""

    def __init__(self, receive: Receive, headers: Sequence[Header], *, seconds: float = CALLER_SECONDS_MAX) -> None:
        self._receive = receive
        self._seconds = seconds
        self._announced = next((int(value) for name, value in headers if name == b"content-length"), 0)
        self._is_awaited = any(name == b"expect" for name, _ in headers)
        self._is_read = asyncio.Event()
        self.is_there = self._announced > 0 or any(name == b"transfer-encoding" for name, _ in headers)
        if not self.is_there:
            self._is_read.set()  # nobody is going to ask for its chunks

    async def chunks(self) -> AsyncIterator[bytes]:
        size = 0
        if self._announced > BODY_BYTES_MAX:
            raise too_large()
        while True:
            message = await self._next()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > BODY_BYTES_MAX:
                raise too_large()
            if chunk:
                yield chunk
            if not message.get("more_body", False):
                self._is_read.set()
                return

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._receive()
        except TimeoutError:
            message = f"Nothing of the body came for {self._seconds:g} s."
            raise Refused(status=408, code="TIMEOUT", message=message, headers={"connection": "close"}) from None

    async def discard(self) -> None:
        """Read on after a refusal, within bounds: who writes before it reads would not see the answer."""
        left = DISCARDED_BYTES_MAX
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_SECONDS):
                while left > 0 and not self._is_read.is_set() and not self._is_awaited:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        self._is_read.set()

    async def until_gone(self) -> None:
        """Return when the caller has hung up. What is received before the body has been read is the body."""
        await self._is_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


class Answering:
    """What the caller is sent. Once it has begun, nothing else can be said any more."""

    def __init__(self, send: Send, request_id: bytes, *, seconds: float = CALLER_SECONDS_MAX) -> None:
        self._send = send
        self._seconds = seconds
        self._request_id = request_id
        self.has_begun = False

    async def relay(self, response: httpx.Response) -> None:
        """Pass an answer on. One that breaks off breaks off for the caller as well: it must not look whole."""
        try:
            headers = response_headers(response.headers.raw, request_id=self._request_id)
            self.has_begun = True
            await self._send({"type": "http.response.start", "status": response.status_code, "headers": headers})
            async for chunk in response.aiter_raw():
                async with asyncio.timeout(self._seconds):
                    await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
            await self._send({"type": "http.response.body", "body": b""})
        finally:
            await response.aclose()


def too_large() -> Refused:
    message = f"The request body is larger than {BODY_BYTES_MAX} bytes."
    return Refused(status=413, code="PAYLOAD_TOO_LARGE", message=message, headers={"connection": "close"})
