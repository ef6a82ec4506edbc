"""The Mutation field that takes access back: unpack, call, wrap."""

from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry

from auth.revocation import Revocation
from commands import token_revocation as commands
from graph.context import Info
from graph.guard import Guard
from graph.run import run_command
from graph.types.inputs.token_revocation import RevokeTokensInput
from graph.types.payload import RevokeTokensPayload
from queries.token_revocation import organization_of


@strawberry.type
class TokenRevocationMutations:
    @strawberry.mutation(
        extensions=[Guard("Mutation")],
        description="Refuse every token of a subject that was issued up to now, within 5 s in every process.",
    )
    async def revoke_tokens(self, info: Info, input: RevokeTokensInput) -> RevokeTokensPayload:
        actor = info.context.actor
        if input.is_about_platform(actor):
            ran = await run_command(info, commands.revoke_platform_tokens, input.platform_request)
        else:
            ran = await run_command(info, commands.revoke_tokens, lambda: input.request(actor))
        if ran.outcome is None:
            return RevokeTokensPayload(errors=ran.errors, revision=None)
        # this process need not wait until it asks for news
        info.context.services.revocations.learn([_revocation_of(ran.outcome.shows)])
        revoked_at = datetime.fromisoformat(ran.outcome.shows["revoked_at"])
        return RevokeTokensPayload(revoked_at=revoked_at, errors=[], revision=ran.revision)


def _revocation_of(shows: Any) -> Revocation:
    return Revocation(
        organization_id=organization_of(UUID(shows["organization_id"])),
        subject=shows["subject"],
        not_before=shows["not_before"],
    )
