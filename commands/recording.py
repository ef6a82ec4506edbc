"""What a transaction gathers until it is committed: revs, facts, and the rows that modules are assigned by.

Never holds: locks and their order (transaction.py).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from uuid import UUID

import orjson

from auth.actor import Actor
from commands.idempotency import STORE_RESPONSE, Claim
from commands.request import Outcome, Request
from events.facts import Fact
from events.log import PARTS, PARTS_WITH_QUEUE, parameters_of
from models.base import JsonObject
from models.database import Fetch
from models.tenant_module import READ, READ_ALL, SAVE, Held, TenantModule, as_json
from queries.registry import Registry, RegistrySnapshot
from rules.errors import Refusal, RevisionConflict

# The counters' rows are locked in the order of ids before any is bumped: UPDATE alone promises no order.
ADVANCE = (
    "WITH wanted AS (SELECT * FROM unnest($1::uuid[], $2::bigint[]) AS w(organization_id, n)),"
    " locked AS (SELECT r.organization_id FROM org_revision r JOIN wanted USING (organization_id)"
    "            ORDER BY r.organization_id FOR UPDATE OF r)"
    " UPDATE org_revision r SET rev = r.rev + wanted.n FROM wanted, locked"
    " WHERE r.organization_id = wanted.organization_id AND locked.organization_id = wanted.organization_id"
    " RETURNING r.organization_id, r.rev"
)
CURRENT = "SELECT rev FROM org_revision WHERE organization_id = $1"
# A counter that is known under its organization's lock moves with what it numbers.
MOVE = (
    "UPDATE org_revision r SET rev = m.after FROM unnest($6::uuid[], $7::bigint[], $8::bigint[])"
    "  AS m(organization_id, before, after)"
    " WHERE r.organization_id = m.organization_id AND r.rev = m.before RETURNING r.organization_id"
)


NO_ANSWER = (None, None, None)


@cache
def _statement(*, has_relay: bool) -> str:
    """One for whatever there is to write, so that every connection has it prepared."""
    parts = (
        *(PARTS_WITH_QUEUE if has_relay else PARTS),
        ("moved", MOVE),
        ("saved", SAVE.format(rows="$9")),
        ("answered", STORE_RESPONSE),
    )
    named = ", ".join(f"{name} AS ({part})" for name, part in parts)
    return f"WITH {named} SELECT count(*) FROM moved"


@dataclass(kw_only=True)
class Recording(ABC):
    """`fetch`: by the driver, in the transaction. `known`: counters that nobody else can move before its end."""

    actor: Actor
    fetch: Fetch
    facts: list[Fact] = field(default_factory=list)
    numbered: dict[UUID, list[int]] = field(default_factory=dict)
    known: dict[UUID, int] = field(default_factory=dict)
    _answer: tuple[UUID, str, str] | None = None
    _moved: dict[UUID, int] = field(default_factory=dict)  # from which rev on
    _saved: dict[tuple[UUID, str], TenantModule] = field(default_factory=dict)

    @abstractmethod
    async def known_registry(self) -> Registry:
        """The registry in memory at the revision of now: the transaction shares its lock, so nobody changes it."""

    async def replay(self, claim: Claim, stream: UUID) -> Outcome | None:
        """What the same request answered before; None when it is new, and the key is now ours."""
        return await claim.replay(self.fetch, stream)

    def answer(self, claim: Claim, stream: UUID, outcome: Outcome) -> None:
        """What a request with the same key is answered from now on."""
        self._answer = stream, claim.key, orjson.dumps(outcome.to_json()).decode()

    async def current_revision(self, organization_id: UUID) -> int:
        if organization_id in self.known:
            return self.known[organization_id]
        rows = await self.fetch(CURRENT, organization_id)
        return int(rows[0]["rev"]) if rows else 0

    async def advance(self, organization_id: UUID, count: int = 1) -> list[int]:
        """Take the next `count` revs of a stream. The last lock of a transaction: one fact must follow for each."""
        return (await self.advance_many({organization_id: count}))[organization_id]

    async def advance_many(self, counts: dict[UUID, int]) -> dict[UUID, list[int]]:
        last: dict[UUID, int] = {}
        for each in counts.keys() & self.known.keys():
            self._moved.setdefault(each, self.known[each])
            last[each] = self.known[each] = self.known[each] + counts[each]
        if asked := sorted(counts.keys() - self.known.keys()):
            last.update(await self.fetch(ADVANCE, asked, [counts[each] for each in asked]))
        taken = {each: list(range(rev - counts[each] + 1, rev + 1)) for each, rev in last.items()}
        for each, revisions in taken.items():
            self.numbered.setdefault(each, []).extend(revisions)
        return taken

    def record(self, *facts: Fact) -> None:
        self.facts.extend(facts)

    def save(self, *rows: TenantModule) -> None:
        """Write the rows, new ones and changed ones alike, as they are when the transaction ends."""
        self._saved.update({(row.organization_id, row.module_id): row for row in rows})

    async def load_rows(self, organization_id: UUID, codes: Sequence[str]) -> dict[str, TenantModule]:
        """Those of the modules that the organization has, as they were before this transaction."""
        rows = await self.fetch(READ, organization_id, list(codes)) if codes else ()
        return {row["module_id"]: TenantModule(**row) for row in rows}

    async def load_all_rows(self, organization_id: UUID) -> dict[str, TenantModule]:
        """All modules of the organization, INTERNAL ones included."""
        return {row["module_id"]: TenantModule(**row) for row in await self.fetch(READ_ALL, organization_id)}

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

    async def write(self, *, traceparent: str, has_relay: bool) -> None:
        """Rows, counters, facts and their places in the queue, and what to answer to the key, in one statement; without
        a relay of ours, no places."""
        self._check_numbering()
        if not self.facts and not self._saved and self._answer is None:
            return
        moved = sorted(self._moved)
        ((count,),) = await self.fetch(
            _statement(has_relay=has_relay),
            *parameters_of(self.facts, actor=self.actor.subject, traceparent=traceparent),
            moved,
            [self._moved[each] for each in moved],
            [self.known[each] for each in moved],
            as_json(tuple(self._saved.values())),
            *(self._answer or NO_ANSWER),
        )
        if count != len(moved):
            raise RuntimeError("somebody has moved a counter without its organization's lock")

    def _check_numbering(self) -> None:
        """A rev without its fact would be a gap in the stream for ever: a bug in a command must not commit."""
        recorded: dict[UUID, list[int]] = {}
        for fact in self.facts:
            recorded.setdefault(fact.organization_id, []).append(fact.revision)
        if recorded != self.numbered:
            raise RuntimeError("the facts recorded do not match the revisions taken")


@dataclass(kw_only=True)
class TenantTransaction(Recording):
    """Of one organization, by the driver alone. What it begins with was read under the organization's lock, to COMMIT:
    changes within one organization happen one after the other.

    `revision` is of the organization itself, `assigned` all its modules, INTERNAL ones included.
    """

    organization_id: UUID
    plan: str
    revision: int
    assigned: Mapping[str, Held]
    registry_revision: int
    snapshot: RegistrySnapshot
    claimed: bytes | None  # by which request the key was claimed before, and what that was answered
    response: JsonObject | None

    async def replay(self, claim: Claim, stream: UUID) -> Outcome | None:
        """As for others; the key was claimed at the beginning."""
        if self.claimed is None or self.response is None:
            return None
        return claim.outcome_of(self.claimed, self.response)

    async def known_registry(self) -> Registry:
        return await self.snapshot.at_least(self.registry_revision)

    async def find_row(self, code: str) -> TenantModule | None:
        return (await self.load_rows(self.organization_id, [code])).get(code) if code in self.assigned else None
