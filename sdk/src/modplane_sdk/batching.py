"""Reads that are asked for in one tick of the loop become one request, each thing once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modplane_sdk.api import Api

GROUPS_MAX = 10  # root fields of a request
KEYS_MAX = 500  # representations of a root field
READS_MAX = 1000  # representations of a request: the platform takes 256 KiB
ID_CHARS_MAX = 64  # of what is there; a longer one would be at the cost of those who ask beside it

SELECTIONS = {
    "Organization": "id name plan",
    "Company": "id name organization { id }",
    "config": "effectiveConfig(module: $m{group}) {{ revision values }}",
}


@dataclass(frozen=True)
class Read:
    """An entity, or with `module` its effective configuration."""

    typename: str
    id: str
    module: str | None = None

    @property
    def group(self) -> tuple[str, str | None]:
        """What is asked for in the same words."""
        return self.typename, self.module


class Reads:
    """Raises from each `load` what its request raised. A thing that is not there, or not to be seen, is None."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._waiting: dict[Read, asyncio.Future[Any]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def load(self, read: Read) -> Any:
        if max(len(read.id), len(read.module or "")) > ID_CHARS_MAX:
            return None
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._begin)
        if read not in self._waiting:
            self._waiting[read] = asyncio.get_running_loop().create_future()
        # a caller that gives up does not take it from the others
        return await asyncio.shield(self._waiting[read])

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for groups in _requests(list(waiting)):
            task = asyncio.create_task(self._run(groups, waiting))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self, groups: list[list[Read]], waiting: dict[Read, "asyncio.Future[Any]"]) -> None:
        asked = [read for group in groups for read in group]
        try:
            found = await self._ask(groups)
        except Exception as error:  # noqa: BLE001  # it belongs to those who wait
            for read in asked:
                waiting[read].set_exception(error)
                waiting[read].exception()  # seen, should nobody wait any more
            return
        for read, value in zip(asked, found, strict=True):
            waiting[read].set_result(value)

    async def _ask(self, groups: list[list[Read]]) -> list[Any]:
        declared, fields = [], []
        variables: dict[str, Any] = {}
        for index, group in enumerate(groups):
            typename, module = group[0].group
            declared.append(f"$r{index}: [_Any!]!")
            variables[f"r{index}"] = [{"__typename": typename, "id": read.id} for read in group]
            selection = SELECTIONS[typename]
            if module is not None:
                declared.append(f"$m{index}: String!")
                variables[f"m{index}"] = module
                selection = SELECTIONS["config"].format(group=index)
            fields.append(f"g{index}: _entities(representations: $r{index}) {{ ... on {typename} {{ {selection} }} }}")
        data = await self._api.query(f"query ({', '.join(declared)}) {{ {' '.join(fields)} }}", variables)
        return [entity for index in range(len(groups)) for entity in data[f"g{index}"]]


def _requests(reads: Sequence[Read]) -> list[list[list[Read]]]:
    """Requests of groups of reads, none larger than the platform takes."""
    by_group: dict[tuple[str, str | None], list[Read]] = {}
    for read in reads:
        by_group.setdefault(read.group, []).append(read)
    requests: list[list[list[Read]]] = [[]]
    for group in by_group.values():
        for start in range(0, len(group), KEYS_MAX):
            part, request = group[start : start + KEYS_MAX], requests[-1]
            if len(request) == GROUPS_MAX or sum(map(len, request)) + len(part) > READS_MAX:
                requests.append(request := [])
            request.append(part)
    return requests
