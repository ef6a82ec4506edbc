"""A decorator for one read of the database: `@cache_result(ttl=300, key_pattern="org:{org_id}:modules")`."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import wraps
from inspect import signature
from string import Formatter
from typing import Any
from uuid import UUID

from cache.keys import REGISTRY, Family
from cache.read_through import NOTHING_SEEN, ReadThrough
from cache.stamped import Stamped

Story = Callable[..., Awaitable[Stamped]]


def cache_result(*, ttl: int, key_pattern: str, version: int = 1) -> Callable[[Story], Callable[..., Awaitable[Any]]]:
    """Answer from the cache, which the decorated function is called with first; else run it and keep its value.

    The function says by `Stamped` which revs its value was read at: of the stream `org_id`, when the pattern names
    one, and always of the registry. Every parameter must be in the pattern, or two calls would share an answer: else
    TypeError. `need` are the revs that the client has seen.
    """

    def decorate(story: Story) -> Callable[..., Awaitable[Any]]:
        parameters = signature(story)
        names = {name for _, name, _, _ in Formatter().parse(key_pattern) if name}
        if names != set(parameters.parameters):
            raise TypeError(
                f"{key_pattern} must name the parameters of {story.__name__}: {list(parameters.parameters)}"
            )

        family: Family[tuple[tuple[str, Any], ...]] = Family(
            pattern=key_pattern,
            ttl_seconds=ttl,
            key=lambda given: key_pattern.format_map({name: _escaped(value) for name, value in given}),
            streams=lambda given: _streams_of(dict(given)),
            version=version,
        )

        @wraps(story)
        async def run(cache: ReadThrough, /, *args: Any, need: Mapping[UUID, int] = NOTHING_SEEN, **kwargs: Any) -> Any:
            bound = parameters.bind(*args, **kwargs)
            bound.apply_defaults()
            asked = tuple(bound.arguments.items())

            async def load(_: Collection[Any]) -> Mapping[Any, Stamped]:
                return {asked: await story(*args, **kwargs)}

            found = (await cache.get_many(family, [asked], load, need=need))[asked]
            return None if found is None else found.value

        return run

    return decorate


def _streams_of(given: Mapping[str, Any]) -> tuple[UUID, ...]:
    return (UUID(str(given["org_id"])), *REGISTRY) if "org_id" in given else REGISTRY


def _escaped(value: object) -> str:
    """A colon inside a value must not make it look like two: ("a:b", "c") is not ("a", "b:c"), and None is not ""."""
    return "%" if value is None else str(value).replace("%", "%25").replace(":", "%3A")
