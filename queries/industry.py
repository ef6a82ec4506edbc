"""Questions about industry templates. Inactive ones are for administrators."""

from collections.abc import Collection

from sqlalchemy import ColumnElement, and_, func, select

from models.industry import IndustryModuleRow, IndustryRow
from queries.page import Page, PageRequest, page_of
from queries.reader import Reader, among


def _is_visible(reader: Reader) -> ColumnElement[bool]:
    if reader.actor.is_platform_admin:
        return IndustryRow.deleted_at.is_(None)
    return and_(IndustryRow.deleted_at.is_(None), IndustryRow.is_active.is_(True))


async def load_industries_by_codes(reader: Reader, codes: Collection[str]) -> dict[str, IndustryRow]:
    statement = select(IndustryRow).where(among(IndustryRow.industry_code, list(codes)), _is_visible(reader))
    return {row.industry_code: row for row in await reader.session.scalars(statement)}


async def list_industries(reader: Reader, page: PageRequest) -> Page[IndustryRow]:
    """Industries by code."""
    statement = select(IndustryRow).where(_is_visible(reader))
    if page.after is not None:
        statement = statement.where(IndustryRow.industry_code > page.after)
    statement = statement.order_by(IndustryRow.industry_code).limit(page.first + 1)
    rows = list(await reader.session.scalars(statement))
    return page_of(rows, page, key=lambda row: row.industry_code)


async def count_industries(reader: Reader) -> int:
    statement = select(func.count()).select_from(IndustryRow).where(_is_visible(reader))
    return await reader.session.scalar(statement) or 0


async def load_industry_modules(reader: Reader, codes: Collection[str]) -> dict[str, list[IndustryModuleRow]]:
    """Rows of each template, by display order."""
    statement = (
        select(IndustryRow.industry_code, IndustryModuleRow)
        .join(IndustryModuleRow, IndustryModuleRow.template_id == IndustryRow.id)
        .where(among(IndustryRow.industry_code, list(codes)), IndustryRow.deleted_at.is_(None))
        .order_by(IndustryModuleRow.display_order, IndustryModuleRow.module_id)
    )
    found: dict[str, list[IndustryModuleRow]] = {code: [] for code in codes}
    for code, row in await reader.session.execute(statement):
        found[code].append(row)
    return found
