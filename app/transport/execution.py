"""One operation, from a checked request to its result or its stream of results. Never holds: HTTP, WebSocket."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, Protocol, cast
from uuid import UUID

import orjson
from graphql import GraphQLError
from strawberry.schema import BaseSchema
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.execution import ExecutionResult
from strawberry.types.graphql import OperationType

from app.transport.admission import Admission, Busy
from app.transport.answers import Answers
from app.transport.body import GraphQLRequest
from app.transport.connections import Connections
from app.transport.trusted import TrustedDocuments
from graph.limits import Limits
from graph.masking import OPERATION_UNKNOWN, UNAVAILABLE, ApiError, fault

SINGLE_RESULT = frozenset({OperationType.QUERY, OperationType.MUTATION})


class Connected(Protocol):
    """What an operation came over: a request, a handshake."""

    @property
    def headers(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class Keeping:
    """Where answers are kept. They hang on the actor's rights and streams; an operation's context tells if on more."""

    answers: Answers
    rights_of: Callable[[Any], str]
    streams_of: Callable[[Any], tuple[UUID, ...]]
    tell: Callable[
        [Any, tuple[int, ...], int], None
    ]  # a context the revs of these streams, and what the client has seen


@dataclass(frozen=True, kw_only=True)
class Service:
    """What the transports are given: the schema, who is calling, and what its resolvers need, made per operation."""

    schema: BaseSchema
    # Takes the bearer token, or None; answers an actor or an awaitable of one; raises ApiError for a bad token.
    authenticate: Callable[[str | None], Any]
    context_for: Callable[[Connected, Any], object]
    limits: Limits
    # An actor that stands for all with the same rights, hashable: subscriptions are executed as it, and shared among
    # those it stands for. None: each is executed by itself.
    rights_of: Callable[[Any], Any] | None = None
    # None: nothing is kept
    keeping: Keeping | None = None
    trusted: TrustedDocuments = field(default_factory=TrustedDocuments)
    connections: Connections = field(default_factory=Connections)
    admission: Admission = field(init=False)

    def __post_init__(self) -> None:
        limits = self.limits
        admission = Admission(
            running_max=limits.running, waiting_max=limits.waiting, waiting_seconds=limits.waiting_seconds
        )
        object.__setattr__(self, "admission", admission)

    def subscribing_actor(self, actor: Any) -> Any:
        return actor if self.rights_of is None else self.rights_of(actor)


async def identify(service: Service, token: str | None) -> Any:
    """The actor behind a token."""
    actor = service.authenticate(token)
    return await actor if isawaitable(actor) else actor


def bearer_token(header: str | None) -> str | None:
    """The token of an Authorization header; None if there is no header."""
    if not header:
        return None
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise ApiError("UNAUTHENTICATED", "The Authorization header must be 'Bearer <token>'.")
    return token


def seconds_left(actor: object) -> float | None:
    """How long the actor's token is still good; None: it does not expire."""
    expires_at: float | None = getattr(actor, "expires_at", None)
    return None if expires_at is None else max(0.0, expires_at - time.time())


async def execute(
    service: Service, request: GraphQLRequest, *, context: object, allowed: Iterable[OperationType]
) -> ExecutionResult:
    """Run a query or a mutation within the deadline. Raises InvalidOperationTypeError for other operation types."""
    seconds = service.limits.execution_seconds
    deadline = asyncio.timeout(seconds)
    try:
        await service.admission.enter()
    except Busy:
        return failure(GraphQLError("The server is busy; try again.", extensions={"code": UNAVAILABLE}))
    try:
        async with deadline:
            return await service.schema.execute(
                request.query,
                variable_values=request.variables,
                context_value=context,
                operation_name=request.operation_name,
                operation_extensions=request.extensions,
                allowed_operation_types=allowed,
            )
    except CannotGetOperationTypeError as error:
        return failure(GraphQLError(error.as_http_error_reason(), extensions={"code": OPERATION_UNKNOWN}))
    except InvalidOperationTypeError:
        raise
    except TimeoutError as error:
        if not deadline.expired():
            return failure(fault(error))
        message = f"The operation took longer than {seconds:g} seconds."
        return failure(GraphQLError(message, extensions={"code": "TIMEOUT"}))
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets a masked error
        return failure(fault(error))
    finally:
        service.admission.leave()


def end(context: object, result: ExecutionResult) -> None:
    """Tell an operation's context, if it wants to be told, that all has ended well: of an error, graphql-core may have
    left something running."""
    told = getattr(context, "end", None)
    if told is not None and not result.errors:
        told()


async def stream(
    service: Service, request: GraphQLRequest, *, context: object
) -> AsyncGenerator[ExecutionResult, None]:
    """The results of a subscription. Closing it closes the subscription's own generator at once."""
    try:
        # Strawberry types the elements wider, for @defer and @stream, which this schema does not enable.
        source = cast(
            "AsyncGenerator[ExecutionResult, None]",
            await service.schema.stream(
                request.query,
                variable_values=request.variables,
                context_value=context,
                operation_name=request.operation_name,
                operation_extensions=request.extensions,
            ),
        )
        async with aclosing(source):
            async for result in source:
                yield result
    except Exception as error:  # noqa: BLE001 - as above
        yield failure(fault(error))


def failure(error: GraphQLError) -> ExecutionResult:
    """The result of an operation that did not run."""
    return ExecutionResult(data=None, errors=[error])


def token_expired() -> ExecutionResult:
    """What ends a stream whose token has run out."""
    return failure(GraphQLError("token expired", extensions={"code": "UNAUTHENTICATED"}))


def is_request_error(result: ExecutionResult) -> bool:
    """Whether execution never began: then the answer has no `data`. A null that bubbled up has a path."""
    return result.data is None and bool(result.errors) and all(error.path is None for error in result.errors or ())


def payload(result: ExecutionResult) -> dict[str, object]:
    """The answer as the specification shapes it."""
    shaped: dict[str, object] = {}
    if result.errors:
        shaped["errors"] = [error.formatted for error in result.errors]
    if not is_request_error(result):
        shaped["data"] = result.data
    if result.extensions:
        shaped["extensions"] = result.extensions
    return shaped


def encode(answer: object) -> bytes:
    """JSON. A value that cannot be written is a fault of the resolver that gave it, not a dropped connection."""
    try:
        return orjson.dumps(answer)
    except TypeError as error:
        return orjson.dumps({"errors": [fault(error).formatted]})
