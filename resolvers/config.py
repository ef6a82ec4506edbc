"""Query and Mutation fields about configurations: unpack, call, wrap."""

from dataclasses import replace
from uuid import UUID

import orjson
import strawberry

from commands import config as commands
from graph.context import Info
from graph.guard import Guard
from graph.run import Ran, run_command
from graph.selection import is_selected
from graph.types.effective_config import EffectiveConfig, find_effective_config, layers_of
from graph.types.ids import parse_id, require_id
from graph.types.inputs.config import SetCompanyConfigInput, SetOrganizationConfigInput, company_request
from graph.types.payload import ConfigPayload
from queries.effective_config import ConfigKey
from queries.organization import find_company_organization
from rules.errors import Refusal


@strawberry.type
class ConfigQueries:
    @strawberry.field(
        extensions=[Guard("Query")],
        description="Null when the organization has not got the module, or is not there to be seen.",
    )
    async def effective_config(
        self, info: Info, organization_id: strawberry.ID, module: str, company_id: strawberry.ID | None = None
    ) -> EffectiveConfig | None:
        organization, company = parse_id(organization_id), parse_id(company_id)
        if organization is None or (company_id is not None and company is None):
            return None
        key = ConfigKey(organization_id=organization, module=module, company_id=company)
        return await find_effective_config(info, key)


@strawberry.type
class ConfigMutations:
    @strawberry.mutation(extensions=[Guard("Mutation")], description="Write tier 2, the organization's layer.")
    async def set_organization_config(
        self,
        info: Info,
        input: SetOrganizationConfigInput,
    ) -> ConfigPayload:
        ran = await run_command(info, commands.set_organization_config, input.request)
        return await _payload(info, ran, is_dry=bool(input.dry_run))

    @strawberry.mutation(extensions=[Guard("Mutation")], description="Write tier 3, one company's layer.")
    async def set_company_config(self, info: Info, input: SetCompanyConfigInput) -> ConfigPayload:
        async def request() -> commands.SetCompanyConfig:
            company_id = require_id(input.company_id, thing="company", field="companyId")
            async with info.context.reader() as reader:
                organization_id = await find_company_organization(reader, company_id)
            if organization_id is None:
                raise Refusal(commands.no_company(company_id))
            return company_request(input, organization_id, company_id)

        ran = await run_command(info, commands.set_company_config, request)
        return await _payload(info, ran, is_dry=bool(input.dry_run))


async def _payload(info: Info, ran: Ran, *, is_dry: bool) -> ConfigPayload:
    if ran.outcome is None:
        return ConfigPayload(errors=ran.errors, revision=None)
    shows, preview = ran.outcome.shows, ran.outcome.preview
    company_id = UUID(shows["company_id"]) if "company_id" in shows else None
    key = ConfigKey(organization_id=UUID(shows["organization_id"]), module=shows["module"], company_id=company_id)
    shown = await find_effective_config(info, key) if is_selected(info, "effectiveConfig") else None
    if is_dry and preview is not None and shown is not None:
        layers = await layers_of(info, shown.merged)
        written, sources = preview.configuration, orjson.dumps(preview.config_sources).decode()
        if company_id is None:
            changed = replace(layers, base=replace(layers.base, configuration=written, sources=sources))
        else:
            changed = replace(layers, company=written, company_sources=sources)
        shown = EffectiveConfig.of(changed)
    return ConfigPayload(effective_config=shown, errors=ran.errors, revision=ran.revision)
