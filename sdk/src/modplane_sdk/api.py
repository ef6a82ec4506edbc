"""One request to the platform's GraphQL API, tried again while that makes sense.

Never holds what is asked (client.py).
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

AWAY_STATUS = {502, 503, 504}
AWAY_CODES = {"UNAVAILABLE"}
PAUSE_SECONDS_MAX = 3.0


class PlatformError(Exception):
    """What the platform did not do. Below: PlatformAway, Denied, Refused."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class PlatformAway(PlatformError):
    """It did not answer before the deadline. Whether it has done what it was told, the same call again will tell."""


class Denied(PlatformError):
    """The request itself failed: no valid key, not allowed, no such field."""


@dataclass(frozen=True)
class Problem:
    """A reason why a mutation was refused. `pointer`: the place in the argument (RFC 6901)."""

    code: str
    message: str
    pointer: str | None = None


class Refused(PlatformError):
    """A mutation's own answer: nothing was changed, for these reasons."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems), code=problems[0].code)
        self.problems = tuple(problems)


class _Again(Exception):
    """It may be done when it is asked again."""

    def __init__(self, reason: str, *, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.seconds = seconds


class Api:
    """`url` is the platform's, without /graphql. Every call ends within `seconds`, however often it is tried."""

    def __init__(self, url: str, headers: Mapping[str, str], *, seconds: float) -> None:
        self._url = url.rstrip("/") + "/graphql"
        self._seconds = seconds
        self._client = httpx.AsyncClient(headers=dict(headers), timeout=seconds, trust_env=False)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def query(self, document: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """`data`. Raises PlatformAway or Denied."""
        return await self._until_answered(document, variables, mutation=None)

    async def mutate(self, mutation: str, document: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The payload. `given`: the input, whose idempotencyKey makes trying again safe. Raises Refused too."""
        data = await self._until_answered(document, {"input": given}, mutation=mutation)
        payload: dict[str, Any] = data[mutation]
        if payload["errors"]:
            raise Refused([Problem(each["code"], each["message"], each.get("pointer")) for each in payload["errors"]])
        return payload

    async def _until_answered(
        self, document: str, variables: Mapping[str, Any], *, mutation: str | None
    ) -> dict[str, Any]:
        why, pause = "no answer", 0.1
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    try:
                        return await self._once(document, variables, mutation)
                    except _Again as again:
                        why, pause = str(again), min(pause * 2, PAUSE_SECONDS_MAX)
                        wait = pause if again.seconds is None else min(again.seconds, PAUSE_SECONDS_MAX)
                    await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  # so that not all come at once
        except TimeoutError:
            raise PlatformAway(f"{why}, for {self._seconds:g} s", code="UNAVAILABLE") from None

    async def _once(self, document: str, variables: Mapping[str, Any], mutation: str | None) -> dict[str, Any]:
        try:
            response = await self._client.post(self._url, json={"query": document, "variables": variables})
        except httpx.TransportError as error:
            raise _Again(f"{self._url} does not answer: {error!r}") from None
        if response.status_code in AWAY_STATUS:
            raise _Again(f"status {response.status_code}", seconds=_seconds(response.headers.get("retry-after")))
        try:
            answer = response.json()
            errors = answer.get("errors") or []
            data: dict[str, Any] = answer.get("data") or {}
        except (ValueError, AttributeError):
            raise Denied(f"status {response.status_code}, and no GraphQL", code="NOT_GRAPHQL") from None
        if errors:
            code = errors[0].get("extensions", {}).get("code", "UNKNOWN")
            raise _Again(errors[0]["message"]) if code in AWAY_CODES else Denied(errors[0]["message"], code=code)
        if mutation is not None and any(each["code"] == "LOCKED" for each in data[mutation]["errors"]):
            raise _Again("somebody else is changing it")
        return data


def _seconds(header: str | None) -> float | None:
    try:
        return None if header is None else max(0.0, float(header))
    except ValueError:
        return None  # a date: our own pause will do
