"""The one way to change the world: state, event log and outbox in one transaction, numbered by the stream's rev.

A command is a function of a transaction and a request. This module gives it the transaction, and nobody else commits.

Locks are always taken in this order, which rules out deadlocks: the registry (shared by tenants, exclusive for the
platform), organizations by id, then the revision counters.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import wraps
from typing import Any, TypeVar
from uuid import UUID

import orjson
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from auth.actor import Actor
from cache.floor import RevisionFloor
from commands.request import Outcome, Request, TenantRequest
from events.facts import Fact
from events.failpoints import reach, reach_during
from events.log import append_facts
from events.trace import new_traceparent
from events.wakeup import Wakeup
from models.base import PLATFORM_ID
from models.database import Database
from models.organization import OrganizationRow
from queries.reader import Reader, among
from rules.errors import IdempotencyConflict, InvalidInput, Locked, NotFound, Refusal, RevisionConflict

R = TypeVar("R", bound=Request)
T = TypeVar("T", bound=TenantRequest)
IDEMPOTENCY_KEY_MAX = 200
TRANSACTION_SECONDS_MAX = 25  # below queries.event.OVERLAP, which relies on it
LOCK_NOT_AVAILABLE, QUERY_CANCELED, DEADLOCK = "55P03", "57014", "40P01"

CLAIM_KEY = text(
    "INSERT INTO idempotency_key(organization_id, key, request_hash) VALUES (:scope, :key, :hash)"
    " ON CONFLICT (organization_id, key) DO NOTHING RETURNING key"
)
READ_KEY = text("SELECT request_hash, response FROM idempotency_key WHERE organization_id = :scope AND key = :key")
STORE_RESPONSE = text(
    "UPDATE idempotency_key SET response = cast(:response AS jsonb) WHERE organization_id = :scope AND key = :key"
)
SHARE_REGISTRY = text("SELECT pg_advisory_xact_lock_shared(hashtext('modplane.registry'))")
LOCK_REGISTRY = text("SELECT pg_advisory_xact_lock(hashtext('modplane.registry'))")
# The counters' rows are locked in the order of ids before any is bumped: UPDATE alone promises no order.
ADVANCE = text(
    "WITH wanted AS (SELECT * FROM unnest(cast(:ids AS uuid[]), cast(:counts AS bigint[])) AS w(organization_id, n)),"
    " locked AS (SELECT r.organization_id FROM org_revision r JOIN wanted USING (organization_id)"
    "            ORDER BY r.organization_id FOR UPDATE OF r)"
    " UPDATE org_revision r SET rev = r.rev + wanted.n FROM wanted, locked"
    " WHERE r.organization_id = wanted.organization_id AND locked.organization_id = wanted.organization_id"
    " RETURNING r.organization_id, r.rev"
)
CURRENT = text("SELECT rev FROM org_revision WHERE organization_id = :id")


@dataclass
class Transaction(Reader):
    """A reader that can record facts. Lives from BEGIN to COMMIT."""

    facts: list[Fact] = field(default_factory=list)
    numbered: dict[UUID, list[int]] = field(default_factory=dict)

    async def lock_organization(self, organization_id: UUID) -> OrganizationRow:
        """The organization, locked to COMMIT: changes within one organization happen one after the other."""
        statement = select(OrganizationRow).where(OrganizationRow.organization_id == organization_id)
        row = await self.session.scalar(statement.with_for_update())
        if row is None:
            raise Refusal(no_organization(organization_id))
        return row

    async def lock_organizations(self, ids: Sequence[UUID]) -> None:
        statement = select(OrganizationRow.organization_id).where(among(OrganizationRow.organization_id, ids))
        await self.session.execute(statement.order_by(OrganizationRow.organization_id).with_for_update())

    async def current_revision(self, organization_id: UUID) -> int:
        return await self.session.scalar(CURRENT, {"id": organization_id}) or 0

    async def advance(self, organization_id: UUID, count: int = 1) -> list[int]:
        """Take the next `count` revs of a stream. The last lock of a transaction: one fact must follow for each."""
        return (await self.advance_many({organization_id: count}))[organization_id]

    async def advance_many(self, counts: dict[UUID, int]) -> dict[UUID, list[int]]:
        ids = sorted(counts)
        parameters = {"ids": ids, "counts": [counts[each] for each in ids]}
        taken: dict[UUID, list[int]] = {}
        for organization_id, rev in await self.session.execute(ADVANCE, parameters):
            taken[organization_id] = list(range(rev - counts[organization_id] + 1, rev + 1))
            self.numbered.setdefault(organization_id, []).extend(taken[organization_id])
        return taken

    def record(self, *facts: Fact) -> None:
        self.facts.extend(facts)

    async def check_expected(self, request: Request, *, touched: int, stream: UUID) -> None:
        """Refuse when the thing was touched after the revision that the caller has seen, or when that never was."""
        expected = request.expected_revision
        if expected is None:
            return
        current = await self.current_revision(stream)
        if touched > expected or expected > current:
            raise Refusal(
                RevisionConflict(
                    message=f"expected revision {expected}, but it was last changed at {touched}; read it again",
                    path=("input", "expectedRevision"),
                    current_revision=touched,
                )
            )


@dataclass(frozen=True)
class Scope:
    """Where a transaction writes: one organization's stream, or as the platform."""

    stream: UUID
    changes_registry: bool = False


class Writer:
    """What a command needs besides its request: whose it is, and where to write."""

    def __init__(
        self,
        *,
        database: Database,
        actor: Actor,
        floor: RevisionFloor,
        wakeup: Wakeup,
        traceparent: str | None = None,
    ) -> None:
        self.database = database
        self.actor = actor
        self._floor = floor
        self._wakeup = wakeup
        self._traceparent = traceparent

    @asynccontextmanager
    async def transaction(self, scope: Scope) -> AsyncIterator[Transaction]:
        """Commits what happened inside, its facts included, or nothing."""
        reach("api.before_transaction")
        is_tenant = scope.stream != PLATFORM_ID
        opened = self.database.tenant_session(scope.stream) if is_tenant else self.database.platform_session()
        async with asyncio.timeout(TRANSACTION_SECONDS_MAX), opened as session:
            tx = Transaction(session=session, actor=self.actor)
            await session.execute(LOCK_REGISTRY if scope.changes_registry else SHARE_REGISTRY)
            yield tx
            await session.flush()
            reach("api.state_written")
            _check_numbering(tx)
            await append_facts(
                session,
                tx.facts,
                actor=self.actor.subject,
                traceparent=self._traceparent or new_traceparent(),
                has_relay=self._wakeup.has_relay,
            )
            reach("api.facts_written")
            await reach_during("api.commit_sent", session.commit())
        reach("api.committed")
        await self._announce(tx.facts)
        reach("api.before_reply")

    async def _announce(self, facts: Iterable[Fact]) -> None:
        """After COMMIT, before the reply. Best effort: the relay polls, and the reactions raise the floors again."""
        revisions = {fact.organization_id: fact.revision for fact in facts}
        if revisions:
            self._wakeup.poke()
            await self._floor.raise_floors(revisions)


class _DryRun(Exception):
    """Ends a dry run by the way out that rolls back."""


def tenant_command(
    story: Callable[[Transaction, T], Awaitable[Outcome]],
) -> Callable[[Writer, T], Awaitable[Outcome]]:
    """A command inside one organization. Another tenant's id is refused like an unknown one."""

    @wraps(story)
    async def run(writer: Writer, request: T) -> Outcome:
        if request.organization_id == PLATFORM_ID or not writer.actor.may_see_organization(request.organization_id):
            raise Refusal(no_organization(request.organization_id))
        return await _run(writer, story, request, Scope(stream=request.organization_id))

    return run


def registry_command(
    story: Callable[[Transaction, R], Awaitable[Outcome]],
) -> Callable[[Writer, R], Awaitable[Outcome]]:
    """A command on the registry: numbered in the platform's stream, alone while it runs."""

    @wraps(story)
    async def run(writer: Writer, request: R) -> Outcome:
        return await _run(writer, story, request, Scope(stream=PLATFORM_ID, changes_registry=True))

    return run


def platform_command(
    story: Callable[[Transaction, R], Awaitable[Outcome]],
) -> Callable[[Writer, R], Awaitable[Outcome]]:
    """A command of the platform's administrators over organizations; the registry stays as it is."""

    @wraps(story)
    async def run(writer: Writer, request: R) -> Outcome:
        return await _run(writer, story, request, Scope(stream=PLATFORM_ID))

    return run


async def _run(
    writer: Writer, story: Callable[[Transaction, R], Awaitable[Outcome]], request: R, scope: Scope
) -> Outcome:
    outcome: Outcome | None = None
    try:
        async with writer.transaction(scope) as tx:
            before = await tx.current_revision(scope.stream) if request.dry_run else 0
            outcome = await _replay(tx, story.__name__, request, scope.stream)
            if outcome is None:
                outcome = await story(tx, request)
                if request.dry_run:
                    outcome = replace(outcome, revision=before)
                    raise _DryRun
                await _store_response(tx, request, outcome, scope.stream)
        return outcome
    except _DryRun:
        assert outcome is not None
        return outcome
    except DBAPIError as error:
        raise _refusal_of(error) from error


async def _store_response(tx: Transaction, request: Request, outcome: Outcome, stream: UUID) -> None:
    if request.idempotency_key is not None:
        response = orjson.dumps(outcome.to_json()).decode()
        parameters = {"scope": stream, "key": request.idempotency_key, "response": response}
        await tx.session.execute(STORE_RESPONSE, parameters)


async def _replay(tx: Transaction, command: str, request: Request, stream: UUID) -> Outcome | None:
    """What the same request answered before; None when it is new, and the key is now ours."""
    key = request.idempotency_key
    if key is None or request.dry_run:
        return None
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_MAX or "\0" in key:
        message = f"idempotencyKey must have 1 to {IDEMPOTENCY_KEY_MAX} characters"
        raise Refusal(InvalidInput(message=message, path=("input", "idempotencyKey")))
    digest = request_hash(command, request)
    if await tx.session.scalar(CLAIM_KEY, {"scope": stream, "key": key, "hash": digest}) is not None:
        return None
    stored = (await tx.session.execute(READ_KEY, {"scope": stream, "key": key})).one_or_none()
    if stored is None:
        return await _replay(tx, command, request, stream)  # it ran out between the two: retention has deleted it
    known, response = stored
    if known != digest:
        message = "this idempotencyKey was used with another input; take a new key"
        raise Refusal(IdempotencyConflict(message=message, path=("input", "idempotencyKey")))
    return Outcome.from_json(response)


def request_hash(command: str, request: Request) -> bytes:
    content: dict[str, Any] = {**asdict(request), "command": command}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS, default=_plain)).digest()


def _plain(value: object) -> object:
    if isinstance(value, UUID):
        return str(value)  # the driver's own kind of UUID
    raise TypeError(f"no canonical form for {type(value).__name__}")


def no_organization(organization_id: UUID) -> NotFound:
    """The same words for an unknown organization and for another tenant's."""
    return NotFound(message=f"no organization {organization_id}", path=("input", "organizationId"))


def _check_numbering(tx: Transaction) -> None:
    """A rev without its fact would be a gap in the stream for ever: a bug in a command must not commit."""
    recorded: dict[UUID, list[int]] = {}
    for fact in tx.facts:
        recorded.setdefault(fact.organization_id, []).append(fact.revision)
    if recorded != tx.numbered:
        raise RuntimeError("the facts recorded do not match the revisions taken")


def _refusal_of(error: DBAPIError) -> Exception:
    """A wait that ran into its deadline is the caller's to try again; anything else is a fault."""
    state = getattr(error.orig, "sqlstate", None)
    if state in (LOCK_NOT_AVAILABLE, QUERY_CANCELED, DEADLOCK):
        return Refusal(Locked(message="somebody else is changing this; try again", path=("input",)))
    return error
