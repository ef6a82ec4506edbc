"""Lists in pages, as Relay has them. Keyset cursors; a count is read only when it is asked for."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Generic, Self, TypeVar

import strawberry

from queries.page import Page, PageRequest, encode_cursor, page_request

T = TypeVar("T")
R = TypeVar("R")

First = Annotated[int | None, strawberry.argument(description="Page size, 1 to 200; 50 when left out.")]
After = Annotated[str | None, strawberry.argument(description="The cursor of the last item seen.")]


@strawberry.federation.type(shareable=True, description="Where a page stands in its list.")
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type
class Edge(Generic[T]):
    node: T
    cursor: str


@strawberry.type
class Connection(Generic[T]):
    edges: list[Edge[T]]
    page_info: PageInfo
    count: strawberry.Private[Callable[[], Awaitable[int | None]] | None] = None

    @strawberry.field(description="The items without their cursors.")
    def nodes(self) -> list[T]:
        return [edge.node for edge in self.edges]

    @strawberry.field(description="How many there are over all pages; null where that would be too dear to count.")
    async def total_count(self) -> int | None:
        return None if self.count is None else await self.count()

    @classmethod
    def of(
        cls,
        page: Page[R],
        request: PageRequest,
        node_of: Callable[[R], T],
        count: Callable[[], Awaitable[int | None]] | None = None,
    ) -> Self:
        cursors = [encode_cursor(key) for key in page.keys]
        nodes = [node_of(item) for item in page.items]
        edges = [Edge(node=node, cursor=cursor) for node, cursor in zip(nodes, cursors, strict=True)]
        info = PageInfo(
            has_next_page=page.has_next,
            has_previous_page=request.after is not None,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
        )
        return cls(edges=edges, page_info=info, count=count)


__all__ = ["After", "Connection", "Edge", "First", "PageInfo", "page_request"]
