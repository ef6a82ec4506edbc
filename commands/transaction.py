"""The one way to change the world: state, event log and outbox in one transaction, numbered by the stream's rev.

A command is a function of a transaction and a request. This module gives it the transaction, and nobody else commits.

Locks are always taken in this order, which rules out deadlocks: the registry (shared by tenants, exclusive for the
platform), organizations by id, then the revision counters.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from auth.actor import Actor
from cache.floor import RevisionFloor
from commands.idempotency import Claim, claim_of
from commands.recording import Recording, TenantTransaction
from commands.request import Outcome, Request, TenantRequest
from events.facts import Fact
from events.failpoints import reach, reach_during
from events.trace import new_traceparent
from events.wakeup import Wakeup
from models.base import PLATFORM_ID
from models.database import Database, driver_of
from models.organization import OrganizationRow
from models.tenant_module import read_held
from models.tenant_writes import BegunTransaction
from queries.reader import Reader, among
from queries.registry import Registry, RegistrySnapshot, load_registry
from rules.errors import Locked, NotFound, Refusal

R = TypeVar("R", bound=Request)
S = TypeVar("S", bound=TenantRequest)
T = TypeVar("T", bound=Recording)
TRANSACTION_SECONDS_MAX = 25  # below queries.event.OVERLAP, which relies on it
LOCK_NOT_AVAILABLE, QUERY_CANCELED, DEADLOCK = "55P03", "57014", "40P01"

# whose data it is, and the first lock, in one go
OPEN_TENANT = text(
    "SELECT set_config('app.organization_id', :organization_id, true),"
    " pg_advisory_xact_lock_shared(hashtext('modplane.registry'))"
)
SHARE_REGISTRY = text("SELECT pg_advisory_xact_lock_shared(hashtext('modplane.registry'))")
LOCK_REGISTRY = text("SELECT pg_advisory_xact_lock(hashtext('modplane.registry'))")
REGISTRY_REVISION = "SELECT rev FROM registry_revision"
# every fact of the platform's stream moves it: the two are equal after each transaction
MOVE_REGISTRY = "UPDATE registry_revision SET rev = $1"


@dataclass(kw_only=True)
class Transaction(Recording, Reader):
    """A reader that can record facts. Lives from BEGIN to COMMIT.

    `snapshot`: None in a transaction that may change the registry, and asks the database.
    """

    session: AsyncSession
    snapshot: RegistrySnapshot | None = None
    _registry: Registry | None = None

    async def registry(self) -> Registry | None:
        """In memory at the revision of now: while this transaction shares the registry's lock, nobody changes it."""
        if self.snapshot is None:
            return None
        if self._registry is None:
            ((revision,),) = await self.fetch(REGISTRY_REVISION)
            self._registry = await self.snapshot.at(revision, self.session)
        return self._registry

    async def known_registry(self) -> Registry:
        found = await self.registry()
        assert found is not None, "this transaction may change the registry"
        return found

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


@dataclass(frozen=True)
class Scope:
    """Where a transaction writes: one organization's stream, or as the platform."""

    stream: UUID
    changes_registry: bool = False


class Writer:
    """What a command needs besides its request: whose it is, and where to write.

    `registry_revision`: of the registry as the last tenant's command found it.
    """

    def __init__(
        self,
        *,
        database: Database,
        actor: Actor,
        floor: RevisionFloor,
        wakeup: Wakeup,
        traceparent: str | None = None,
        registry: RegistrySnapshot | None = None,
    ) -> None:
        self.database = database
        self.actor = actor
        self.registry_revision: int | None = None
        self._floor = floor
        self._wakeup = wakeup
        self._traceparent = traceparent
        self._registry = registry or RegistrySnapshot(partial(load_registry, database))

    @asynccontextmanager
    async def transaction(self, scope: Scope) -> AsyncIterator[Transaction]:
        """Commits what happened inside, its facts included, or nothing."""
        reach("api.before_transaction")
        is_tenant = scope.stream != PLATFORM_ID
        if is_tenant:
            opened = self.database.tenant_session(scope.stream, OPEN_TENANT)
        else:
            opened = self.database.platform_session()
        async with asyncio.timeout(TRANSACTION_SECONDS_MAX), opened as session:
            fetch = await driver_of(session)
            snapshot = None if scope.changes_registry else self._registry
            tx = Transaction(session=session, actor=self.actor, fetch=fetch, snapshot=snapshot)
            if not is_tenant:
                await session.execute(LOCK_REGISTRY if scope.changes_registry else SHARE_REGISTRY)
            yield tx
            await session.flush()
            await self._complete(tx, session)
        await self._announce(tx.facts)

    @asynccontextmanager
    async def tenant_transaction(
        self, organization_id: UUID, claim: Claim | None = None
    ) -> AsyncIterator[TenantTransaction]:
        """The same for one organization, without a session. Raises Refusal when the organization is not there."""
        reach("api.before_transaction")
        key, request_hash = (None, None) if claim is None else (claim.key, claim.request_hash)
        opened = self.database.tenant_writes.transaction(organization_id, key=key, request_hash=request_hash)
        async with asyncio.timeout(TRANSACTION_SECONDS_MAX), opened as begun:
            plan, revision, rev, registry_revision, assigned, claimed, response = begun.opened
            if plan is None:
                raise Refusal(no_organization(organization_id))
            self.registry_revision = registry_revision
            tx = TenantTransaction(
                actor=self.actor,
                fetch=begun.fetch,
                known={organization_id: rev},
                organization_id=organization_id,
                plan=plan,
                revision=revision,
                assigned=read_held(assigned),
                registry_revision=registry_revision,
                snapshot=self._registry,
                claimed=claimed,
                response=response,
            )
            yield tx
            await self._complete(tx, begun)
        await self._announce(tx.facts)

    async def _complete(self, tx: Recording, held: AsyncSession | BegunTransaction) -> None:
        """What is not in the database yet, and COMMIT."""
        reach("api.state_written")
        await tx.write(traceparent=self._traceparent or new_traceparent(), has_relay=self._wakeup.has_relay)
        if PLATFORM_ID in tx.numbered:
            await tx.fetch(MOVE_REGISTRY, tx.numbered[PLATFORM_ID][-1])
        reach("api.facts_written")
        await reach_during("api.commit_sent", held.commit())
        reach("api.committed")

    async def _announce(self, facts: Iterable[Fact]) -> None:
        """After COMMIT, before the reply. Best effort: the relay polls, and the reactions raise the floors again."""
        revisions = {fact.organization_id: fact.revision for fact in facts}
        if revisions:
            self._wakeup.poke()
            await self._floor.raise_floors(revisions)
        reach("api.before_reply")


class _DryRun(Exception):
    """Ends a dry run by the way out that rolls back."""


def tenant_command(
    story: Callable[[TenantTransaction, S], Awaitable[Outcome]],
) -> Callable[[Writer, S], Awaitable[Outcome]]:
    """A command inside one organization, which is locked first. Another tenant's id is refused like an unknown one."""

    @wraps(story)
    async def run(writer: Writer, request: S) -> Outcome:
        stream = _own(writer, request)
        return await _run(lambda claim: writer.tenant_transaction(stream, claim), story, request, stream)

    return run


def tenant_session_command(
    story: Callable[[Transaction, S], Awaitable[Outcome]],
) -> Callable[[Writer, S], Awaitable[Outcome]]:
    """The same with a session, for rows that have no way past it; what it locks is its own to say."""

    @wraps(story)
    async def run(writer: Writer, request: S) -> Outcome:
        stream = _own(writer, request)
        return await _run(lambda _: writer.transaction(Scope(stream)), story, request, stream)

    return run


def registry_command(
    story: Callable[[Transaction, R], Awaitable[Outcome]],
) -> Callable[[Writer, R], Awaitable[Outcome]]:
    """A command on the registry: numbered in the platform's stream, alone while it runs."""

    @wraps(story)
    async def run(writer: Writer, request: R) -> Outcome:
        scope = Scope(stream=PLATFORM_ID, changes_registry=True)
        return await _run(lambda _: writer.transaction(scope), story, request, PLATFORM_ID)

    return run


def platform_command(
    story: Callable[[Transaction, R], Awaitable[Outcome]],
) -> Callable[[Writer, R], Awaitable[Outcome]]:
    """A command of the platform's administrators over organizations; the registry stays as it is."""

    @wraps(story)
    async def run(writer: Writer, request: R) -> Outcome:
        return await _run(lambda _: writer.transaction(Scope(stream=PLATFORM_ID)), story, request, PLATFORM_ID)

    return run


def _own(writer: Writer, request: TenantRequest) -> UUID:
    if request.organization_id == PLATFORM_ID or not writer.actor.may_see_organization(request.organization_id):
        raise Refusal(no_organization(request.organization_id))
    return request.organization_id


async def _run(
    opened: Callable[[Claim | None], AbstractAsyncContextManager[T]],
    story: Callable[[T, Any], Awaitable[Outcome]],
    request: Request,
    stream: UUID,
) -> Outcome:
    outcome: Outcome | None = None
    claim = claim_of(story.__name__, request)
    try:
        async with opened(claim) as tx:
            before = await tx.current_revision(stream) if request.dry_run else 0
            if claim is not None:
                outcome = await tx.replay(claim, stream)
            if outcome is None:
                outcome = await story(tx, request)
                if request.dry_run:
                    outcome = replace(outcome, revision=before)
                    raise _DryRun
                if claim is not None:
                    tx.answer(claim, stream, outcome)
        return outcome
    except _DryRun:
        assert outcome is not None
        return outcome
    except (DBAPIError, asyncpg.PostgresError) as error:
        raise _refusal_of(error) from error


def no_organization(organization_id: UUID) -> NotFound:
    """The same words for an unknown organization and for another tenant's."""
    return NotFound(message=f"no organization {organization_id}", path=("input", "organizationId"))


def _refusal_of(error: DBAPIError | asyncpg.PostgresError) -> Exception:
    """A wait that ran into its deadline is the caller's to try again; anything else is a fault."""
    state = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)
    if state in (LOCK_NOT_AVAILABLE, QUERY_CANCELED, DEADLOCK):
        return Refusal(Locked(message="somebody else is changing this; try again", path=("input",)))
    return error
