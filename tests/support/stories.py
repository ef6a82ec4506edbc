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
