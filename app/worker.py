"""The worker role: carries out operations, the oldest first. Woken by a timer; takes no input.

Work is found by one loop and done by two tasks: while one waits for the disk, the other plans.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID

from auth.actor import PLATFORM
from commands import fanout
from commands.bulk import ask, chunk
from commands.operation.chunks import Chunked, Dropped, carry_out, cut, is_hopeless, narrow_down
from commands.operation.claim import Claimed, Step, claim_operation, take_step
from commands.operation.lease import RENEW_SECONDS, Chunk, give_back, lease_chunk, new_lease, put_off, renew
from commands.transaction import Writer
from events.failpoints import reach
from graph.context import Services

log = logging.getLogger("modplane.worker")

POLL_SECONDS = 0.25
AFTER_FAULT_SECONDS = 1.0
GIVE_BACK_SECONDS = 2.0  # of the five that a role has to end
LANES = 2
STEPS: dict[str, Step] = {fanout.KIND: fanout.step}
CHUNKED: dict[str, Chunked] = {ask.KIND: Chunked(members=ask.members, work=chunk.assign_chunk)}

Work = Callable[[], Awaitable[None]]


async def run_worker(services: Services) -> None:
    """Goes on until it is cancelled. What a dead worker left is taken up when its lease has run out."""
    writer = Writer(
        database=services.database,
        actor=PLATFORM,
        floor=services.floor,
        wakeup=services.wakeup,
        registry=services.registry,
    )
    free = asyncio.Semaphore(LANES)
    async with asyncio.TaskGroup() as lanes:
        while True:
            await free.acquire()
            work = await _find(writer)
            if work is None:
                free.release()
                await asyncio.sleep(POLL_SECONDS)
            else:
                lanes.create_task(_do(work)).add_done_callback(lambda _: free.release())


async def _find(writer: Writer) -> Work | None:
    """The next piece of work, leased; None when there is none, or nobody to ask."""
    lease_id = new_lease()
    try:
        if (claimed := await claim_operation(writer)) is not None:
            return lambda: _begin(writer, claimed)
        leased = await lease_chunk(writer.database, lease_id)
    except asyncio.CancelledError:
        await _give_back(writer, lease_id)
        raise
    except Exception:
        log.exception("worker finds no work for a fault")
        await asyncio.sleep(AFTER_FAULT_SECONDS)
        return None
    return None if leased is None else lambda: _chunk(writer, leased)


async def _do(work: Work) -> None:
    try:
        await work()
    except Exception:
        log.exception("worker goes on after a fault")
        await asyncio.sleep(AFTER_FAULT_SECONDS)


async def _begin(writer: Writer, claimed: Claimed) -> None:
    """Cut it into chunks for all workers to share, or take all its steps here."""
    if claimed.kind in CHUNKED:
        await cut(writer, claimed.id, CHUNKED[claimed.kind])
        return
    while await take_step(writer, claimed.id, STEPS[claimed.kind]):
        reach("worker.between_chunks")


async def _chunk(writer: Writer, leased: Chunk) -> None:
    renewing = asyncio.create_task(_renew(writer, leased.lease_id))
    try:
        if is_hopeless(leased):
            await narrow_down(writer, leased)
        else:
            await carry_out(writer, leased, CHUNKED[leased.kind])
    except asyncio.CancelledError:
        await _give_back(writer, leased.lease_id)
        raise
    except Dropped as dropped:
        log.info("chunk %s of operation %s is dropped: %s", leased.number, leased.operation_id, dropped)
    except Exception:
        log.exception("chunk %s of operation %s is put off", leased.number, leased.operation_id)
        await put_off(writer.database, leased.lease_id)
    finally:
        renewing.cancel()
    reach("worker.between_chunks")


async def _renew(writer: Writer, lease_id: UUID) -> None:
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        # once may fail: the lease outlives it
        with suppress(Exception):
            await renew(writer.database, lease_id)


async def _give_back(writer: Writer, lease_id: UUID) -> None:
    """At the end of this worker: another one goes on at once, and if not, then when the lease has run out."""
    with suppress(Exception):
        async with asyncio.timeout(GIVE_BACK_SECONDS):
            await give_back(writer.database, lease_id)
