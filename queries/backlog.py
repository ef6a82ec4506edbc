"""What is still to be done, over all tenants: numbers only, for operators. Never names a tenant."""

from dataclasses import dataclass

from sqlalchemy import text

from models.database import Database

# Of a very long queue nobody needs the exact length, and counting it must not take longer the worse things are.
COUNTED_MAX = 1_000_000
BACKLOG = text(f"""
SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT {COUNTED_MAX}) o) AS pending,
  -- the queue is in the order of commits, which is that of time but for moments
  (SELECT extract(epoch FROM now() - min(occurred_at))::float8
     FROM (SELECT occurred_at FROM outbox ORDER BY seq LIMIT 1000) o) AS oldest_seconds,
  (SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'outbox'::regclass) AS dead_tuples,
  (SELECT count(*) FROM operations WHERE status IN ('PENDING', 'RUNNING')) AS open_operations
""")
DEAD = text("SELECT consumer, status, count(*) FROM dead_event GROUP BY consumer, status ORDER BY consumer, status")


@dataclass(frozen=True)
class Backlog:
    """`pending` stops counting at a million; `dead_events` by consumer and status."""

    pending: int
    oldest_seconds: float
    dead_tuples: int
    open_operations: int
    dead_events: dict[tuple[str, str], int]


async def load_backlog(database: Database) -> Backlog:
    """As the platform, because a relay that is dead must not hide its own lag. Raises what the database raises."""
    async with database.platform_session() as session:
        row = (await session.execute(BACKLOG)).one()
        dead = {(consumer, status): number for consumer, status, number in await session.execute(DEAD)}
    return Backlog(
        pending=row.pending,
        oldest_seconds=max(0.0, row.oldest_seconds or 0.0),
        dead_tuples=row.dead_tuples or 0,
        open_operations=row.open_operations,
        dead_events=dead,
    )
