"""The caller, as the API shows it."""

import strawberry

from auth.actor import Actor
from graph.context import Info
from graph.types.organization import Company, Organization, find_organization


@strawberry.type(description="The caller, as the token says.")
class Viewer:
    actor: strawberry.Private[Actor]
    subject: str
    roles: list[str]

    @strawberry.field
    async def organization(self, info: Info) -> Organization | None:
        return await find_organization(info, self.actor.organization_id)

    @strawberry.field
    async def company(self, info: Info) -> Company | None:
        company_id = self.actor.company_id
        row = None if company_id is None else await info.context.loaders.company.load(company_id)
        return None if row is None else Company.from_row(row)

    @staticmethod
    def of(actor: Actor) -> "Viewer":
        return Viewer(actor=actor, subject=actor.subject, roles=sorted(role.value for role in actor.roles))
