"""The read model of adoption: who has which module, in which version and state. Eventually consistent.

It can be thrown away and folded again from the log. Never decides anything: what an organization may do is asked of
`tenant_modules`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# The guard is what makes repeats and late events harmless. An unassigned module's row stays, or else a late older
# event would find nothing to compare itself with and bring the module back. In the order of the key: two processes
# that write the same rows wait for each other and do not lock each other out.
FOLD = text(
    "INSERT INTO module_adoption AS known(organization_id, module_id, applied_rev, is_assigned, version, state)"
    " SELECT * FROM unnest(cast(:organizations AS uuid[]), cast(:modules AS text[]), cast(:revs AS bigint[]),"
    "  cast(:assigned AS boolean[]), cast(:versions AS text[]), cast(:states AS text[]))"
    "  AS new(organization_id, module_id, rev, is_assigned, version, state) ORDER BY organization_id, module_id"
    " ON CONFLICT (organization_id, module_id) DO UPDATE SET applied_rev = excluded.applied_rev,"
    "  is_assigned = excluded.is_assigned, version = excluded.version, state = excluded.state"
    " WHERE known.applied_rev < excluded.applied_rev"
)


@dataclass(frozen=True)
class Adoption:
    """What one event says of one module of one organization; `rev` is the event's."""

    organization_id: UUID
    module: str
    rev: int
    is_assigned: bool
    version: str
    state: str


async def fold(connection: AsyncConnection, changes: Iterable[Adoption]) -> None:
    """Write what is newer than what is known, in one statement however many changes there are."""
    newest: dict[tuple[UUID, str], Adoption] = {}
    for change in changes:
        key = (change.organization_id, change.module)
        # an upsert may not meet the same row twice
        if key not in newest or newest[key].rev < change.rev:
            newest[key] = change
    if not newest:
        return
    rows = list(newest.values())
    parameters = {
        "organizations": [row.organization_id for row in rows],
        "modules": [row.module for row in rows],
        "revs": [row.rev for row in rows],
        "assigned": [row.is_assigned for row in rows],
        "versions": [row.version for row in rows],
        "states": [row.state for row in rows],
    }
    await connection.execute(FOLD, parameters)
