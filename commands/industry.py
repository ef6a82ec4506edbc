"""Industry templates. Changing one changes no organization: templates are applied, not inherited."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select

from commands.checks import LIST_MAX, check_text, checked_name
from commands.request import Outcome, Request
from commands.transaction import Transaction, registry_command
from events.facts import industry_fact
from events.types import EventType
from models.base import PLATFORM_ID
from models.ids import new_id
from models.industry import IndustryModuleRow, IndustryRow
from queries.industry import load_industries_by_codes, load_industry_modules
from queries.module import load_modules_by_codes, load_versions
from rules.config_schema import check_layer
from rules.errors import AlreadyExists, IllegalTransition, InvalidInput, NotFound, Problem, Refusal, refuse_if_any
from rules.json_values import check_json
from rules.slug import is_slug


@dataclass(frozen=True, kw_only=True)
class TemplateItem:
    module: str
    is_required: bool = False
    default_config: Any = None
    display_order: int | None = None


@dataclass(frozen=True, kw_only=True)
class CreateIndustry(Request):
    code: str
    name: str
    description: str = ""
    modules: Sequence[TemplateItem] = ()


@dataclass(frozen=True, kw_only=True)
class UpdateIndustry(Request):
    code: str
    name: str | None = None
    description: str | None = None
    is_active: bool | None = None
    modules: Sequence[TemplateItem] | None = None


@dataclass(frozen=True, kw_only=True)
class DeleteIndustry(Request):
    code: str


@registry_command
async def create_industry(tx: Transaction, request: CreateIndustry) -> Outcome:
    name = checked_name(request.name)
    if not is_slug(request.code):
        message = "a code is 2 to 63 small letters, digits and dashes, a letter first"
        raise Refusal(InvalidInput(message=message, path=("input", "code")))
    if await load_industries_by_codes(tx, [request.code]):
        message = f"industry {request.code!r} exists; change it with updateIndustry"
        raise Refusal(AlreadyExists(message=message, path=("input", "code")))
    await _refuse_taken_name(tx, name)
    refuse_if_any(check_text(request.description, field="description") + await _item_problems(tx, request.modules))
    now = datetime.now(UTC)
    (revision,) = await tx.advance(PLATFORM_ID)
    row = IndustryRow(
        id=new_id(),
        industry_code=request.code,
        industry_name=name,
        description=request.description,
        is_active=True,
        revision=revision,
        created_at=now,
        updated_at=now,
    )
    tx.session.add(row)
    await tx.session.flush()
    modules = _rows(row, request.modules)
    tx.session.add_all(modules)
    tx.record(industry_fact(EventType.INDUSTRY_CREATED, row, modules))
    return Outcome(revision=revision, shows={"industry": row.industry_code})


@registry_command
async def update_industry(tx: Transaction, request: UpdateIndustry) -> Outcome:
    """Change what is given; `modules`, when given, replaces the whole list."""
    row = await _existing(tx, request.code)
    await tx.check_expected(request, touched=row.revision, stream=PLATFORM_ID)
    name = row.industry_name if request.name is None else checked_name(request.name)
    if name != row.industry_name:
        await _refuse_taken_name(tx, name)
    problems = check_text(request.description, field="description")
    problems += await _item_problems(tx, request.modules or ())
    refuse_if_any(problems)
    (revision,) = await tx.advance(PLATFORM_ID)
    row.industry_name, row.revision, row.updated_at = name, revision, datetime.now(UTC)
    row.description = row.description if request.description is None else request.description
    row.is_active = row.is_active if request.is_active is None else request.is_active
    if request.modules is None:
        modules = (await load_industry_modules(tx, [row.industry_code]))[row.industry_code]
    else:
        await tx.session.execute(delete(IndustryModuleRow).where(IndustryModuleRow.template_id == row.id))
        modules = _rows(row, request.modules)
        tx.session.add_all(modules)
    tx.record(industry_fact(EventType.INDUSTRY_UPDATED, row, modules))
    return Outcome(revision=revision, shows={"industry": row.industry_code})


@registry_command
async def delete_industry(tx: Transaction, request: DeleteIndustry) -> Outcome:
    """Set a tombstone. Organizations keep the modules they got from it."""
    row = await _existing(tx, request.code)
    await tx.check_expected(request, touched=row.revision, stream=PLATFORM_ID)
    (revision,) = await tx.advance(PLATFORM_ID)
    now = datetime.now(UTC)
    row.is_active, row.revision, row.updated_at, row.deleted_at = False, revision, now, now
    tx.record(industry_fact(EventType.INDUSTRY_DELETED, row, []))
    return Outcome(revision=revision, shows={})


async def _existing(tx: Transaction, code: str) -> IndustryRow:
    row = (await load_industries_by_codes(tx, [code])).get(code)
    if row is None:
        raise Refusal(NotFound(message=f"no industry {code!r}", path=("input", "code")))
    return row


async def _refuse_taken_name(tx: Transaction, name: str) -> None:
    taken = select(IndustryRow.industry_code).where(IndustryRow.industry_name == name, IndustryRow.deleted_at.is_(None))
    if (code := await tx.session.scalar(taken)) is not None:
        message = f"industry {code!r} has the name {name!r} already"
        raise Refusal(AlreadyExists(message=message, path=("input", "name")))


async def _item_problems(tx: Transaction, items: Sequence[TemplateItem]) -> list[Problem]:
    """Every item's problems, each with the way to it."""
    if len(items) > LIST_MAX:
        return [InvalidInput(message=f"a template has at most {LIST_MAX} modules", path=("input", "modules"))]
    modules = await load_modules_by_codes(tx, [item.module for item in items])
    versions = await load_versions(tx, {(row.module_id, row.version) for row in modules.values()})
    problems: list[Problem] = []
    seen: set[str] = set()
    for index, item in enumerate(items):
        at = ("input", "modules", str(index))
        row = modules.get(item.module)
        if row is None:
            problems.append(NotFound(message=f"no module {item.module!r}", path=(*at, "module")))
            continue
        if item.module in seen:
            problems.append(InvalidInput(message=f"{item.module} is listed twice", path=(*at, "module")))
        if not row.is_active:
            message = f"module {item.module!r} is switched off for the whole platform"
            problems.append(IllegalTransition(message=message, path=(*at, "module")))
        seen.add(item.module)
        schema = versions[row.module_id, row.version].config_schema
        problems += _config_problems(item.default_config, schema, at=(*at, "defaultConfig"))
    return problems


def _config_problems(config: Any, schema: Any, *, at: tuple[str, ...]) -> list[Problem]:
    if config is None:
        return []
    if not isinstance(config, dict):
        return [InvalidInput(message="a configuration is a JSON object", path=at, pointer="")]
    found = check_json(config)
    if found:
        return [InvalidInput(message=text, path=at, pointer=pointer) for pointer, text in found]
    return [] if schema is None else [problem.at(*at) for problem in check_layer(schema, config, "INDUSTRY")]


def _rows(row: IndustryRow, items: Sequence[TemplateItem]) -> list[IndustryModuleRow]:
    rows = [
        IndustryModuleRow(
            template_id=row.id,
            module_id=item.module,
            is_required=item.is_required,
            default_config=item.default_config or {},
            display_order=index if item.display_order is None else item.display_order,
        )
        for index, item in enumerate(items)
    ]
    return sorted(rows, key=lambda each: (each.display_order, each.module_id))
