"""effectiveConfigChanged: the whole configuration first, then what changed, whichever tier it came from."""

from collections.abc import AsyncIterator
from typing import Any

import jsonpatch
import strawberry

from graph.context import Info
from graph.cursors import EventCursor
from graph.guard import require
from graph.masking import ApiError
from graph.types.effective_config import EffectiveConfig, find_effective_config
from graph.types.ids import parse_id
from graph.types.scalars import JSON
from queries.effective_config import ConfigKey
from subscriptions import streams


@strawberry.type(description="An effective configuration at a revision: whole, or as the way there from the last.")
class EffectiveConfigChange:
    revision: int = strawberry.field(description="The organization's rev that this is true of.")
    values: JSON | None = strawberry.field(
        description="The whole; in the first message, after the module came back, and when messages were passed over."
    )
    patch: JSON | None = strawberry.field(description="RFC 6902, on the values of the message before.")
    effective_config: EffectiveConfig | None = strawberry.field(description="Null: the organization has not got it.")


@strawberry.type
class ConfigSubscriptions:
    @strawberry.subscription(
        description="The whole effective configuration, then an RFC 6902 patch for every change of any tier. `after`"
        " is the cursor of an event: the first message is as new as that, and nothing after it is missed."
    )
    async def effective_config_changed(
        self,
        info: Info,
        organization_id: strawberry.ID,
        module: str,
        company_id: strawberry.ID | None = None,
        after: str | None = None,
    ) -> AsyncIterator[EffectiveConfigChange]:
        require(info.context.actor, "Subscription.effectiveConfigChanged")
        cursor, position = streams.starting_cursor(info, after), info.context.position
        key = _key(organization_id, module, company_id)
        # the revision before the state: a change between the two is seen twice and shown once
        revision = 0 if key is None else await streams.current_revision(info, key.organization_id)
        shown = None if key is None else await find_effective_config(info, key)
        if key is None or shown is None:
            raise ApiError("NOT_FOUND", f"no module {module[:100]!r} for organization {str(organization_id)[:100]}")
        if cursor is not None and cursor.rev > revision:
            raise streams.resume_gap(f"after is beyond revision {revision}", minimum=None, current=revision)
        known: dict[str, Any] | None = shown.merged.values
        position.offered, position.state = revision, (known,)
        yield EffectiveConfigChange(revision=shown.revision, values=known, patch=None, effective_config=shown)
        async for event in streams.follow(info, key.organization_id, EventCursor(rev=revision)):
            if module not in event.modules:
                continue
            info.context.refresh()
            found = await find_effective_config(info, key)
            change = _change(event.rev, known, found)
            if change is not None:
                known = None if found is None else found.merged.values
                position.state = (known,)
                yield change


def _change(
    revision: int, before: dict[str, Any] | None, found: EffectiveConfig | None
) -> EffectiveConfigChange | None:
    """None when the event changed nothing of it: an event may be seen after a read that knew it already."""
    after = None if found is None else found.merged.values
    if before == after:
        return None
    if found is None or before is None:
        return EffectiveConfigChange(revision=revision, values=after, patch=None, effective_config=found)
    patch = jsonpatch.make_patch(before, after).patch
    current = max(revision, found.revision)
    return EffectiveConfigChange(revision=current, values=None, patch=patch, effective_config=found)


def _key(organization_id: strawberry.ID, module: str, company_id: strawberry.ID | None) -> ConfigKey | None:
    organization, company = parse_id(organization_id), parse_id(company_id)
    if organization is None or (company_id is not None and company is None):
        return None
    return ConfigKey(organization_id=organization, module=module, company_id=company)
