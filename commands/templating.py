"""Putting an industry's template on an organization: shared by signing up and by applying one later."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from commands.assigning import (
    Assigning,
    Tenant,
    Wanted,
    company_problems,
    industry_source,
    prepare,
    stamp_industry,
)
from commands.request import Change
from commands.transaction import Transaction
from events.facts import Fact, assignment_state, organization_state
from events.types import EventType
from models.industry import IndustryModuleRow
from models.organization import OrganizationRow
from models.tenant_module import TenantModule
from queries.industry import load_industries_by_codes, load_industry_modules
from queries.module import load_versions
from rules.config_merge import merge_config
from rules.config_schema import check_layer, check_merged
from rules.errors import NotFound, Problem, Refusal, refuse_if_any
from rules.json_values import canonical_json

INDUSTRY = ("input", "industryCode")


@dataclass
class TemplateApplied:
    """What an application changes: one fact for all its rows."""

    organization: OrganizationRow
    industry_code: str
    is_change: bool
    rows: Sequence[TenantModule]  # the template's, by code, those that were there before included
    assigning: Assigning
    touched: Sequence[TenantModule]
    changes: Sequence[Change]

    @property
    def written(self) -> Collection[TenantModule]:
        """A row may be both, woken and touched."""
        return {row.module_id: row for row in [*self.assigning.written, *self.touched]}.values()

    def fact(self, revision: int) -> Fact:
        """Number the rows and say what happened."""
        self.assigning.number([revision] * len(self.assigning.written))
        for row in self.touched:
            row.revision = row.config_revision = revision
            stamp_industry(row, revision)
        self.organization.revision = revision
        written, catalog = self.written, self.assigning.catalog
        return Fact(
            type=EventType.INDUSTRY_APPLIED,
            organization_id=self.organization.organization_id,
            revision=revision,
            payload={
                "industry": self.industry_code,
                "organization": organization_state(self.organization),
                "assignments": [assignment_state(row, catalog[row.module_id].tier) for row in written],
                "modules": [row.module_id for row in written],
            },
            modules=tuple(row.module_id for row in written),
        )


async def apply_template(
    tx: Transaction, organization: OrganizationRow, industry_code: str, *, assigned: Mapping[str, TenantModule]
) -> TemplateApplied:
    """The template's rows on the organization, which the caller has to save. Raises Refusal: all or none."""
    industry = (await load_industries_by_codes(tx, [industry_code])).get(industry_code)
    if industry is None or not industry.is_active:
        raise Refusal(NotFound(message=f"no industry {industry_code!r}", path=("input", "industryCode")))
    template = (await load_industry_modules(tx, [industry_code]))[industry_code]
    wanted = [_from_template(item, industry_code) for item in template if item.module_id not in assigned]
    tenant = Tenant(organization.organization_id, organization.plan)
    assigning = await prepare(tx, tenant, wanted, assigned=assigned, activate=True, at=INDUSTRY)
    touched = [row for item in template if (row := _rebased(tx, item, assigned, industry_code)) is not None]
    refuse_if_any(await _rebase_problems(tx, touched))
    is_same = organization.industry_code == industry_code and organization.industry_name == industry.industry_name
    is_change = bool(assigning.written or touched or not is_same)
    if is_change:
        organization.industry_code, organization.industry_name = industry_code, industry.industry_name
        organization.updated_at = datetime.now(UTC)
    codes = {item.module_id for item in template}
    rows = [row for code, row in assigned.items() if code in codes] + list(assigning.rows)
    return TemplateApplied(
        organization=organization,
        industry_code=industry_code,
        is_change=is_change,
        rows=sorted(rows, key=lambda row: row.module_id),
        assigning=assigning,
        touched=touched,
        changes=[*assigning.changes, *map(_update, touched)],
    )


def _from_template(item: IndustryModuleRow, industry_code: str) -> Wanted:
    return Wanted(
        module=item.module_id,
        cause="INDUSTRY",
        industry_code=industry_code,
        industry_config=item.default_config,
        is_required=item.is_required,
    )


def _rebased(
    tx: Transaction, item: IndustryModuleRow, assigned: Mapping[str, TenantModule], industry_code: str
) -> TenantModule | None:
    """Put the template's layer under a module that is there already; the tenant's own layer stays on top of it."""
    row = assigned.get(item.module_id)
    if row is None:
        return None
    is_same = (row.industry_code, row.is_required) == (industry_code, item.is_required)
    if is_same and canonical_json(row.industry_config) == canonical_json(item.default_config):
        return None
    row.industry_code, row.industry_config = industry_code, item.default_config
    row.industry_source = industry_source(tx, industry_code, datetime.now(UTC))
    row.is_required, row.is_requested, row.updated_at = item.is_required, True, datetime.now(UTC)
    return row


async def _rebase_problems(tx: Transaction, rows: Sequence[TenantModule]) -> list[Problem]:
    """The template's layer must fit below what the organization and its companies have put on top of it."""
    versions = await load_versions(tx, {(row.module_id, row.version) for row in rows}) if rows else {}
    problems: list[Problem] = []
    for row in rows:
        version = versions[row.module_id, row.version]
        schema = version.config_schema
        if schema is None:
            continue
        merged = merge_config(version.default_config, row.industry_config, row.configuration)
        found = check_layer(schema, row.industry_config, "INDUSTRY")
        # what is only installed may be incomplete
        if not found and row.state != "INSTALLED":
            found = check_merged(schema, merged) or await company_problems(tx, row, version, merged)
        problems += [replace(each, message=f"{row.module_id}: {each.message}", path=INDUSTRY) for each in found]
    return problems


def _update(row: TenantModule) -> Change:
    return Change(action="UPDATE", module=row.module_id, cause="INDUSTRY", organization_id=row.organization_id)
