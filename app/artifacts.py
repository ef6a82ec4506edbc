"""Delivery: gateways fetch the supergraph here, by the protocol that Hive's CDN speaks, again and again.

What was served last is kept in memory, and served on while PostgreSQL is away. Never holds: what is in the graph.
"""

import asyncio
import hashlib
import hmac
import logging
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.federation import DATABASE_AWAY, refusing, unavailable
from app.transport.refusal import Refused
from auth.actor import PLATFORM
from graph.context import Services
from queries.reader import open_reader
from queries.supergraph import SupergraphTexts, find_head, load_supergraph_texts
from rules.plans import is_plan

log = logging.getLogger("modplane.artifacts")

KEY_HEADER = "x-hive-cdn-key"
CURRENT, OF_PLAN = "current", "plan-"
SECONDS_MAX = 2.0


@dataclass(frozen=True)
class Artifact:
    """A body and the strong ETag that stands for it: its SHA-256."""

    body: bytes
    etag: str

    @staticmethod
    def of(text: str) -> "Artifact":
        body = text.encode()
        return Artifact(body=body, etag=f'"{hashlib.sha256(body).hexdigest()}"')


@dataclass
class Artifacts:
    """What this process serves. `_served`: by target and kind, of the one version that was seen last."""

    services: Services
    _version: int | None = None
    _texts: SupergraphTexts | None = None
    _served: dict[tuple[str, str], Artifact] = field(default_factory=dict)

    async def find(self, target: str, kind: str) -> Artifact | None:
        """None when there is nothing to serve under that name. Raises Refused when nothing is known."""
        try:
            async with asyncio.timeout(SECONDS_MAX):
                await self._refresh()
        except DATABASE_AWAY:
            if self._texts is None:
                message = "The database is away, and this process has not seen the graph yet; try again."
                raise unavailable(message) from None
            log.warning("the database is away: supergraph %s is served as it was seen last", self._version)
        key = (target, kind)
        if key not in self._served and (text := _text_of(self._texts, target, kind)) is not None:
            self._served[key] = Artifact.of(text)
        return self._served.get(key)

    async def _refresh(self) -> None:
        """Read the texts only when there is another version than the one that was seen."""
        async with open_reader(self.services.database, PLATFORM) as reader:
            version = await find_head(reader)
            if version == self._version:
                return
            texts = None if version is None else (await load_supergraph_texts(reader, [version]))[version]
        self._version, self._texts, self._served = version, texts, {}


def _text_of(texts: SupergraphTexts | None, target: str, kind: str) -> str | None:
    if texts is None:
        return None
    plan = target.removeprefix(OF_PLAN)
    match kind:
        case "supergraph" if target == CURRENT:
            return texts.sdl
        case "sdl" if target == CURRENT:
            return texts.public_sdl
        # documentation: gateways execute one graph for all, and learn by @policy who may what
        case "sdl" if target.startswith(OF_PLAN) and is_plan(plan):
            return texts.contract(plan)
        case _:
            return None


def artifact_routes(services: Services, gateway_key: str) -> list[Route]:
    """`GET /artifacts/v1/{target}/supergraph` and `/sdl`."""
    artifacts = Artifacts(services)

    async def artifact(request: Request) -> Response:
        _require_key(request, gateway_key)
        found = await artifacts.find(request.path_params["target"], request.path_params["kind"])
        if found is None:
            raise Refused(status=404, code="NOT_FOUND", message="There is no such artifact, or none yet.")
        headers = {"etag": found.etag, "cache-control": "private", "x-content-type-options": "nosniff"}
        if _has(request, found.etag):
            return Response(status_code=304, headers=headers)
        return Response(found.body, headers=headers, media_type="text/plain")

    return [Route("/artifacts/v1/{target}/{kind}", refusing(artifact), methods=["GET"])]


def _require_key(request: Request, gateway_key: str) -> None:
    shown = request.headers.get(KEY_HEADER, "")
    if not hmac.compare_digest(shown.encode(), gateway_key.encode()):
        message = "This is for gateways: X-Hive-CDN-Key is missing or wrong."
        raise Refused(status=401, code="GATEWAY_KEY_INVALID", message=message)


def _has(request: Request, etag: str) -> bool:
    """Whether the caller has this one already; a proxy may have made its tag a weak one."""
    tags = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in tags or "*" in tags
