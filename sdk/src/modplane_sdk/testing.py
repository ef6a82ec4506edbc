"""For tests: a platform as far as a module can see one, which is keys, identities and passages; and a server."""

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from modplane_sdk.identity import ALGORITHM, IDENTITY_HEADER, ISSUERS, PASSAGE_HEADER, body_hash
from modplane_sdk.keys import NoKey, Signer
from modplane_sdk.middleware import App

START_SECONDS_MAX = 30.0
CALL_SECONDS_MAX = 30.0
T = TypeVar("T")


class LocalPlatform:
    """Signs as the platform and its gateway do, for one module; a KeySource of its own."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._keys = {signer: Ed25519PrivateKey.generate() for signer in Signer}

    async def find(self, kid: str, signer: Signer) -> Ed25519PublicKey:
        if kid != signer.value:
            raise NoKey(f"the {signer} has no key {kid!r}")
        return self._keys[signer].public_key()

    def identity(
        self,
        organization: str | None,
        *,
        company: str | None = None,
        modules: tuple[str, ...] | None = None,
        roles: tuple[str, ...] = ("MEMBER",),
        subject: str = "tester",
        seconds: int = 60,
    ) -> str:
        """Entitled to the module under test unless `modules` says otherwise."""
        claims: dict[str, object] = {
            "sub": subject,
            "roles": list(roles),
            "org": organization,
            "company": company,
            "modules": list((self._module,) if modules is None else modules),
        }
        return self.sign(Signer.PLATFORM, claims, seconds=seconds)

    def passage(self, body: bytes, signer: Signer = Signer.GATEWAY, *, seconds: int = 30) -> str:
        return self.sign(signer, {"body_sha256": body_hash(body), "jti": str(uuid4())}, seconds=seconds)

    def headers(self, identity: str, body: bytes, signer: Signer = Signer.GATEWAY) -> dict[str, str]:
        """Of a request that was passed on as it should be."""
        passage = self.passage(body, signer)
        return {IDENTITY_HEADER: identity, PASSAGE_HEADER: passage, "content-type": "application/json"}

    def sign(self, signer: Signer, claims: dict[str, object], *, seconds: int) -> str:
        """Claims of the caller's win over those that always are there, so that a test can send wrong ones."""
        now = int(time.time())
        always = {"iss": ISSUERS[signer], "aud": f"modplane:subgraph:{self._module}", "iat": now, "exp": now + seconds}
        return jwt.encode({**always, **claims}, self._keys[signer], algorithm=ALGORITHM, headers={"kid": signer.value})


@dataclass(frozen=True)
class Served:
    """An application that listens at `url`, in a loop and thread of its own."""

    url: str
    loop: asyncio.AbstractEventLoop

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """In the application's loop, where its pools belong. Raises what it raises."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(CALL_SECONDS_MAX)


@contextmanager
def served(app: App) -> Iterator[Served]:
    """On a free port of the loopback. Raises RuntimeError when it does not start; the log has the reason."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=5, timeout_keep_alive=75
    )
    server, loop = uvicorn.Server(config), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve(),), name="module")
    thread.start()
    try:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the module does not start")
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Served(url=f"http://127.0.0.1:{port}", loop=loop)
    finally:
        server.should_exit = True
        thread.join()
        loop.close()
