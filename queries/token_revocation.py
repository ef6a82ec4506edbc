"""Questions about revoked tokens. The API's processes ask as the platform, over all organizations."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text

from auth.revocation import Revocation
from models.base import PLATFORM_ID
from models.token_revocation import TokenRevocationRow
from queries.event import OVERLAP
from queries.reader import Reader

# The outer join gives a row, and so the server's time, when there is nothing new as well.
NEWS = text(
    "SELECT clock_timestamp() AS asked_at, r.organization_id, r.subject, r.not_before"
    " FROM (SELECT 1) AS once LEFT JOIN token_revocations r ON r.revoked_at >= :since"
)
FROM_THE_START = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True)
class RevocationNews:
    """What was found, and from when on to ask the next time."""

    found: tuple[Revocation, ...]
    next_since: datetime


async def load_revocations(reader: Reader, since: datetime = FROM_THE_START) -> RevocationNews:
    """Revocations since then, some of them again: one that commits late has the time of its beginning."""
    rows = (await reader.session.execute(NEWS, {"since": since})).all()
    found = tuple(
        Revocation(
            organization_id=organization_of(row.organization_id),
            subject=row.subject,
            not_before=row.not_before.timestamp(),
        )
        for row in rows
        if row.subject is not None
    )
    return RevocationNews(found=found, next_since=rows[0].asked_at - OVERLAP)


async def count_revocations(reader: Reader, organization_id: UUID) -> int:
    statement = select(func.count()).select_from(TokenRevocationRow)
    return await reader.session.scalar(statement.where(TokenRevocationRow.organization_id == organization_id)) or 0


def organization_of(stream: UUID) -> UUID | None:
    """None stands for the platform."""
    return None if stream == PLATFORM_ID else stream
