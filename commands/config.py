"""Writing a module's configuration: tier 2 by the organization, tier 3 by a company."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from commands.assigning import company_problems, visible_module
from commands.checks import TEXT_MAX
from commands.recording import TenantTransaction
from commands.request import Outcome, TenantRequest
from commands.transaction import tenant_command
from events.facts import Fact, assignment_state, company_module_state
from events.types import EventType
from models.base import JsonObject
from models.company_module import FIND, REMEMBER, SAVE, CompanyModule, parameters_of
from models.module import ModuleRow, ModuleVersionRow
from models.tenant_module import TenantModule
from queries.effective_config import read_sources, stored_sources
from rules.config_merge import LayerName, LeafSource, merge_config
from rules.config_schema import check_layer, check_merged
from rules.config_write import ConfigWrite, apply_write, changed_sources
from rules.errors import InvalidInput, NotFound, Problem, QuotaExceeded, Refusal, refuse_if_any
from rules.json_values import canonical_json

CONFIG_BYTES_MAX = 128 * 1024
TIER_2 = UUID(int=0)
VALUE = ("input", "value")


@dataclass(frozen=True, kw_only=True)
class SetOrganizationConfig(TenantRequest):
    module: str
    write: ConfigWrite
    value: Any
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class SetCompanyConfig(TenantRequest):
    company_id: UUID
    module: str
    write: ConfigWrite
    value: Any
    reason: str | None = None


Write = SetOrganizationConfig | SetCompanyConfig


@dataclass(frozen=True)
class _Target:
    """The module as the organization has it."""

    module: ModuleRow
    version: ModuleVersionRow
    row: TenantModule


@tenant_command
async def set_organization_config(tx: TenantTransaction, request: SetOrganizationConfig) -> Outcome:
    """Write tier 2. The result must fit the module's schema, for the organization and for each of its companies."""
    target = await _target(tx, request)
    row = target.row
    await tx.check_expected(request, touched=row.config_revision, stream=row.organization_id)
    after = _written(row.configuration, request)
    below = merge_config(target.version.default_config, row.industry_config)
    problems = _schema_problems(target.version, below, after, layer="ORGANIZATION")
    if not problems:
        broken = await company_problems(tx, row, target.version, merge_config(below, after))
        problems = [problem.at(*VALUE) for problem in broken]
    refuse_if_any(problems)
    shows = {"organization_id": str(row.organization_id), "module": row.module_id}
    if _is_same(after, row.configuration):
        return Outcome(revision=await tx.current_revision(row.organization_id), shows=shows)
    (revision,) = await tx.advance(row.organization_id)
    row.config_sources = _sources(
        tx, request, before=row.configuration, after=after, known=row.config_sources, revision=revision
    )
    row.configuration, row.config_revision = after, revision
    row.revision, row.updated_at = revision, datetime.now(UTC)
    tx.save(row)
    await _remember(tx, request, company_id=TIER_2, after=after, revision=revision)
    payload = {
        "layer": "ORGANIZATION",
        "assignment": assignment_state(row, target.module.tier),
        "effective": merge_config(below, after),
    }
    tx.record(_fact(row, revision, payload, None))
    return Outcome(revision=revision, shows=shows, preview=row)


@tenant_command
async def set_company_config(tx: TenantTransaction, request: SetCompanyConfig) -> Outcome:
    """Write tier 3 of one company."""
    target = await _target(tx, request)
    row = await _company_row(tx, request, target)
    await tx.check_expected(request, touched=row.revision, stream=row.organization_id)
    after = _written(row.configuration, request)
    tenant = target.row
    below = merge_config(target.version.default_config, tenant.industry_config, tenant.configuration)
    refuse_if_any(_schema_problems(target.version, below, after, layer="COMPANY"))
    shows = {
        "organization_id": str(row.organization_id),
        "module": row.module_id,
        "company_id": str(row.company_id),
    }
    if _is_same(after, row.configuration):
        return Outcome(revision=await tx.current_revision(row.organization_id), shows=shows)
    (revision,) = await tx.advance(row.organization_id)
    row.config_sources = _sources(
        tx, request, before=row.configuration, after=after, known=row.config_sources, revision=revision
    )
    row.configuration, row.revision = after, revision
    row.customized_at, row.customized_by = datetime.now(UTC), tx.actor.subject
    await tx.fetch(SAVE, *parameters_of(row))
    await _remember(tx, request, company_id=row.company_id, after=after, revision=revision)
    payload = {
        "layer": "COMPANY",
        "company_id": str(row.company_id),
        "assignment": assignment_state(tenant, target.module.tier),
        "company_module": company_module_state(row),
        "effective": merge_config(below, after),
    }
    tx.record(_fact(tenant, revision, payload, row.company_id))
    return Outcome(revision=revision, shows=shows, preview=row)


async def _target(tx: TenantTransaction, request: Write) -> _Target:
    module, row = await visible_module(tx, request.module), await tx.find_row(request.module)
    if module is None or row is None:
        message = f"the organization has no module {request.module!r}"
        raise Refusal(NotFound(message=message, path=("input", "module")))
    version = (await tx.known_registry()).versions[row.module_id, row.version]
    return _Target(module=module, version=version, row=row)


async def _company_row(tx: TenantTransaction, request: SetCompanyConfig, target: _Target) -> CompanyModule:
    """The company's row, or a new one that is written only if the command goes through."""
    key = (request.organization_id, request.company_id)
    found = await tx.fetch(FIND, *key, target.row.module_id)
    if not found or not tx.actor.may_see_company(*key):
        raise Refusal(no_company(request.company_id))
    return CompanyModule(**found[0])


def no_company(company_id: UUID) -> NotFound:
    """The same words for an unknown company and for another tenant's."""
    return NotFound(message=f"no company {company_id}", path=("input", "companyId"))


def _written(current: JsonObject, request: Write) -> JsonObject:
    if request.reason is not None and len(request.reason) > TEXT_MAX:
        message = f"reason is longer than {TEXT_MAX} characters"
        raise Refusal(InvalidInput(message=message, path=("input", "reason")))
    after: JsonObject = dict(apply_write(current, request.write, request.value))
    size = len(canonical_json(after))
    if size > CONFIG_BYTES_MAX:
        message = f"the layer would have {size} bytes; {CONFIG_BYTES_MAX} is the limit"
        raise Refusal(QuotaExceeded(message=message, path=VALUE))
    return after


def _schema_problems(
    version: ModuleVersionRow, below: Mapping[str, Any], after: JsonObject, *, layer: LayerName
) -> list[Problem]:
    """The layer alone first: its errors are the clearer ones. Then the whole."""
    if version.config_schema is None:
        return []
    known = version.content_hash
    found = check_layer(version.config_schema, after, layer, version=known)
    if not found:
        found = check_merged(version.config_schema, merge_config(below, after), version=known)
    return [problem.at(*VALUE) for problem in found]


def _sources(
    tx: TenantTransaction,
    request: Write,
    *,
    before: JsonObject,
    after: JsonObject,
    known: JsonObject,
    revision: int,
) -> JsonObject:
    source = LeafSource(
        revision=revision,
        set_by=tx.actor.subject,
        set_at=datetime.now(UTC).isoformat(),
        reason=request.reason,
    )
    return stored_sources(changed_sources(before, after, read_sources(known), source))


def _is_same(after: JsonObject, before: JsonObject) -> bool:
    return canonical_json(after) == canonical_json(before)


async def _remember(
    tx: TenantTransaction, request: Write, *, company_id: UUID, after: JsonObject, revision: int
) -> None:
    """In the history of both tiers."""
    content = orjson.dumps(after).decode()
    key = (request.organization_id, request.module, company_id, revision)
    await tx.fetch(REMEMBER, *key, content, request.reason, tx.actor.subject, datetime.now(UTC))


def _fact(row: TenantModule, revision: int, payload: JsonObject, company_id: UUID | None) -> Fact:
    return Fact(
        type=EventType.CONFIG_UPDATED,
        organization_id=row.organization_id,
        revision=revision,
        payload=payload,
        module=row.module_id,
        modules=(row.module_id,),
        company_id=company_id,
    )
