"""A schema of everything that a field can do, right and wrong, to be run by plans and by graphql-core."""

import asyncio
from collections.abc import Iterator
from enum import Enum
from typing import Annotated

import strawberry

from graph.documents import document_cache
from graph.limits import Limits
from graph.plan.batch import batched
from graph.planned import PlannedSchema
from graph.store import DocumentStore
from graph.types.scalars import JSON


@strawberry.enum
class Color(Enum):
    RED = "red"
    BLUE = "blue"


@strawberry.interface
class Named:
    name: str


@strawberry.type
class Cat(Named):
    lives: int = 9


@strawberry.type
class Dog(Named):
    color: Color = Color.RED

    @strawberry.field
    async def friend(self) -> Annotated["Cat | Dog", strawberry.union("Pet")]:
        await asyncio.sleep(0)
        return Cat(name=f"{self.name}'s")


@strawberry.input
class Wish:
    name: str = "nobody"
    colors: list[Color] | None = None


@strawberry.type
class Item:
    number: int

    @strawberry.field
    async def fails_at(self, number: int) -> int:
        await asyncio.sleep(0)
        if self.number == number:
            raise ValueError(f"no {number}")
        return self.number

    @strawberry.field
    def nothing_at(self, number: int) -> int:
        return None if self.number == number else self.number  # type: ignore[return-value]

    @strawberry.field
    async def doubled(self, by: int = 2) -> int:
        return self.number * by

    @strawberry.field
    async def broken_batch(self) -> int:
        return self.number

    @strawberry.field
    async def failing_batch(self) -> int:
        return self.number


@batched(Item.doubled)
async def all_doubled(items: list[Item], info: strawberry.Info, by: int = 2) -> list[int]:
    await asyncio.sleep(0)
    return [item.number * by for item in items]


@batched(Item.broken_batch)
def too_few(items: list[Item], info: strawberry.Info) -> list[int]:
    return [item.number for item in items[1:]]


@batched(Item.failing_batch)
async def failing(items: list[Item], info: strawberry.Info) -> list[int]:
    await asyncio.sleep(0)
    raise ValueError("no batch")


@strawberry.type
class Query:
    @strawberry.field
    async def items(self, count: int = 3) -> list[Item]:
        return [Item(number=number) for number in range(count)]

    @strawberry.field
    async def maybe_items(self) -> list[Item | None] | None:
        return [Item(number=0), None, Item(number=2)]

    @strawberry.field
    def grid(self) -> list[list[int | None]]:
        return [[1, None], [], [2**31 - 1, -(2**31)]]

    @strawberry.field
    def too_large(self) -> list[int | None]:
        return [1, 2**31, 3]

    @strawberry.field
    def generated(self) -> list[int]:
        def numbers() -> Iterator[int]:
            yield from range(3)

        return numbers()  # type: ignore[return-value]

    @strawberry.field
    def awaited_items(self) -> list[Item | None]:
        async def item(number: int) -> Item | None:
            await asyncio.sleep(0)
            return Item(number=number) if number else None

        return [item(1), item(0), Item(number=5)]  # type: ignore[list-item]

    @strawberry.field
    def pets(self) -> list[Annotated["Cat | Dog", strawberry.union("Pet")]]:
        return [Cat(name="Tom"), Dog(name="Rex"), Cat(name="Kit", lives=1)]

    @strawberry.field
    def named(self) -> list[Named]:
        return [Dog(name="Rex", color=Color.BLUE), Cat(name="Tom")]

    @strawberry.field
    def wrong_pet(self) -> Annotated["Cat | Dog", strawberry.union("Pet")] | None:
        return Item(number=1)  # type: ignore[return-value]

    @strawberry.field
    def errors_as_values(self) -> list[str | None]:
        return ["a", ValueError("no b"), "c"]  # type: ignore[list-item]

    @strawberry.field
    def wishes(self, wish: Wish, more: list[Wish] | None = None) -> list[str]:
        return [f"{each.name} {each.colors}" for each in (wish, *(more or ()))]

    @strawberry.field
    def here(self, info: strawberry.Info) -> list[str]:
        return list(map(str, info.path.as_list()))

    @strawberry.field
    def told(self, info: strawberry.Info) -> JSON:
        selected = [repr(each) for each in info.selected_fields]
        return {"name": info.field_name, "variables": info.variable_values, "selected": selected}

    @strawberry.field
    def number_as_text(self) -> str:
        return 7  # type: ignore[return-value]

    @strawberry.field
    def truth(self) -> bool:
        return 1  # type: ignore[return-value]

    @strawberry.field
    async def slow(self, info: strawberry.Info) -> str:
        info.context["begun"].set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            # ends later than it is asked to
            await asyncio.sleep(0.01)
            info.context["ended"].append("slow")
            raise
        return "late"

    @strawberry.field
    async def soon(self, info: strawberry.Info) -> str:
        await asyncio.sleep(0.02)
        info.context["ended"].append("soon")
        return "soon"

    @strawberry.field
    async def refused(self) -> str:
        raise ValueError("refused")

    @strawberry.field
    def refused_at_once(self) -> str | None:
        raise ValueError("refused")


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def count(self, info: strawberry.Info) -> Item:
        info.context["ended"].append("count")
        return Item(number=len(info.context["ended"]))

    @strawberry.mutation
    async def refused(self, info: strawberry.Info) -> Item:
        info.context["ended"].append("refused")
        raise ValueError("refused")

    @strawberry.mutation
    def nothing(self, info: strawberry.Info) -> Item:
        info.context["ended"].append("nothing")
        return None  # type: ignore[return-value]


def make_schema(store: DocumentStore, *, is_planning: bool) -> strawberry.Schema:
    cache = document_cache(Limits(), store=store, is_planning=is_planning)
    made = PlannedSchema(Query, Mutation, types=[Cat, Dog], extensions=[cache])
    made.store, made.limits, made.is_planning = store, Limits(), is_planning
    return made
