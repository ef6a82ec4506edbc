"""The input of revokeTokens, and the requests that it becomes."""

import strawberry

from auth.actor import Actor
from commands.token_revocation import RevokePlatformTokens, RevokeTokens
from graph.types.inputs.shared import organization_of


@strawberry.input
class RevokeTokensInput:
    subject: str = strawberry.field(description="Whose: what their tokens say in `sub`.")
    organization_id: strawberry.ID | None = strawberry.field(
        default=None, description="Your own when left out; for SUPER_ADMIN the platform's own tokens."
    )
    idempotency_key: str | None = None

    def is_about_platform(self, actor: Actor) -> bool:
        return self.organization_id is None and actor.is_platform_admin

    def request(self, actor: Actor) -> RevokeTokens:
        given = self.organization_id or strawberry.ID(str(actor.organization_id))
        return RevokeTokens(
            organization_id=organization_of(given), subject=self.subject, idempotency_key=self.idempotency_key
        )

    def platform_request(self) -> RevokePlatformTokens:
        return RevokePlatformTokens(subject=self.subject, idempotency_key=self.idempotency_key)
