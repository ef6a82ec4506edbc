"""Things that tests do before they test: register, sign up, assign. Through the public API, with good defaults."""

from itertools import count
from typing import Any

from auth.actor import Role
from tests.support.platform import Platform, token

_numbers = count(1)
ERRORS = "errors { __typename message code path pointer }"


def unique(prefix: str) -> str:
    """A code or name that no other test has."""
    return f"{prefix}-{next(_numbers)}"


def manifest(code: str, version: str = "1.0.0", *, requires: Any = None, **more: Any) -> dict[str, Any]:
    document: dict[str, Any] = {"name": code, "version": version, "display_name": code.title(), **more}
    if requires is not None:
        document["dependencies"] = {"required_modules": requires}
    return document


async def register(
    platform: Platform, code: str, version: str = "1.0.0", *, tier: str | None = None, **more: Any
) -> str:
    """Register a module and return its code."""
    visibility = more.pop("visibility", None)
    payload = await try_register(platform, manifest(code, version, **more), tier=tier, visibility=visibility)
    assert payload["errors"] == [], payload["errors"]
    return code


async def try_register(
    platform: Platform, document: Any, *, tier: str | None = None, visibility: str | None = None
) -> Any:
    """The payload of registerModule, whatever it says."""
    query = (
        "mutation($input: RegisterModuleInput!) { registerModule(input: $input) {"
        " module { code tier visibility revision latestVersion { number } } revision affected { action module }"
        f" {ERRORS} }} }}"
    )
    variables = {"input": {"manifest": document, "tier": tier, "visibility": visibility}}
    return (await platform.data(query, variables))["registerModule"]


async def sign_up(
    platform: Platform, *, industry: str | None = None, plan: str | None = None, name: str | None = None
) -> str:
    """Sign an organization up and return its id."""
    query = (
        "mutation($input: SignUpOrganizationInput!) { signUpOrganization(input: $input) {"
        f" organization {{ id }} {ERRORS} }} }}"
    )
    variables = {"input": {"name": name or unique("Organization"), "industryCode": industry, "plan": plan}}
    payload = (await platform.data(query, variables))["signUpOrganization"]
    assert payload["errors"] == [], payload["errors"]
    found: str = payload["organization"]["id"]
    return found


async def create_company(platform: Platform, organization: str, name: str | None = None) -> str:
    """Create a company and return its id."""
    query = f"mutation($input: CreateCompanyInput!) {{ createCompany(input: $input) {{ company {{ id }} {ERRORS} }} }}"
    variables = {"input": {"organizationId": organization, "name": name or unique("Company")}}
    payload = (await platform.data(query, variables))["createCompany"]
    assert payload["errors"] == [], payload["errors"]
    found: str = payload["company"]["id"]
    return found


async def assign(platform: Platform, organization: str, module: str, **more: Any) -> Any:
    """The payload of assignModule."""
    as_token = more.pop("token", "")
    query = (
        "mutation($input: AssignModuleInput!) { assignModule(input: $input) {"
        " assignments { module { code } version state config dependencyOf { code } revision }"
        f" affected {{ action module organizationId cause }} revision {ERRORS} }} }}"
    )
    variables = {"input": {"organizationId": organization, "module": module, **more}}
    return (await platform.data(query, variables, token=as_token))["assignModule"]


async def unassign(platform: Platform, organization: str, module: str, **more: Any) -> Any:
    """The payload of unassignModule."""
    as_token = more.pop("token", "")
    query = (
        "mutation($input: UnassignModuleInput!) { unassignModule(input: $input) {"
        " assignments { module { code } }"
        f" affected {{ action module organizationId cause }} revision {ERRORS} }} }}"
    )
    variables = {"input": {"organizationId": organization, "module": module, **more}}
    return (await platform.data(query, variables, token=as_token))["unassignModule"]


async def set_config(platform: Platform, organization: str, module: str, value: Any, **more: Any) -> Any:
    """The payload of setOrganizationConfig."""
    as_token = more.pop("token", "")
    query = (
        "mutation($input: SetOrganizationConfigInput!) { setOrganizationConfig(input: $input) {"
        f" effectiveConfig {{ values revision }} revision {ERRORS} }} }}"
    )
    variables = {"input": {"organizationId": organization, "module": module, "value": value, **more}}
    return (await platform.data(query, variables, token=as_token))["setOrganizationConfig"]


async def set_company_config(platform: Platform, company: str, module: str, value: Any, **more: Any) -> Any:
    """The payload of setCompanyConfig."""
    as_token = more.pop("token", "")
    query = (
        "mutation($input: SetCompanyConfigInput!) { setCompanyConfig(input: $input) {"
        f" effectiveConfig {{ values revision }} revision {ERRORS} }} }}"
    )
    variables = {"input": {"companyId": company, "module": module, "value": value, **more}}
    return (await platform.data(query, variables, token=as_token))["setCompanyConfig"]


async def events_of(platform: Platform, organization: str | None) -> list[Any]:
    """An organization's events, from the first; null: every stream."""
    query = (
        "query($id: ID) { events(organizationId: $id, first: 200) {"
        " nodes { id type revision moduleCode companyId actor cursor payload organizationId } } }"
    )
    found: list[Any] = (await platform.data(query, {"id": organization}))["events"]["nodes"]
    return found


async def module_codes(platform: Platform, organization: str, *, as_token: str | None = "") -> list[str]:
    query = "query($id: ID!) { organization(id: $id) { modules { module { code } } } }"
    organization_found = (await platform.data(query, {"id": organization}, token=as_token))["organization"]
    return [each["module"]["code"] for each in organization_found["modules"]]


def admin_of(organization: str) -> str:
    """A token of the organization's administrator."""
    return token(Role.ORGANIZATION_ADMIN, organization=organization)


async def change_module(platform: Platform, mutation: str, code: str, **more: Any) -> Any:
    """The payload of activateModule, deactivateModule or deleteModule."""
    query = (
        f"mutation($input: ModuleRefInput!) {{ {mutation}(input: $input) {{"
        " module { code isActive revision } revision affected { action module organizationId cause }"
        " errors { __typename message code path pointer ... on DependencyError { chain }"
        " ... on RevisionConflictError { currentRevision } } } }"
    )
    return (await platform.data(query, {"input": {"code": code, **more}}))[mutation]


async def events_about(platform: Platform, code: str, *, as_token: str | None = "") -> list[Any]:
    """Every event that names a module, of all streams that the caller sees, by time."""
    query = (
        "query($code: String!) { events(moduleCode: $code, first: 200) {"
        " nodes { type organizationId revision moduleCode payload } } }"
    )
    found: list[Any] = (await platform.data(query, {"code": code}, token=as_token))["events"]["nodes"]
    return found


async def find_module(platform: Platform, code: str, fields: str = "code", *, as_token: str | None = "") -> Any:
    query = f"query($code: String!) {{ module(code: $code) {{ {fields} }} }}"
    return (await platform.data(query, {"code": code}, token=as_token))["module"]


async def platform_revision(platform: Platform) -> int:
    """The rev of the last event in the platform's stream."""
    query = (
        'query($after: String) { events(organizationId: "00000000-0000-0000-0000-000000000000", first: 200,'
        " after: $after) { nodes { revision } pageInfo { hasNextPage endCursor } } }"
    )
    page = (await platform.data(query))["events"]
    while page["pageInfo"]["hasNextPage"]:
        page = (await platform.data(query, {"after": page["pageInfo"]["endCursor"]}))["events"]
    last: int = page["nodes"][-1]["revision"]
    return last


async def organization_revision(platform: Platform, organization: str) -> int:
    query = "query($id: ID!) { organization(id: $id) { revision } }"
    found: int = (await platform.data(query, {"id": organization}))["organization"]["revision"]
    return found


async def rename(platform: Platform, organization: str, name: str | None = None) -> int:
    """Rename an organization and return the revision: the cheapest event there is."""
    query = (
        f"mutation($input: UpdateOrganizationInput!) {{ updateOrganization(input: $input) {{ revision {ERRORS} }} }}"
    )
    variables = {"input": {"organizationId": organization, "name": name or unique("Renamed")}}
    payload = (await platform.data(query, variables))["updateOrganization"]
    assert payload["errors"] == [], payload["errors"]
    revision: int = payload["revision"]
    return revision


async def state_of(platform: Platform, organization: str) -> Any:
    """Everything there is to see of an organization, its events included: equal states mean that nothing changed."""
    query = (
        "query($id: ID!) { organization(id: $id) { name plan revision industry { code }"
        " modules { module { code } version state isRequired config revision dependencyOf { code } }"
        " effectiveConfigs { module { code } values revision }"
        " companies(first: 10) { nodes { id name effectiveConfigs { module { code } values revision } } } } }"
    )
    seen = (await platform.data(query, {"id": organization}))["organization"]
    return seen, await events_of(platform, organization)


LEAVES = "leaves { pointer value layer revision setBy setAt reason shadowed { layer value } }"


async def effective_config(
    platform: Platform, organization: str, module: str, company: str | None = None, *, fields: str = "values revision"
) -> Any:
    """The effective configuration of a module, as the platform's administrator sees it."""
    query = (
        "query($id: ID!, $module: String!, $company: ID) {"
        f" effectiveConfig(organizationId: $id, module: $module, companyId: $company) {{ {fields} }} }}"
    )
    variables = {"id": organization, "module": module, "company": company}
    return (await platform.data(query, variables))["effectiveConfig"]
