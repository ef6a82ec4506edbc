"""Questions about the event log: what has happened in an organization, or anywhere for administrators."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, text

from events.envelope import COLUMNS, Event, StoredEvent, event_of_row
from events.types import EventType
from models.base import PLATFORM_ID
from models.event import OrgRevisionRow
from models.tenant_reads import TenantReads
from queries.reader import Reader, among

# What a stream that catches up takes from the log at a time. A client that stops reading keeps a page in memory for as
# long as that is put up with: bytes count, and the number only bounds what the server weighs for it.
BATCH, BATCH_BYTES = 100, 262_144
# A transaction lives this long at most, so that what was said earlier than this before a cursor has been committed.
OVERLAP = timedelta(seconds=30)


@dataclass(frozen=True)
class EventFilter:
    types: frozenset[EventType] | None = None
    module: str | None = None

    def takes(self, event: Event) -> bool:
        if self.types is not None and event.type not in self.types:
            return False
        return self.module is None or self.module in event.modules


@dataclass(frozen=True)
class Place:
    """A place in the log of all streams: those before it, and it itself, have been seen."""

    since: datetime
    stream: UUID = PLATFORM_ID
    rev: int = 0


LOG = f"""
SELECT {COLUMNS} FROM event_log e
 WHERE (cast(:types AS text[]) IS NULL OR e.type = ANY(:types))
   AND (cast(:module AS text) IS NULL OR :module = ANY(e.modules))
"""
OF_ORGANIZATION = text(LOG + " AND e.organization_id = :organization_id AND e.rev > :after ORDER BY e.rev LIMIT :size")
FOLLOWING = text(
    "SELECT * FROM (SELECT p.*, count(*) OVER () AS found,"
    "   sum(octet_length(p.body)) OVER (ORDER BY p.rev) - octet_length(p.body) AS bytes_before"
    f" FROM (SELECT {COLUMNS} FROM event_log e WHERE e.organization_id = :organization_id AND e.rev > :after"
    "   ORDER BY e.rev LIMIT :size) p) q WHERE q.bytes_before < :bytes ORDER BY q.rev"
)
OF_ALL = text(
    LOG + " AND (e.occurred_at, e.organization_id, e.rev) > (:since, :stream, :rev)"
    " ORDER BY e.occurred_at, e.organization_id, e.rev LIMIT :size"
)


async def list_organization_events(
    reader: Reader, organization_id: UUID, *, after: int, size: int, wanted: EventFilter
) -> list[Event]:
    """Events of one stream after a rev, in order."""
    parameters = {**_filter_of(wanted), "organization_id": organization_id, "after": after, "size": size}
    return [_event_of(row) for row in await reader.session.execute(OF_ORGANIZATION, parameters)]


async def list_following_events(reader: Reader, organization_id: UUID, *, after: int) -> tuple[list[Event], bool]:
    """The next events of one stream, one at least if there is any; and whether more are there."""
    parameters = {"organization_id": organization_id, "after": after, "size": BATCH, "bytes": BATCH_BYTES}
    rows = (await reader.session.execute(FOLLOWING, parameters)).all()
    has_more = bool(rows) and (rows[0].found > len(rows) or rows[0].found == BATCH)
    return [_event_of(row) for row in rows], has_more


async def list_all_events(reader: Reader, *, after: Place, size: int, wanted: EventFilter) -> list[Event]:
    """Events of every stream by time. Two transactions may commit against the order of their times: see OVERLAP."""
    place = {"since": after.since, "stream": after.stream, "rev": after.rev}
    parameters = {**_filter_of(wanted), **place, "size": size}
    return [_event_of(row) for row in await reader.session.execute(OF_ALL, parameters)]


async def load_revisions(reader: Reader, organization_ids: Collection[UUID]) -> Mapping[UUID, int]:
    """The current rev of each stream."""
    statement = select(OrgRevisionRow.organization_id, OrgRevisionRow.rev)
    statement = statement.where(among(OrgRevisionRow.organization_id, list(organization_ids)))
    return dict((await reader.session.execute(statement)).all())


async def load_tenants_revision(reads: TenantReads, tenant: UUID) -> int:
    """The current rev of a tenant's own stream; 0 when there is no such tenant."""
    rows = await reads.fetch(tenant, "SELECT rev FROM org_revision WHERE organization_id = $1", tenant)
    return int(rows[0]["rev"]) if rows else 0


OLDEST = text("SELECT min(rev) FROM event_log WHERE organization_id = :organization_id")


async def find_oldest_revision(reader: Reader, organization_id: UUID) -> int | None:
    """The first rev of a stream that is still kept; None when it has no events."""
    oldest: int | None = await reader.session.scalar(OLDEST, {"organization_id": organization_id})
    return oldest


def _filter_of(wanted: EventFilter) -> dict[str, object]:
    types: Sequence[str] | None = None
    if wanted.types is not None:
        types = sorted(kind.cloud_event_type for kind in wanted.types)
    return {"types": types, "module": wanted.module}


def _event_of(row: object) -> Event:
    return event_of_row(StoredEvent.of(row))
