"""Which instance of a module is asked next: of the healthy ones the one that has waited the longest."""

import asyncio
import time
from collections.abc import Sequence
from itertools import count

from cache.instances import Instances
from queries.instance import InstancesAway, load_instances
from rules.instance import STALE_SECONDS, healthy

KNOWN_SECONDS = 1.0
# While Redis is away: no longer than an instance is believed without a heartbeat.
KNOWN_SECONDS_MAX = STALE_SECONDS


class Balancer:
    """One for a process. Each module's instances are asked for once a second, however many requests there are."""

    def __init__(self, instances: Instances) -> None:
        self._instances = instances
        self._known: dict[str, tuple[float, Sequence[str]]] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._turns = count(1)
        self._last_turn: dict[str, int] = {}

    async def in_turn(self, module: str) -> list[str]:
        """The addresses of the healthy, whose turn it is first. Raises InstancesAway."""
        known = self._known.get(module)
        if known is None or time.monotonic() - known[0] > KNOWN_SECONDS:
            await self._ask(module)
            known = self._known[module]
        return sorted(known[1], key=lambda url: self._last_turn.get(url, 0))

    def note_turn(self, url: str) -> None:
        self._last_turn[url] = next(self._turns)

    async def _ask(self, module: str) -> None:
        """All who wait share one question, and whoever leaves takes nobody along."""
        task = self._asking.get(module)
        if task is None:
            task = self._asking[module] = asyncio.create_task(self._load(module))
            task.add_done_callback(lambda _: self._asking.pop(module))
        await asyncio.shield(task)

    async def _load(self, module: str) -> None:
        asked_at = time.monotonic()
        try:
            found = await load_instances(self._instances, [module])
        except InstancesAway:
            known = self._known.get(module)
            if known is None or asked_at - known[0] > KNOWN_SECONDS_MAX:
                raise
            return
        urls = [each.url for each in healthy(found[module])]
        for gone in set(self._known.get(module, (0, ()))[1]).difference(urls):
            self._last_turn.pop(gone, None)
        self._known[module] = (asked_at, urls)
