"""Registering what a version of a module brings into the graph. Nothing is judged here: a worker does that."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select

from commands.request import Outcome, Request
from commands.transaction import Transaction, registry_command
from events.facts import subgraph_fact
from models.base import PLATFORM_ID
from models.ids import new_id
from models.module import ModuleRow
from models.subgraph import SubgraphVersionRow
from queries.module import load_versions
from queries.subgraph import find_registered
from rules.errors import AlreadyExists, NotFound, Refusal, refuse_if_any
from rules.subgraph import SubgraphState, check_registration


@dataclass(frozen=True, kw_only=True)
class RegisterSubgraph(Request):
    module: str
    version: str
    sdl: str
    routing_url: str


@registry_command
async def register_subgraph(tx: Transaction, request: RegisterSubgraph) -> Outcome:
    """Keep it for a worker to check. The same again changes nothing; one that failed may be replaced."""
    refuse_if_any(check_registration(request.module, request.sdl, request.routing_url))
    await _refuse_unknown(tx, request)
    sha256 = hashlib.sha256(request.sdl.encode()).digest()
    row = await find_registered(tx, request.module, request.version)
    is_same = row is not None and (row.sdl_sha256, row.routing_url) == (sha256, request.routing_url)
    if row is not None and row.state != SubgraphState.FAILED:
        if not is_same:
            message = f"{request.module} {request.version} has a subgraph, and it is another; register a new version"
            raise Refusal(AlreadyExists(message=message, path=("input", "version")))
        return Outcome(revision=await tx.current_revision(PLATFORM_ID), shows={"subgraph": str(row.id)})
    (revision,) = await tx.advance(PLATFORM_ID)
    now = datetime.now(UTC)
    if row is None:
        row = SubgraphVersionRow(id=new_id(), module_id=request.module, version=request.version, created_at=now)
        tx.session.add(row)
    _begin(row, request, sha256)
    row.requested_by = row.asked_by = tx.actor.subject
    row.revision, row.updated_at = revision, now
    tx.record(subgraph_fact(row))
    return Outcome(revision=revision, shows={"subgraph": str(row.id)})


def _begin(row: SubgraphVersionRow, request: RegisterSubgraph, sha256: bytes) -> None:
    row.sdl, row.sdl_sha256, row.routing_url = request.sdl, sha256, request.routing_url
    row.state, row.stamped_sdl, row.findings, row.changes = SubgraphState.CHECKING, None, [], []
    row.approved_by, row.approval_reason, row.activated_at = None, None, None
    row.lease_id, row.lease_until, row.attempts = None, None, 0


async def _refuse_unknown(tx: Transaction, request: RegisterSubgraph) -> None:
    """Another module's is refused like an unknown one. Looked up as such: its own service need not be a tenant."""
    unknown = NotFound(message=f"no module {request.module!r}", path=("input", "module"))
    if not tx.actor.may_keep_module(request.module):
        raise Refusal(unknown)
    is_there = select(ModuleRow.module_id).where(ModuleRow.module_id == request.module, ModuleRow.deleted_at.is_(None))
    if await tx.session.scalar(is_there) is None:
        raise Refusal(unknown)
    if not await load_versions(tx, {(request.module, request.version)}):
        message = f"{request.module} has no version {request.version[:100]!r}; register its manifest first"
        raise Refusal(NotFound(message=message, path=("input", "version")))
