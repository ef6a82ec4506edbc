"""What is kept and what is not: days of the log and of the inbox, idempotency keys; and the days to come.

The relay's role owns no table: functions of the owner (migration 0002) drop whole days, and only such as are old
enough. Safe to run from several processes; what fails is tried again next time.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from sqlalchemy import URL

from events.delivery import Kept
from events.leadership import LOST, connect

log = logging.getLogger("modplane.retention")

EVERY_SECONDS = 3600.0
DAYS_AHEAD = 7
BATCH = 5_000
TRIES, PAUSE_SECONDS = 3, 1.0

ALONE = "SELECT pg_try_advisory_lock(hashtext('modplane.retention'), 0)"
# As in `drop_event_day`: a new day locks the parent and the default partition.
LOCK_TIMEOUT = "SET lock_timeout = '200ms'"
PARTITIONS = f"SELECT ensure_event_partitions({DAYS_AHEAD})"
# Never above what still waits in the outbox, whose rows need their log; asked as the relay, who may see them. The
# owner may not: row-level security is forced on him, and he would take the outbox for empty.
KEPT_FROM = "least(now() - make_interval(days => $2), (SELECT min(occurred_at) FROM outbox))"
DROP_DAY = f"SELECT drop_event_day($1, {KEPT_FROM})"
# What came for a day that had no partition yet lies among the rows of the default one.
DELETE_STRAYS = f"SELECT delete_stray_events($1, {KEPT_FROM}, {BATCH})"
DELETE_KEYS = f"""
DELETE FROM idempotency_key WHERE (organization_id, key) IN (
  SELECT organization_id, key FROM idempotency_key WHERE created_at < now() - make_interval(hours => $1)
   ORDER BY created_at LIMIT {BATCH})
"""


@dataclass
class Swept:
    """What a sweep removed: days by the names of their partitions, rows by number."""

    days: list[str] = field(default_factory=list)
    stray_events: int = 0
    idempotency_keys: int = 0

    def __bool__(self) -> bool:
        return bool(self.days or self.stray_events or self.idempotency_keys)


async def run_retention(url: URL, kept: Kept) -> None:
    """At once, then every hour, until it is cancelled."""
    while True:
        try:
            if swept := await sweep(url, kept):
                log.info("retention: %s", swept)
        except LOST as error:
            log.warning("retention tries again later: %r", error)
        await asyncio.sleep(EVERY_SECONDS)


async def sweep(url: URL, kept: Kept) -> Swept:
    """Make the days to come, drop those that are over. Nothing when somebody else is at it. Raises what LOST lists."""
    swept = Swept()
    connection = await connect(url, "modplane-retention")
    try:
        if not await connection.fetchval(ALONE):
            return swept
        await _make_days(connection)
        for parent, days in (("event_log", kept.event_log_days), ("inbox", kept.inbox_days)):
            while (day := await _drop_day(connection, parent, days)) is not None:
                swept.days.append(day)
            while deleted := await connection.fetchval(DELETE_STRAYS, parent, days):
                swept.stray_events += deleted
        while deleted := int((await connection.execute(DELETE_KEYS, kept.idempotency_hours)).split()[-1]):
            swept.idempotency_keys += deleted
    finally:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(2):
                await connection.close()
        connection.terminate()
    return swept


async def _make_days(connection: Any) -> None:
    """The days to come, a week ahead: when the tables are in use for long, the next sweep makes them as well."""
    await connection.execute(LOCK_TIMEOUT)
    if not (await _when_free(connection, PARTITIONS))[0]:
        log.warning("the event tables are in use; the next sweep makes the days to come")
    await connection.execute("RESET lock_timeout")


async def _drop_day(connection: Any, parent: str, days: int) -> str | None:
    """The partition dropped; None when there is none to drop, or when it is in use: then the next sweep has it."""
    day: str | None
    is_done, day = await _when_free(connection, DROP_DAY, parent, days)
    if not is_done:
        log.warning("an old day of %s is in use; the next sweep drops it", parent)
    return day


async def _when_free(connection: Any, statement: str, *arguments: object) -> tuple[bool, Any]:
    """Whether it could be done, and its value. Who waits for a table's lock keeps everybody waiting who comes later."""
    for _ in range(TRIES):
        try:
            return True, await connection.fetchval(statement, *arguments)
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(PAUSE_SECONDS)
    return False, None
