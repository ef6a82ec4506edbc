"""How events leave the house and how long they are kept: what an operator may choose. Never reads the environment."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Replication:
    """How topics are made that are missing."""

    factor: int = 1
    min_insync: int = 1


@dataclass(frozen=True)
class Kept:
    """How long things are kept. The inbox's days are longer than brokers keep records by default, which is 7."""

    event_log_days: int = 30
    inbox_days: int = 8
    idempotency_hours: int = 72


@dataclass(frozen=True)
class Delivery:
    """`has_relay`: rows are queued in the outbox for our own relay; without it Debezium reads the log itself.

    `shards`: how many relays share the outbox, 1 to 64.
    """

    has_relay: bool = True
    shards: int = 1
    replication: Replication = field(default_factory=Replication)
    kept: Kept = field(default_factory=Kept)
