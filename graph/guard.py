"""Every root field asks auth/policy.py before it does anything. A field that the table does not list does not start."""

from collections.abc import Awaitable, Callable
from typing import Any

import strawberry
from strawberry.extensions import FieldExtension
from strawberry.types.field import StrawberryField
from strawberry.utils.str_converters import to_camel_case

from auth.actor import Actor
from auth.policy import POLICY, may_call
from graph.context import RequestContext
from graph.masking import ApiError


def require(actor: Actor, field: str) -> None:
    """Raise UNAUTHENTICATED or FORBIDDEN. Roles only: whose thing it is, is never told by this."""
    if may_call(actor, field):
        return
    if actor.is_anonymous:
        raise ApiError("UNAUTHENTICATED", f"{field} needs a token: Authorization: Bearer …")
    raise ApiError("FORBIDDEN", f"your role may not call {field}")


class Guard(FieldExtension):
    def __init__(self, root: str) -> None:
        self._root = root
        self._field = ""

    def apply(self, field: StrawberryField) -> None:
        self._field = f"{self._root}.{to_camel_case(field.python_name)}"
        if self._field not in POLICY:
            raise LookupError(f"{self._field} has no row in auth/policy.py")

    def admit(self, context: RequestContext) -> None:
        """All that there is to it: what a plan asks, once for all objects (graph/plan/reading.py::Gate)."""
        require(context.actor, self._field)

    async def resolve_async(
        self,
        next_: Callable[..., Awaitable[Any]],
        source: Any,
        info: strawberry.Info[RequestContext, None],
        **kwargs: Any,
    ) -> Any:
        self.admit(info.context)
        return await next_(source, info, **kwargs)
