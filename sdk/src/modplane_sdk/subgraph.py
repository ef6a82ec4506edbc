"""A module's subgraph with Strawberry: stubs of the platform's entities, the entitlement rule, a schema that composes.

A module adds its fields by a subclass:

    @strawberry.federation.type(keys=["id"], name="Organization")
    class Organization(OrganizationStub):
        @strawberry.field(extensions=[RequiresModule("billing")])
        async def billing_invoices(self) -> list[BillingInvoice] | None: ...

To refer to one only, `OrganizationRef(id=…)` is a type of its own that the gateway fills from the platform.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, Self

import strawberry
from fastapi import APIRouter
from graphql import GraphQLError
from strawberry.extensions import FieldExtension, MaskErrors, MaxTokensLimiter, QueryDepthLimiter
from strawberry.fastapi import GraphQLRouter
from strawberry.federation import Schema
from strawberry.federation.schema_directives import Key
from strawberry.federation.types import FieldSet
from strawberry.http.streaming import SSETransport
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types.base import StrawberryOptional
from strawberry.types.field import StrawberryField

from modplane_sdk.identity import Unverified, current_identity

FEDERATION_VERSION: Literal["2.9"] = "2.9"  # the newest that the platform's composer knows
NOT_ENTITLED = "MODULE_NOT_ENTITLED"
DEPTH_MAX = 20
TOKENS_MAX = 5_000


class TypedError(GraphQLError):
    """An error that the caller is to see, with its code; every other is masked."""

    def __init__(self, code: str, message: str, **extensions: object) -> None:
        super().__init__(message, extensions={"code": code, **extensions})


class RequiresModule(FieldExtension):
    """Null and a typed error for who has not got the module. The field must be nullable, and says so at once if not."""

    def __init__(self, code: str) -> None:
        self._code = code

    def apply(self, field: StrawberryField) -> None:
        if not isinstance(field.type, StrawberryOptional):
            raise TypeError(f"{field.python_name} can be refused, so its type has to be nullable: … | None")

    def resolve(self, next_: Callable[..., Any], source: Any, info: strawberry.Info, **kwargs: Any) -> Any:
        require_module(self._code)
        return next_(source, info, **kwargs)

    async def resolve_async(
        self, next_: Callable[..., Awaitable[Any]], source: Any, info: strawberry.Info, **kwargs: Any
    ) -> Any:
        require_module(self._code)
        return await next_(source, info, **kwargs)


def require_module(code: str) -> None:
    """For what is no field with a resolver: subscriptions, REST. Raises TypedError."""
    try:
        is_entitled = current_identity().has_module(code)
    except Unverified:
        is_entitled = False
    if not is_entitled:
        raise TypedError(NOT_ENTITLED, f"your organization has not got the module {code}", module=code)


@strawberry.type
class OrganizationStub:
    """Tier 2. What its fields show is the module's business; this hides other tenants' altogether."""

    id: strawberry.ID

    @classmethod
    def resolve_reference(cls, id: strawberry.ID, **_: object) -> Self | None:  # noqa: A002  # as the key is called
        return cls(id=id) if current_identity().may_see_organization(id) else None


@strawberry.type
class CompanyStub:
    """Tier 3. Whose company it is only its rows tell: read them by `current_identity().organization_id` too."""

    id: strawberry.ID

    @classmethod
    def resolve_reference(cls, id: strawberry.ID, **_: object) -> Self | None:  # noqa: A002  # as the key is called
        return cls(id=id) if current_identity().may_see_company(id) else None


@strawberry.type
class ModuleStub:
    """An entry of the registry."""

    code: str

    @classmethod
    def resolve_reference(cls, code: str, **_: object) -> Self | None:
        return cls(code=code)


@strawberry.federation.type(keys=[Key(fields=FieldSet("id"), resolvable=False)], name="Organization")
class OrganizationRef:
    id: strawberry.ID


@strawberry.federation.type(keys=[Key(fields=FieldSet("id"), resolvable=False)], name="Company")
class CompanyRef:
    id: strawberry.ID


@strawberry.federation.type(keys=[Key(fields=FieldSet("code"), resolvable=False)], name="Module")
class ModuleRef:
    code: str


def module_schema(
    *,
    query: type,
    mutation: type | None = None,
    subscription: type | None = None,
    types: Iterable[type] = (),
    extensions: Iterable[Any] = (),
) -> Schema:
    """Federation 2.9, bounded, and faults masked: a stack trace is nobody's business at the other side of a gateway."""
    limits = (
        lambda: QueryDepthLimiter(max_depth=DEPTH_MAX),
        lambda: MaxTokensLimiter(max_token_count=TOKENS_MAX),
        lambda: MaskErrors(should_mask_error=is_fault),
    )
    return Schema(
        query=query,
        mutation=mutation,
        subscription=subscription,
        types=types,
        extensions=[*extensions, *limits],
        federation_version=FEDERATION_VERSION,
    )


def is_fault(error: GraphQLError) -> bool:
    """Neither the caller's mistake (a document that is not in order) nor a refusal."""
    cause = error.original_error
    return cause is not None and not isinstance(cause, GraphQLError)


class LineFeedSSE(SSETransport):
    """There are gateways that split events at two LFs, and silently see nothing of streams with CRLF."""

    def encode_event(self, event: str, data: str | None = None) -> str:
        return super().encode_event(event, data).replace("\r\n", "\n")

    def encode_comment(self, comment: str) -> str:
        return super().encode_comment(comment).replace("\r\n", "\n")


class _Router(GraphQLRouter[dict[str, Any], None]):
    stream_transport_classes_by_protocol = {  # noqa: RUF012  # declared so by the library
        **GraphQLRouter.stream_transport_classes_by_protocol,
        GRAPHQL_SSE_PROTOCOL: LineFeedSSE,
    }


def graphql_router(schema: Schema, make_context: Callable[[], dict[str, Any]], path: str = "/graphql") -> APIRouter:
    """By POST, WebSocket and event stream. Nothing by GET: an address is not signed."""

    async def context() -> dict[str, Any]:
        return make_context()

    return _Router(
        schema,
        path=path,
        context_getter=context,
        graphql_ide=None,
        allow_queries_via_get=False,
        subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL],
    )
