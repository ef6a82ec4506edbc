"""What clients may learn of an error: a stable code always, the message only of errors made for them.

A fault is logged whole and answered with an id to find it by. Never holds: the errors themselves, HTTP statuses.
"""

import logging
import uuid
from collections.abc import Iterator, Mapping

from graphql import ExecutionResult as GraphQLExecutionResult
from graphql import GraphQLError, GraphQLSyntaxError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from strawberry.extensions import SchemaExtension
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.execution import ExecutionResult, StreamExecutionResult

from rules.errors import Refusal

ERRORS_MAX = 10
INTERNAL = "INTERNAL"
PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
BAD_USER_INPUT = "BAD_USER_INPUT"
UNAVAILABLE = "UNAVAILABLE"
OPERATION_UNKNOWN = "OPERATION_RESOLUTION_FAILURE"
# SQLSTATE: connection, insufficient resources; administrator's shutdown, crash, starting up; statement timed out
UNAVAILABLE_CLASSES = frozenset({"08", "53"})
UNAVAILABLE_STATES = frozenset({"57P01", "57P02", "57P03", "57014", "55P03", "25P03"})

log = logging.getLogger(__name__)


class ApiError(Exception):
    """Raised to answer with a top-level error that the client is meant to read: authentication, limits."""

    def __init__(self, code: str, message: str, *, extensions: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.extensions = {**(extensions or {}), "code": code}


def mask_errors(errors: list[GraphQLError]) -> list[GraphQLError]:
    """The errors as a client may see them; masking twice changes nothing."""
    return [_mask(error) for error in errors[:ERRORS_MAX]]


def fault(error: BaseException) -> GraphQLError:
    """Log an unexpected exception and give the error that stands for it."""
    correlation_id = uuid.uuid4().hex
    log.error("Fault %s in a GraphQL operation", correlation_id, exc_info=error)
    return GraphQLError("Internal error", extensions={"code": INTERNAL, "correlationId": correlation_id})


def _mask(error: GraphQLError) -> GraphQLError:
    original = _innermost(error)
    if isinstance(original, ApiError):
        error.extensions = {**original.extensions}
    elif isinstance(original, Refusal):
        # a query has no payload to put it in: an argument of it can't be taken
        paths = [list(problem.path) for problem in original.problems]
        error.extensions = {"code": BAD_USER_INPUT, "paths": paths}
    elif "code" in (error.extensions or {}):
        pass
    elif isinstance(original, GraphQLSyntaxError):
        error.extensions = {"code": PARSE_FAILED}
    elif isinstance(original, CannotGetOperationTypeError | InvalidOperationTypeError):
        error.extensions = {"code": OPERATION_UNKNOWN}
    elif _is_unavailable(original):
        log.warning("Not available: %r", original)
        return GraphQLError(
            "The service can't do this right now; try again",
            nodes=error.nodes,
            path=error.path,
            extensions={"code": UNAVAILABLE},
        )
    elif _is_input_error(error, original):
        error.extensions = {**(error.extensions or {}), "code": BAD_USER_INPUT}
    else:
        masked = fault(original)
        return GraphQLError(masked.message, nodes=error.nodes, path=error.path, extensions=masked.extensions)
    return error


def _innermost(error: GraphQLError) -> Exception:
    found: Exception = error
    while isinstance(found, GraphQLError) and found.original_error is not None:
        found = found.original_error
    return found


def _is_unavailable(original: Exception) -> bool:
    """The database is away, restarting or full: nothing is wrong with the request, and it may come again."""
    driver = original.orig if isinstance(original, DBAPIError) else original
    if isinstance(original, DBAPIError) and original.connection_invalidated:
        return True
    if isinstance(driver, PoolTimeoutError | ConnectionError | TimeoutError):
        return True
    state = getattr(driver, "sqlstate", None) or ""
    return state[:2] in UNAVAILABLE_CLASSES or state in UNAVAILABLE_STATES


def _is_input_error(error: GraphQLError, original: Exception) -> bool:
    """graphql-core's own complaint about a variable or an argument.

    Such errors point into the document. Those of scalars that cannot write a value do not: the value is ours.
    A scalar may refuse a variable with any exception; the error around it is still about a variable definition.
    """
    if error.path is None:
        return isinstance(original, GraphQLError) or bool(error.nodes)
    return isinstance(original, GraphQLError) and bool(original.nodes)


class MaskErrors(SchemaExtension):
    """Masks the results of all operations, each event of a subscription too. First in `extensions`, so last to run."""

    def __init__(self) -> None:
        self.is_stream = False

    def on_validate(self) -> Iterator[None]:
        yield
        for error in self.execution_context.pre_execution_errors or ():
            if "code" not in (error.extensions or {}):
                error.extensions = {"code": VALIDATION_FAILED}

    def on_operation(self) -> Iterator[None]:
        yield
        result = self.execution_context.result
        if not self.is_stream and isinstance(result, GraphQLExecutionResult | ExecutionResult) and result.errors:
            result.errors = mask_errors(result.errors)

    def on_stream_result(self, result: StreamExecutionResult) -> Iterator[None]:
        self.is_stream = True
        if isinstance(result, ExecutionResult) and result.errors:
            result.errors = mask_errors(result.errors)
        yield
