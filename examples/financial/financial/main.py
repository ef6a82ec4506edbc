"""The service, put together: `python -m modplane_sdk run financial.main:service`."""

import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from modplane_sdk.definition import ModuleDefinition
from modplane_sdk.inbox import PostgresInbox
from modplane_sdk.service import ModuleService, Sample

from financial.events import subscriptions_of
from financial.schema import loaders_of, make_schema
from financial.store import PREFIX, Owner, Store

DEFAULT_DATABASE = "postgresql://127.0.0.1/financial"

definition = ModuleDefinition.read(Path(__file__).parents[1] / "manifest.json")
store = Store(definition.default_config)


async def arrange(organization_id: str) -> list[dict[str, Any]]:
    """Invoices of ten companies, for the contract suite."""
    today, companies = datetime.now(UTC).date(), [uuid4() for _ in range(10)]
    for company_id in companies:
        owner = Owner(UUID(organization_id), company_id)
        await store.create_invoice(owner, customer="A customer", amount=Decimal("100.00"), today=today)
    return [{"__typename": "Company", "id": str(company_id)} for company_id in companies]


service = ModuleService(
    definition=definition,
    schema=make_schema(store),
    subscriptions=subscriptions_of(store),
    inbox=lambda: PostgresInbox(store.pool, prefix=PREFIX),
    context=loaders_of(store),
    opened=lambda: store.opened(os.environ.get("FINANCIAL_DATABASE_URL", DEFAULT_DATABASE)),
    is_healthy=store.is_healthy,
    sample=Sample(
        query="{ financialInvoices { id number } }",
        selection="... on Company { financialInvoices { id number } }",
        arrange=arrange,
        statements=lambda: store.statements,
    ),
)
