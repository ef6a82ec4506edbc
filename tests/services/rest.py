"""A module's service that says what it was sent, and requests to it through the proxy."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tests.support.platform import Platform
from tests.support.stories import admin_of


@dataclass
class Echo:
    """A module's service: says what it was sent, or misbehaves as its path says."""

    name: str = "echo"
    asked: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if scope["path"] != "/health":
            self.asked.append(scope["path"])
        await (await self._answer(request))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.url.path == "/stream":
            return StreamingResponse(self._ticks(), media_type="text/event-stream")
        if request.url.path == "/broken":
            return StreamingResponse(self._breaks(), headers={"content-length": "100"})
        if request.url.path == "/cookie":
            headers = {"set-cookie": "a=b", "x-secret": "1", "connection": "x-secret", "x-modplane-identity": "forged"}
            return Response(b"<script>", status_code=418, media_type="text/html", headers=headers)
        body = await request.body()
        said = {
            "name": self.name,
            "method": request.method,
            "path": request.scope["raw_path"].decode(),
            "query": request.scope["query_string"].decode(),
            "headers": [[name.decode(), value.decode()] for name, value in request.headers.raw],
            "size": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        return JSONResponse(said)

    async def _ticks(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"data: tick\n\n"
                await asyncio.sleep(0.05)
        finally:
            self.ended.set()

    async def _breaks(self) -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionError


@dataclass
class Served:
    """A module with a healthy instance, and an organization that has it."""

    platform: Platform
    module: str
    key: str
    echo: Echo
    instance: str
    organization: str

    @property
    def bearer(self) -> str:
        return admin_of(self.organization)

    def url(self, path: str = "/", module: str | None = None) -> str:
        return self.platform.url.replace("/graphql", f"/api/v1/{module or self.module}{path}")

    async def get(self, path: str = "/", *, bearer: str | None = "", module: str | None = None, **more: Any) -> Any:
        headers = more.pop("headers", {})
        if bearer is not None:
            headers["authorization"] = f"Bearer {bearer or self.bearer}"
        method = more.pop("method", "GET")
        return await self.platform.client.request(method, self.url(path, module), headers=headers, **more)


def code_of(response: httpx.Response) -> tuple[int, str]:
    (error,) = response.json()["errors"]
    return response.status_code, error["extensions"]["code"]


async def raw(served: Served, head: str, body: bytes = b"") -> bytes:
    """What comes back for a request that no library would send."""
    host, port = served.platform.url.removeprefix("http://").removesuffix("/graphql").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    authorized = f"{head}\r\nhost: x\r\nauthorization: Bearer {served.bearer}\r\nconnection: close\r\n\r\n"
    if "connection:" in head:
        authorized = authorized.replace("connection: close\r\n", "")
    writer.write(authorized.encode("latin-1") + body)
    try:
        async with asyncio.timeout(5):
            found = await reader.read(65_536)
            while "connection:" not in head and (more := await reader.read(65_536)):
                found += more
            return found
    finally:
        writer.close()
