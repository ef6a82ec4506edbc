"""Which organizations are asked for what, each with a token of its own, and the requests that follow from it."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from uuid import UUID

from app.keys import signing_key
from auth.actor import Role
from auth.tokens import TokenIssuer, TokenSubject, sign_token
from bench.compare.data import ASSIGNABLE
from bench.compare.operations import ASSIGN, NESTED, Tenant, request_of

TOKEN_SECONDS = 24 * 3600
SUBJECT = "bench"  # the peers say so too of whoever writes
HOT_MAX = 500
WRITES_IN = 10  # of so many requests of the mix, one writes


@dataclass(frozen=True)
class Pools:
    """No organization is in two of them: what one measurement writes is not read by another."""

    hot: Sequence[Tenant]
    cold: Mapping[str, Sequence[Tenant]]  # by operation
    written: Mapping[str, Sequence[Tenant]]  # by variant
    mixed: Mapping[str, Sequence[Tenant]]  # by variant


def pools_of(tenants: Sequence[Tenant], *, cold: Sequence[str], writers: Sequence[str], mixers: Sequence[str]) -> Pools:
    """At most 500 are hot, 70 percent cold, the rest written to."""
    parts = iter(tenants)
    hot = list(islice(parts, min(HOT_MAX, len(tenants) // 10)))
    colds = {name: list(islice(parts, len(tenants) * 7 // 10 // len(cold))) for name in cold}
    left = len(tenants) - len(hot) - sum(map(len, colds.values()))
    mixed = {name: list(islice(parts, left // 4 // len(mixers))) for name in mixers}
    written = {name: list(islice(parts, left * 3 // 4 // len(writers))) for name in writers}
    return Pools(hot=hot, cold=colds, written=written, mixed=mixed)


def sign(ids: Sequence[str], keys: Path) -> list[Tenant]:
    """Each organization with its administrator's token; signed before anything is measured."""
    key, issuer = signing_key(keys), TokenIssuer()

    def tenant(organization: str) -> Tenant:
        bearer = TokenSubject(role=Role.ORGANIZATION_ADMIN, subject=SUBJECT, organization_id=UUID(organization))
        token = sign_token(key, bearer, lifetime_seconds=TOKEN_SECONDS, issuer=issuer)
        return Tenant(id=organization, header=f"authorization: Bearer {token}\r\n".encode())

    return [tenant(each) for each in ids]


def drawn(operation: str, tenants: Sequence[Tenant], *, has_token: bool, seed: int) -> Iterator[bytes]:
    """Without end, at random; the same for everybody with the same seed."""
    requests = [request_of(operation, each, has_token=has_token) for each in tenants]
    draw = random.Random(seed)
    while True:
        yield draw.choice(requests)


def once(operation: str, tenants: Sequence[Tenant], *, has_token: bool) -> Iterator[bytes]:
    """Each tenant once."""
    return (request_of(operation, each, has_token=has_token) for each in tenants)


def assignments(tenants: Sequence[Tenant], *, has_token: bool) -> Iterator[bytes]:
    """Every module that can still be assigned, to every tenant: all get one before any gets a second."""
    return (
        request_of(ASSIGN, tenant, has_token=has_token, module=module) for module in ASSIGNABLE for tenant in tenants
    )


def mixture(tenants: Sequence[Tenant], *, has_token: bool, seed: int) -> Iterator[bytes]:
    """Nine nested reads and one assignment, over the same tenants."""
    reads = drawn(NESTED, tenants, has_token=has_token, seed=seed)
    for write in assignments(tenants, has_token=has_token):
        yield from islice(reads, WRITES_IN - 1)
        yield write
