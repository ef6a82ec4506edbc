"""Batch resolvers: a second way to resolve a field, for all objects of a level at once.

The field's own resolver stays what the schema shows and what graphql-core runs; the plan calls the batch instead. Both
must say the same: tests/graph/plan/test_differential.py compares them. Never holds: the resolvers themselves.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

# (objects, info, **arguments) -> a value for each object, in order. Arguments are the ordinary resolver's. An error of
# one object is raised for all: graphql-core then finds out whose it is.
Batch: TypeAlias = Callable[..., list[Any] | Awaitable[list[Any]]]
B = TypeVar("B", bound=Batch)

_batches: dict[Callable[..., Any], Batch] = {}


def batched(resolver: Callable[..., Any]) -> Callable[[B], B]:
    """Declare the batch of a field, named by its resolver: `@batched(Module.latest_version)`, after the class."""

    def declare(batch: B) -> B:
        if resolver in _batches:
            raise ValueError(f"{resolver.__qualname__} has a batch resolver already")
        _batches[resolver] = batch
        return batch

    return declare


def batch_of(resolver: Callable[..., Any]) -> Batch | None:
    return _batches.get(resolver)
