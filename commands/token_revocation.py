"""Taking access back: tokens live for weeks, and a bearer may have to be kept out today.

No fact is recorded and no revision taken: partners have nothing to do about it. The rows say who revoked what.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from commands.request import Outcome, Request, TenantRequest
from commands.transaction import Scope, Transaction, Writer, no_organization, platform_command, tenant_session_command
from models.base import PLATFORM_ID
from models.ids import new_id
from queries.organization import load_organizations_by_ids
from queries.token_revocation import count_revocations
from rules.errors import InvalidInput, QuotaExceeded, Refusal

SUBJECT_MAX = 8192  # a longer one fits into no token
REVOCATIONS_MAX = 10_000  # of one organization: every API process holds them in memory

# The database's clock, which all replicas share. Tokens carry whole seconds: one issued in the second of its
# revocation may be older or newer than it, and is taken for older.
REVOKE = text(
    "INSERT INTO token_revocations(organization_id, id, subject, not_before, revoked_by, revoked_at)"
    " SELECT :stream, :id, :subject, date_trunc('second', instant) + interval '1 second', :actor, instant"
    " FROM clock_timestamp() AS instant RETURNING not_before, revoked_at"
)
FORGET = text("DELETE FROM token_revocations WHERE revoked_at < clock_timestamp() - make_interval(secs => :seconds)")


@dataclass(frozen=True, kw_only=True)
class RevokeTokens(TenantRequest):
    subject: str


@dataclass(frozen=True, kw_only=True)
class RevokePlatformTokens(Request):
    subject: str


@tenant_session_command
async def revoke_tokens(tx: Transaction, request: RevokeTokens) -> Outcome:
    """Refuse every token of a subject in an organization that was issued up to now."""
    _check_subject(request.subject)
    # not locked: keeping somebody out must not wait for whoever is changing the organization
    if request.organization_id not in await load_organizations_by_ids(tx, [request.organization_id]):
        raise Refusal(no_organization(request.organization_id))
    if await count_revocations(tx, request.organization_id) >= REVOCATIONS_MAX:
        message = f"{REVOCATIONS_MAX} revocations are kept, and no more; they go when the tokens have expired"
        raise Refusal(QuotaExceeded(message=message, path=("input", "subject")))
    return await _revoke(tx, request.organization_id, request.subject)


@platform_command
async def revoke_platform_tokens(tx: Transaction, request: RevokePlatformTokens) -> Outcome:
    """Refuse every token of a platform administrator that was issued up to now."""
    _check_subject(request.subject)
    return await _revoke(tx, PLATFORM_ID, request.subject)


async def _revoke(tx: Transaction, stream: UUID, subject: str) -> Outcome:
    row = {"stream": stream, "id": new_id(), "subject": subject, "actor": tx.actor.subject}
    not_before, revoked_at = (await tx.session.execute(REVOKE, row)).one()
    shows = {
        "organization_id": str(stream),
        "subject": subject,
        "not_before": not_before.timestamp(),
        "revoked_at": revoked_at.isoformat(),
    }
    return Outcome(revision=await tx.current_revision(stream), shows=shows)


async def forget_revocations(writer: Writer, *, older_than_seconds: float) -> None:
    """Delete the rows of all organizations that are older than any token can be."""
    async with writer.transaction(Scope(stream=PLATFORM_ID)) as tx:
        await tx.session.execute(FORGET, {"seconds": older_than_seconds})


def _check_subject(subject: str) -> None:
    if not 1 <= len(subject) <= SUBJECT_MAX or "\0" in subject:
        message = f"subject must have 1 to {SUBJECT_MAX} characters"
        raise Refusal(InvalidInput(message=message, path=("input", "subject")))
