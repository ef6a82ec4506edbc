"""Named places where a process can be told to die: how the chaos suite proves that it may die anywhere.

Nothing is armed unless the environment says `FAILPOINT=name[:nth]` at start (app/cli.py). Dying is SIGKILL: no handler,
no finally, no flush, as when the machine loses its power.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

# name: what has happened when the process dies there
FAILPOINTS = {
    "api.before_transaction": "a mutation has been read, nothing written",
    "api.state_written": "a session's rows are flushed; what the driver writes is not",
    "api.facts_written": "event log and outbox are written, nothing is committed",
    "api.commit_sent": "COMMIT is on its way, nobody has heard its answer",
    "api.committed": "committed, the floor not raised and the relay not woken",
    "api.before_reply": "all is done but the answer",
    "relay.read": "a batch is read, nothing sent",
    "relay.sent": "sent, not acknowledged",
    "relay.acked": "acknowledged, not deleted from the outbox",
    "relay.deleting": "the deletion is on its way",
    "relay.deleted": "deleted",
    "reactions.fetched": "records are fetched, nothing applied",
    "reactions.in_transaction": "effects are written, not committed",
    "reactions.committed": "effects are committed, the floor not raised",
    "reactions.before_offsets": "floors are raised, offsets not committed",
    "reactions.offsets_committed": "offsets are committed",
    "reactions.revoking": "the group takes partitions away",
    "worker.between_chunks": "a chunk is done, the next not begun",
    "worker.in_chunk": "a chunk's rows are written, not committed",
    "composing.leased": "a registration is leased, nothing checked",
    "composing.checked": "a registration is checked, nothing of it written",
    "composing.deciding": "what a check has come to is written, not committed",
    "composing.locked": "a worker alone may publish, and has composed nothing",
    "composing.composed": "a graph is composed, nothing of it written",
    "composing.publishing": "artifact, head, states and events are written, not committed",
    "composing.published": "a graph is published, the lock not given back",
    "composing.refusing": "an activation's failure is written, not committed",
}

_armed: str | None = None
_left = 0


def arm(specification: str) -> None:
    """`name` or `name:nth`: die when the place is reached for the nth time. Raises ValueError for an unknown name."""
    global _armed, _left
    name, _, nth = specification.partition(":")
    if name not in FAILPOINTS or (nth and not nth.isdigit()):
        raise ValueError(f"FAILPOINT must be name[:nth], with a name of {', '.join(FAILPOINTS)}")
    _armed, _left = name, max(1, int(nth or 1))


def reach(name: str) -> None:
    """Die here, when this is the place and the time."""
    if _armed == name and _is_due():
        os.kill(os.getpid(), signal.SIGKILL)


async def reach_during(name: str, work: Awaitable[T]) -> T:
    """Die while the work is on its way: its request is sent, its answer not read."""
    if _armed == name and _is_due():
        task = asyncio.ensure_future(work)
        await asyncio.wait([task], timeout=0.0005)
        os.kill(os.getpid(), signal.SIGKILL)
    return await work


def _is_due() -> bool:
    global _left  # noqa: PLW0603 - see arm
    _left -= 1
    return _left == 0
