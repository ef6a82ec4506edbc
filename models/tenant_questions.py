"""Questions that many tenants ask at the same time, sent as one statement; each is answered as the tenant that asks it.

What they are is migration 0009's, and what a tenant sees of them is row-level security's. Who shares a statement shares
nothing else: neither rows nor failures.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg

from models.tick import OncePerTick

Arguments = tuple[Any, ...]
Rows = Sequence[asyncpg.Record]
# Statements of one kind that may be under way at a time: whoever comes meanwhile shares the next one. Fewer would share
# more; and a single tenant with much to read would keep all others waiting.
UNDER_WAY_MAX = 4


@dataclass(frozen=True)
class Question:
    """A function of the database, and the types of what it is asked: of each an array. The first is the tenant."""

    function: str
    types: tuple[str, ...]

    @property
    def statement(self) -> str:
        arrays = ", ".join(f"${place}::{type_}[]" for place, type_ in enumerate(self.types, 1))
        return f"SELECT * FROM {self.function}({arrays})"


class _Answered(NamedTuple):
    """What came of a statement. `size`: how many questions were in it."""

    rows: Mapping[Arguments, Rows]
    size: int
    error: asyncpg.PostgresError | None = None


class TenantQuestions:
    """One for a process. `fetch` sends a statement over a connection of the tenants' role."""

    def __init__(self, fetch: Callable[..., Awaitable[Rows]]) -> None:
        self._fetch = fetch
        self._joined: dict[Question, OncePerTick[Arguments, _Answered]] = {}

    async def ask(self, question: Question, asked: Collection[Arguments]) -> Mapping[Arguments, Rows]:
        """The rows of each; a question without rows is left out. All are of one snapshot.

        Raises what the driver raises.
        """
        joined = self._joined.get(question)
        if joined is None:
            joined = self._joined[question] = OncePerTick(self._sender(question), under_way_max=UNDER_WAY_MAX)
        answered = await joined.get(asked)
        if answered.error is None:
            # of these questions only: nobody gets hold of a neighbour's rows
            return {each: rows for each in asked if (rows := answered.rows.get(each)) is not None}
        if answered.size == len(set(asked)):
            raise answered.error
        # It may be another's fault, or another's size that took too long.
        return await self._send(question, tuple(asked))

    def _sender(self, question: Question) -> Callable[[Sequence[Arguments], float], Awaitable[_Answered]]:
        async def send(asked: Sequence[Arguments], _began: float) -> _Answered:
            try:
                return _Answered(await self._send(question, asked), len(asked))
            except asyncpg.PostgresError as error:
                return _Answered({}, len(asked), error)

        return send

    async def _send(self, question: Question, asked: Sequence[Arguments]) -> Mapping[Arguments, Rows]:
        answers: list[list[asyncpg.Record]] = [[] for _ in asked]
        for row in await self._fetch(question.statement, *map(list, zip(*asked, strict=True))):
            answers[row[0] - 1].append(row)  # `n`, the question's place, is the first column of each
        return {each: rows for each, rows in zip(asked, answers, strict=True) if rows}
