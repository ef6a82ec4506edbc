"""Row 30: what the relay put on the broker is, byte for byte, what Debezium's event router would have put there."""

from dataclasses import dataclass
from uuid import UUID

from bench.chaos.ledger import records_between
from bench.chaos.report import Result
from bench.chaos.session import Session, session
from bench.chaos.world import World
from tests.events.debezium import Connector, Message, shipped

TYPES = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'event_log'::regclass"
ROWS = "SELECT * FROM event_log WHERE organization_id = ANY($1::uuid[])"


@dataclass(frozen=True)
class Scale:
    events: int


FULL, SHORT = Scale(10_000), Scale(500)


async def run(world: World, scale: Scale, *, seed: int) -> Result:
    async with session(world, "debezium", seed=seed, organizations=10) as made:
        await made.write_until(scale.events)
        _, wrong = await made.judged()
        expected = await _emulated(made)
        found = await _published(made)
    missing = [each for each in expected if each not in found]
    different = [each for each, messages in found.items() for message in messages if message != expected.get(each)]
    deliveries = sum(map(len, found.values()))
    return Result(
        row=30,
        promise="Debezium can take the relay's place",
        target=f"{scale.events} events: topic, key, value and headers equal byte for byte",
        measured=f"{len(expected)} events, {deliveries} deliveries, {len(different)} differ, {len(missing)} missing",
        holds=not (missing or different or wrong),
        figures={"events": len(expected), "deliveries": deliveries, "different": len(different)},
        wrong=[*wrong, *(f"event {each} differs" for each in different[:20])],
    )


async def _emulated(made: Session) -> dict[str, Message]:
    """By event id, by the rules of the configuration in deploy/debezium."""
    async with made.world.tables() as connection:
        connector = Connector(shipped(), dict(await connection.fetch(TYPES)))
        rows = await connection.fetch(ROWS, [UUID(each) for each in made.organizations])
    return {str(row["id"]): connector.message_of(dict(row)) for row in rows}


async def _published(made: Session) -> dict[str, list[Message]]:
    """By event id, as any consumer reads them."""
    mine = {organization.encode() for organization in made.organizations}
    found: dict[str, list[Message]] = {}
    async for part, record in records_between(made.world, made.since):
        if record.key in mine:
            event_id = dict(record.headers)["id"].decode()
            message = Message(part.topic, record.key, record.value, tuple(record.headers))
            found.setdefault(event_id, []).append(message)
    return found
