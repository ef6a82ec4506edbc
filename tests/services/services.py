"""What tests of module services begin with: a module, a key for its service, and the service itself."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from app.dev import listen
from tests.support.platform import Platform
from tests.support.stories import register, unique

CREATE = """mutation($input: CreateModuleApiKeyInput!) { createModuleApiKey(input: $input) {
  apiKey { id module { code } name prefix createdAt lastUsedAt expiresAt revokedAt } secret revision
  errors { __typename code message path } } }"""
REVOKE = """mutation($input: RevokeModuleApiKeyInput!) { revokeModuleApiKey(input: $input) {
  apiKey { id revokedAt } revision errors { __typename code message path } } }"""


async def create_key(platform: Platform, module: str, **more: Any) -> Any:
    """The payload of createModuleApiKey."""
    variables = {"input": {"module": module, "name": "production", **more}}
    return (await platform.data(CREATE, variables))["createModuleApiKey"]


async def revoke_key(platform: Platform, key_id: str, **more: Any) -> Any:
    """The payload of revokeModuleApiKey."""
    return (await platform.data(REVOKE, {"input": {"id": key_id, **more}}))["revokeModuleApiKey"]


async def module_with_key(platform: Platform, **more: Any) -> tuple[str, str]:
    """A registered module's code, and a key of its service."""
    code = await register(platform, unique("serviced"), **more)
    payload = await create_key(platform, code)
    assert payload["errors"] == [], payload["errors"]
    return code, payload["secret"]


INSTANCE = "instance { url healthCheckUrl version status lastSeen lastCheckedAt } revision"
ERRORS = "errors { __typename code message path }"


async def call_instance(platform: Platform, action: str, key: str, **given: Any) -> Any:
    """The payload of registerModuleInstance, heartbeatModuleInstance or deregisterModuleInstance."""
    kind = "RegisterModuleInstanceInput" if action == "register" else "ModuleInstanceInput"
    field = f"{action}ModuleInstance"
    query = f"mutation($input: {kind}!) {{ {field}(input: $input) {{ {INSTANCE} {ERRORS} }} }}"
    return (await platform.data(query, {"input": given}, token=key))[field]


async def register_instance(platform: Platform, key: str, module: str, url: str, **more: Any) -> Any:
    """The instance that registerModuleInstance shows."""
    payload = await call_instance(platform, "register", key, module=module, url=url, version="1.0.0", **more)
    assert payload["errors"] == [], payload["errors"]
    return payload["instance"]


async def statuses(platform: Platform, module: str) -> dict[str, str]:
    """Each instance's status by its address."""
    query = "query($code: String!) { module(code: $code) { instances { url status } } }"
    found = (await platform.data(query, {"code": module}))["module"]["instances"]
    return {each["url"]: each["status"] for each in found}


async def becomes(platform: Platform, module: str, expected: dict[str, str], seconds: float = 15) -> None:
    """Wait until a module's instances are as expected."""
    found = None
    try:
        async with asyncio.timeout(seconds):
            while (found := await statuses(platform, module)) != expected:
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"{found} is not {expected}") from None


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """A real service on a free port; its address."""
    listener = listen("127.0.0.1", 0)
    server = _Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


class _Server(uvicorn.Server):
    """Signals are pytest's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
