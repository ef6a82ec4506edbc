"""A request refused before GraphQL sees it: an HTTP status and one typed error. Never holds: errors of operations."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from graph.masking import ApiError

STATUS_BY_CODE = {"UNAUTHENTICATED": 401, "FORBIDDEN": 403, "RATE_LIMITED": 429}


@dataclass(kw_only=True)
class Refused(Exception):
    """Every transport turns it into its own kind of answer."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    extensions: Mapping[str, object] = field(default_factory=dict)

    def payload(self) -> dict[str, object]:
        """The GraphQL-shaped body."""
        return {"errors": [{"message": self.message, "extensions": {**self.extensions, "code": self.code}}]}


class ClientGone(Exception):
    """The client hung up: nobody is left to answer."""


def bad_request(message: str) -> Refused:
    """The request is not GraphQL over HTTP."""
    return Refused(status=400, code="BAD_REQUEST", message=message)


def bad_user_input(message: str) -> Refused:
    """The request is well formed, a value in it is not one we take."""
    return Refused(status=400, code="BAD_USER_INPUT", message=message)


def going_away() -> Refused:
    """The process is ending: whoever wants a stream gets it from another."""
    message = "This server is going away; connect again."
    return Refused(status=503, code="UNAVAILABLE", message=message, headers={"retry-after": "1"})


def of_api_error(error: ApiError) -> Refused:
    """A refusal by authentication, which happens before there is an operation to attach it to."""
    headers = {"www-authenticate": 'Bearer error="invalid_token"'} if error.code == "UNAUTHENTICATED" else {}
    return Refused(
        status=STATUS_BY_CODE.get(error.code, 400),
        code=error.code,
        message=error.message,
        headers=headers,
        extensions=error.extensions,
    )
