"""Checks as work: who may do which, until when, and what has come of it. Never holds the check itself.

A lease takes no lock of the registry. What is decided counts only while the lease is one's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import select, text

from commands.transaction import Scope, Writer
from events.facts import subgraph_fact
from events.failpoints import reach
from models.base import PLATFORM_ID, JsonObject
from models.database import Database
from models.subgraph import SubgraphVersionRow
from rules.subgraph import SubgraphState

LEASE_SECONDS = 60
ATTEMPTS_MAX = 5  # whoever kills its worker so often, or makes it fail, is at fault itself

LEASE = text(
    "UPDATE subgraph_versions SET lease_id = :lease_id, attempts = attempts + 1,"
    "  lease_until = clock_timestamp() + make_interval(secs => :seconds)"
    " WHERE id = (SELECT id FROM subgraph_versions WHERE state = 'CHECKING'"
    "   AND (lease_until IS NULL OR lease_until < clock_timestamp())"
    "  ORDER BY revision LIMIT 1 FOR UPDATE SKIP LOCKED)"
    " RETURNING id, module_id, version, sdl, routing_url, attempts, findings"
)
PUT_OFF = text(
    "UPDATE subgraph_versions SET lease_id = NULL, attempts = greatest(0, attempts + :counted),"
    "  lease_until = clock_timestamp() + make_interval(secs => :seconds)"
    " WHERE id = :id AND lease_id IS NOT DISTINCT FROM :lease_id"
)


@dataclass(frozen=True)
class LeasedCheck:
    """A registration that this worker is to check. `attempts` counts this one."""

    id: UUID
    module_id: str
    version: str
    sdl: str
    routing_url: str
    attempts: int
    findings: Sequence[JsonObject]
    lease_id: UUID

    @property
    def is_hopeless(self) -> bool:
        return self.attempts > ATTEMPTS_MAX


@dataclass(frozen=True)
class Verdict:
    """What a check has come to. The state is CHECKED, NEEDS_APPROVAL or FAILED, or CHECKING with a word on why."""

    state: SubgraphState
    findings: Sequence[JsonObject]
    changes: Sequence[JsonObject] = ()
    stamped_sdl: str | None = None


async def lease_check(database: Database, lease_id: UUID) -> LeasedCheck | None:
    """Take the oldest registration that nobody checks, or whose checker has not been heard of."""
    async with database.admin_engine.begin() as connection:
        found = (await connection.execute(LEASE, {"lease_id": lease_id, "seconds": LEASE_SECONDS})).one_or_none()
    return None if found is None else LeasedCheck(**found._mapping, lease_id=lease_id)


async def put_off(
    database: Database, subgraph_id: UUID, *, lease_id: UUID | None, seconds: float, counted: int
) -> None:
    """Let it be taken up again after a while, by whoever comes first. `counted`: what to add to its attempts."""
    given = {"id": subgraph_id, "lease_id": lease_id, "seconds": seconds, "counted": counted}
    async with database.admin_engine.begin() as connection:
        await connection.execute(PUT_OFF, given)


async def decide(writer: Writer, leased: LeasedCheck, verdict: Verdict) -> bool:
    """Write down what a check has come to; False when somebody else has it by now."""
    async with writer.transaction(Scope(stream=PLATFORM_ID, changes_registry=True)) as tx:
        statement = select(SubgraphVersionRow).where(
            SubgraphVersionRow.id == leased.id,
            SubgraphVersionRow.state == SubgraphState.CHECKING,
            SubgraphVersionRow.lease_id == leased.lease_id,
        )
        row = await tx.session.scalar(statement.with_for_update())
        if row is None:
            return False
        (revision,) = await tx.advance(PLATFORM_ID)
        row.state, row.findings, row.changes = verdict.state, list(verdict.findings), list(verdict.changes)
        row.stamped_sdl = verdict.stamped_sdl
        if verdict.state != SubgraphState.CHECKING:
            row.lease_id, row.lease_until, row.attempts = None, None, 0
        row.revision, row.updated_at = revision, datetime.now(UTC)
        tx.record(subgraph_fact(row))
        await tx.session.flush()
        reach("composing.deciding")
    return True
