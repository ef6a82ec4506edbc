"""What a caller is entitled to at this moment: a module that its organization has ACTIVE, that is on, in its plan.

Nothing is kept between two questions: an assignment that has ended is not in the next answer.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from auth.actor import PLATFORM, Actor
from models.database import Database
from queries.reader import open_reader
from rules.plans import includes

# One row at least for an organization that is there, with no module when it has none. A caller bound to a company has
# not what that company has switched off, and nothing when the organization has no such company.
OF_TENANT = """
SELECT r.rev, o.plan, t.module_id, v.required_plan
  FROM organizations o JOIN org_revision r USING (organization_id)
  LEFT JOIN (tenant_modules t
    JOIN module_registry m ON m.module_id = t.module_id
     AND m.is_active AND m.deleted_at IS NULL AND m.tier <> 'INTERNAL'
    JOIN module_versions v ON v.module_id = t.module_id AND v.number = t.version)
    ON t.organization_id = o.organization_id AND t.state = 'ACTIVE'
   AND NOT EXISTS (SELECT FROM company_modules c WHERE c.organization_id = t.organization_id
                    AND c.company_id = $2 AND c.module_id = t.module_id AND NOT c.is_enabled)
   AND ($2::uuid IS NULL OR EXISTS (SELECT FROM companies c WHERE c.organization_id = o.organization_id AND c.id = $2))
 WHERE o.organization_id = $1 ORDER BY t.module_id
"""
OF_PLATFORM = text(
    "SELECT r.rev, m.module_id FROM registry_revision r LEFT JOIN module_registry m"
    " ON m.is_active AND m.deleted_at IS NULL ORDER BY m.module_id"
)


@dataclass(frozen=True)
class Entitlement:
    """Codes in order, and the rev of the organization's stream; of the platform's for its administrators."""

    modules: tuple[str, ...] = ()
    revision: int | None = None


NOTHING = Entitlement()


async def load_entitlement(database: Database, actor: Actor) -> Entitlement:
    """In one statement. Nobody without an organization has any, but the platform's administrators have all."""
    if actor.organization_id is not None:
        return await _of_tenant(database, actor.organization_id, actor.company_id)
    return await _of_platform(database) if actor.is_platform_admin else NOTHING


async def _of_tenant(database: Database, organization_id: UUID, company_id: UUID | None) -> Entitlement:
    rows = await database.tenant_reads.fetch(organization_id, OF_TENANT, organization_id, company_id)
    modules = tuple(
        row["module_id"]
        for row in rows
        if row["module_id"] is not None
        and (row["required_plan"] is None or includes(row["plan"], row["required_plan"]))
    )
    return Entitlement(modules=modules, revision=rows[0]["rev"] if rows else None)


async def _of_platform(database: Database) -> Entitlement:
    async with open_reader(database, PLATFORM) as reader:
        rows = (await reader.session.execute(OF_PLATFORM)).all()
    return Entitlement(modules=tuple(code for _, code in rows if code is not None), revision=rows[0][0])
