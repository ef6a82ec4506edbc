"""Noticing a consumer that has gone silent: records wait for it and none arrives, without any error.

aiokafka can end so after a long stall (#1037, open in 0.14): only a new process helps. Never ends anything itself.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from events.stopping import stop_client

ANSWER_SECONDS = 10.0


class Stalled(RuntimeError):
    """Records wait, none has come for too long: this process has to end, and another begins where it was."""


@dataclass
class Watchdog:
    """`limit`: how many seconds records may wait while none arrives. Times are monotonic seconds."""

    limit: float
    _behind_since: float | None = None

    def observe(self, *, now: float, heard_at: float, is_behind: bool | None) -> bool:
        """Whether the consumer has stalled. `is_behind`: None when the broker did not say, which is an outage."""
        if not is_behind:
            self._behind_since = None
            return False
        if self._behind_since is None:
            self._behind_since = now
        return now - max(self._behind_since, heard_at) >= self.limit


def is_behind(positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> bool:
    """Whether any partition goes on after what was read of it. An end before it is a broker that has forgotten."""
    return any(ends.get(partition, 0) > position for partition, position in positions.items())


async def ends_of(bootstrap: str, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int] | None:
    """The ends of the partitions, asked over a connection of its own; None when nobody answers in time.

    Not asked of the consumer under suspicion: a client that has gone silent cannot vouch for itself.
    """
    observer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await observer.start()
            ends: Mapping[TopicPartition, int] = await observer.end_offsets(list(positions))
            return ends
    except (KafkaError, OSError, TimeoutError):
        return None
    finally:
        with contextlib.suppress(Exception):
            await stop_client(observer, seconds=2)
