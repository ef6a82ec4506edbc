"""Lifecycle hooks: signed POSTs to /modplane/hooks/{name}, which a `pre_` hook may veto with a reason.

The platform does not call them yet. What is here is the module's side of it, so that a module can be written and
tested; `on_startup` is the exception: the service itself runs it when it starts.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from modplane_sdk.middleware import HOOKS_PATH

log = logging.getLogger("modplane_sdk.lifecycle")

MAY_VETO = frozenset({"pre_install", "pre_enable_tenant", "pre_enable_company"})
HOOKS = MAY_VETO | {
    "post_install",
    "post_enable_tenant",
    "post_enable_company",
    "on_enable",
    "on_disable",
    "on_startup",
}
SECONDS_MAX = 10.0


class HookCall(BaseModel):
    """What is about to happen, or has."""

    organization_id: str | None = None
    company_id: str | None = None
    version: str | None = None
    configuration: dict[str, Any] = {}


@dataclass(frozen=True)
class Veto:
    """The answer of a `pre_` hook that is against it. `reason` is shown to whoever wanted it."""

    reason: str


Hook = Callable[[HookCall], Awaitable[Veto | None]]


class Hooks:
    """A module's hooks. One that it has not got agrees to everything."""

    def __init__(self) -> None:
        self._hooks: dict[str, Hook] = {}

    def on(self, name: str) -> Callable[[Hook], Hook]:
        """Raises ValueError for a name that no hook has, or that has one already."""
        if name not in HOOKS or name in self._hooks:
            raise ValueError(f"{name!r} is no hook, or there are two of it; hooks are {', '.join(sorted(HOOKS))}")

        def register(hook: Hook) -> Hook:
            self._hooks[name] = hook
            return hook

        return register

    async def run(self, name: str, call: HookCall) -> Veto | None:
        """Raises what the hook raises, TimeoutError after ten seconds, TypeError for a veto where none is asked for."""
        hook = self._hooks.get(name)
        if hook is None:
            return None
        async with asyncio.timeout(SECONDS_MAX):
            answer = await hook(call)
        if answer is not None and name not in MAY_VETO:
            raise TypeError(f"{name} comes after the fact: it can't veto")
        return answer


def hooks_router(hooks: Hooks) -> APIRouter:
    """200 `{"allowed": bool, "reason"}`; 404, 500, 504 with a typed error. A fault is never a yes."""
    router = APIRouter()

    @router.post(HOOKS_PATH + "{name}")
    async def call_hook(name: str, call: HookCall) -> Response:
        if name not in HOOKS:
            return _error(404, "NOT_FOUND", f"there is no hook {name[:64]!r}")
        try:
            veto = await hooks.run(name, call)
        except TimeoutError:
            return _error(504, "TIMEOUT", f"{name} took longer than {SECONDS_MAX:.0f} s")
        except Exception:
            log.exception("hook %s failed", name)
            return _error(500, "INTERNAL", f"{name} failed; the module's log has more")
        return JSONResponse({"allowed": veto is None, "reason": veto.reason if veto else None})

    return router


def _error(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"errors": [{"message": message, "extensions": {"code": code}}]}, status_code=status)
