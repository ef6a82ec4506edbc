"""What the platform tells: who has the module, and how it is configured. Kept, so that no invoice has to ask."""

from datetime import datetime
from uuid import UUID

import asyncpg
from modplane_sdk.events import Event, Subscriptions

from financial.store import Owner, Settings, Store

MODULE = "financial"


def subscriptions_of(store: Store) -> Subscriptions:
    subscriptions = Subscriptions()

    @subscriptions.subscribe(
        "tenant.module.assigned",
        "tenant.module.unassigned",
        "tenant.module.bulk_assigned",
        "tenant.module.industry_applied",
        "tenant.module.config_updated",
    )
    async def keep_settings(event: Event, connection: asyncpg.Connection) -> None:
        """Layers as the platform merges them; the schema of this module's configuration has no nested objects."""
        assignment = event.assignment_of(MODULE)
        if assignment is None:
            return
        organization_id = UUID(event.organization_id)
        override = event.payload.get("company_module")
        if override is None:
            owner, configuration = Owner(organization_id), {**assignment["industry_config"], **assignment["config"]}
        else:
            owner, configuration = Owner(organization_id, UUID(override["company_id"])), override["config"]
        settings = Settings(
            configuration=configuration,
            assigned_at=datetime.fromisoformat(assignment["assigned_at"]),
            is_assigned=event.payload.get("is_assigned", True),
        )
        await store.keep_settings(owner, settings, connection)

    return subscriptions
