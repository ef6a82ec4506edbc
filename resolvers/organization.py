"""Query and Mutation fields about organizations and companies: unpack, call, wrap."""

from uuid import UUID

import strawberry

from commands import organization as commands
from graph.batching import Follows
from graph.context import Info
from graph.guard import Guard
from graph.run import Ran, run_command
from graph.selection import is_selected
from graph.types.connection import After, Connection, First, page_request
from graph.types.ids import parse_id
from graph.types.inputs.organization import (
    CreateCompanyInput,
    OrganizationFilter,
    SignUpOrganizationInput,
    UpdateOrganizationInput,
)
from graph.types.organization import Company, Organization, find_organization
from graph.types.payload import CompanyPayload, OrganizationPayload
from graph.types.viewer import Viewer
from queries import organization as queries


@strawberry.type
class OrganizationQueries:
    @strawberry.field(extensions=[Guard("Query")], description="Who you are, as your token says.")
    async def viewer(self, info: Info) -> Viewer:
        info.context.note_read(None)  # says more of the token than what its rights are
        return Viewer.of(info.context.actor)

    @strawberry.field(extensions=[Guard("Query")], description="Null when there is none that you may see.")
    async def organization(self, info: Info, id: strawberry.ID) -> Organization | None:
        return await find_organization(info, parse_id(id))

    @strawberry.field(extensions=[Guard("Query")], description="Platform administrators only. By signup.")
    async def organizations(
        self,
        info: Info,
        filter: OrganizationFilter | None = None,
        first: First = 50,
        after: After = None,
    ) -> Connection[Organization]:
        wanted, request = (filter or OrganizationFilter()).wanted(), page_request(first, after)
        async with info.context.reader(Follows.ORGANIZATION) as reader:
            page = await queries.list_organizations(reader, wanted, request)

        async def count() -> int:
            async with info.context.reader(Follows.ORGANIZATION) as reader:
                return await queries.count_organizations(reader, wanted)

        return Connection[Organization].of(page, request, Organization.of, count)

    @strawberry.field(extensions=[Guard("Query")], description="Null when there is none that you may see.")
    async def company(self, info: Info, id: strawberry.ID) -> Company | None:
        company_id = parse_id(id)
        row = None if company_id is None else await info.context.loaders.company.load(company_id)
        return None if row is None else Company.from_row(row)


@strawberry.type
class OrganizationMutations:
    @strawberry.mutation(
        extensions=[Guard("Mutation")],
        description="A new tenant with every CORE module and its industry's template. A failure leaves nothing.",
    )
    async def sign_up_organization(
        self,
        info: Info,
        input: SignUpOrganizationInput,
    ) -> OrganizationPayload:
        ran = await run_command(info, commands.sign_up_organization, input.request)
        return await _payload(info, ran)

    @strawberry.mutation(extensions=[Guard("Mutation")])
    async def update_organization(
        self,
        info: Info,
        input: UpdateOrganizationInput,
    ) -> OrganizationPayload:
        ran = await run_command(info, commands.update_organization, input.request)
        return await _payload(info, ran)

    @strawberry.mutation(extensions=[Guard("Mutation")])
    async def create_company(self, info: Info, input: CreateCompanyInput) -> CompanyPayload:
        ran = await run_command(info, commands.create_company, input.request)
        row = None
        if ran.outcome is not None and is_selected(info, "company"):
            row = await info.context.loaders.company.load(UUID(ran.outcome.shows["company_id"]))
        company = None if row is None else Company.from_row(row)
        return CompanyPayload(company=company, errors=ran.errors, revision=ran.revision)


async def _payload(info: Info, ran: Ran) -> OrganizationPayload:
    shown = None
    if ran.outcome is not None and is_selected(info, "organization"):
        shown = await find_organization(info, UUID(ran.outcome.shows["organization_id"]))
    return OrganizationPayload(organization=shown, errors=ran.errors, revision=ran.revision)
