"""The worker role: carries out operations, one after the other. Woken by a timer; takes no input."""

import asyncio
import logging

from auth.actor import PLATFORM
from commands import bulk, fanout
from commands.operation import Step, claim_operation, take_step
from commands.transaction import Writer
from graph.context import Services

log = logging.getLogger("modplane.worker")

POLL_SECONDS = 0.25
STEPS: dict[str, Step] = {bulk.KIND: bulk.step, fanout.KIND: fanout.step}
AFTER_FAULT_SECONDS = 1.0


async def run_worker(services: Services) -> None:
    """Goes on until it is cancelled. What a dead worker left is taken up when its lease has run out."""
    writer = Writer(database=services.database, actor=PLATFORM, floor=services.floor, wakeup=services.wakeup)
    while True:
        try:
            operation_id = await claim_operation(writer)
            if operation_id is None:
                await asyncio.sleep(POLL_SECONDS)
                continue
            while await take_step(writer, operation_id, STEPS):
                pass
        except Exception:
            log.exception("worker goes on after a fault")
            await asyncio.sleep(AFTER_FAULT_SECONDS)
