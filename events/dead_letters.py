"""Dead letters: the rows of what a consumer could not apply, with all that is needed to try again.

Never decides what is one (inbox.py), sends them (dead_letter_topic.py) or tries again (replay.py).
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import orjson
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from events.envelope import Event, MalformedEvent
from events.reactions import UnreadablePayload

KEPT_BYTES_MAX = 64 * 1024  # of a key, of the headers, of a value
TEXT_MAX = 500

PARK = text(
    'INSERT INTO dead_event AS known(consumer, event_id, organization_id, rev, topic, partition, "offset", error_class,'
    " error_text, attempts, key, headers, value, first_at, last_at, status) VALUES (:consumer, :id, :organization_id,"
    " :rev, :topic, :partition, :offset, :error_class, :error_text, :attempts, :key, :headers, :value, :now, :now,"
    " 'parked') ON CONFLICT (consumer, event_id) DO UPDATE SET last_at = excluded.last_at"
)


class Expired(Exception):
    """An event from before the days that the inbox remembers: nobody can tell whether it was applied."""


@dataclass(frozen=True)
class Letter:
    """A record that was given up. `event`: what was read of it; None when it is no event of ours."""

    record: Any
    error: Exception
    event: Event | None = None
    attempts: int = 1


async def park(connection: AsyncConnection, consumer: str, letters: Sequence[Letter]) -> None:
    """Write the rows. Parked again, a letter stays as it is: a replay may have been asked for."""
    await connection.execute(PARK, [_row(consumer, letter) for letter in letters])


def describe(error: Exception) -> str:
    """What may be shown of an error. Others' texts can carry what tenants have written: of them only the kind."""
    if isinstance(error, MalformedEvent | UnreadablePayload | Expired):
        return str(error).replace("\0", "")[:TEXT_MAX]
    if isinstance(error, DBAPIError):
        return f"the database refused it, SQLSTATE {getattr(error.orig, 'sqlstate', None)}"
    return f"it failed with {type(error).__name__}"


def encode_headers(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    """As JSON, [[name, value in base64 or null], ...]: a record may repeat a name, and its values are bytes."""
    pairs = [(name, None if value is None else base64.b64encode(value).decode()) for name, value in headers]
    return orjson.dumps(pairs)


def decode_headers(stored: bytes) -> list[tuple[str, Any]]:
    """Null values included, which a record may have though none of ours does."""
    return [(name, value if value is None else base64.b64decode(value)) for name, value in orjson.loads(stored)]


def _row(consumer: str, letter: Letter) -> dict[str, Any]:
    record, event = letter.record, letter.event
    place = f"{record.topic}/{record.partition}/{record.offset}"
    return {
        "consumer": consumer,
        # a foreign record gets an id from where it lies: the same record again gives the same row
        "id": uuid5(NAMESPACE_URL, place) if event is None else event.id,
        "organization_id": None if event is None else event.organization_id,
        "rev": None if event is None else event.rev,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "error_class": type(letter.error).__name__,
        "error_text": describe(letter.error),
        "attempts": letter.attempts,
        "key": _bounded(record.key),
        "headers": _bounded(encode_headers(record.headers)),
        "value": _bounded(record.value),
        "now": datetime.now(UTC),
    }


def _bounded(data: bytes | None) -> bytes | None:
    """All or nothing: half a value could be mistaken for a whole one."""
    return data if data is None or len(data) <= KEPT_BYTES_MAX else None
