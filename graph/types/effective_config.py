"""Effective configuration: the merged values, and for each of them where it comes from."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import orjson
import strawberry

from graph.context import Info
from graph.masking import ApiError
from graph.plan.batch import batched
from graph.types.module import Module, load_module, load_modules
from graph.types.scalars import JSON
from queries.effective_config import ConfigKey, ConfigLayers, KeptConfig, read_sources
from rules.config_merge import Layer, Leaf, LeafSource, explain_config
from rules.json_values import InvalidPointerError, PointerNotFoundError, resolve_pointer

if TYPE_CHECKING:
    from graph.types.organization import Company, Organization


@strawberry.enum(description="The tiers, lowest first; INDUSTRY is the base of the organization's.")
class ConfigLayer(Enum):
    MODULE = "MODULE"
    INDUSTRY = "INDUSTRY"
    ORGANIZATION = "ORGANIZATION"
    COMPANY = "COMPANY"


@strawberry.type(description="What a lower layer says where a higher one has the last word.")
class ShadowedValue:
    layer: ConfigLayer
    value: JSON | None


@strawberry.type(description="One value of an effective configuration, with its origin.")
class ConfigLeaf:
    pointer: str = strawberry.field(description="RFC 6901")
    value: JSON | None
    layer: ConfigLayer
    revision: int | None
    set_by: str | None
    set_at: datetime | None
    reason: str | None
    shadowed: list[ShadowedValue] = strawberry.field(description="The nearest lower layer first.")

    @staticmethod
    def of(leaf: Leaf) -> "ConfigLeaf":
        source = leaf.source
        return ConfigLeaf(
            pointer=leaf.pointer,
            value=leaf.value,
            layer=ConfigLayer(leaf.layer),
            revision=source.revision,
            set_by=source.set_by,
            set_at=None if source.set_at is None else datetime.fromisoformat(source.set_at),
            reason=source.reason,
            shadowed=[ShadowedValue(layer=ConfigLayer(each.layer), value=each.value) for each in leaf.shadowed],
        )


def _explained(layers: ConfigLayers) -> Sequence[Layer]:
    base = layers.base
    published = LeafSource(revision=base.published_revision, set_at=base.published_at.isoformat())
    applied = LeafSource(**orjson.loads(base.industry_source))
    organization, company = (read_sources(orjson.loads(each)) for each in (base.sources, layers.company_sources))
    return (
        Layer(name="MODULE", values=base.defaults, default_source=published),
        Layer(name="INDUSTRY", values=base.industry, default_source=applied),
        Layer(name="ORGANIZATION", values=base.configuration, sources=organization),
        Layer(name="COMPANY", values=layers.company, sources=company),
    )


@strawberry.type(description="Module default, then organization, then company: objects merge, all else replaces.")
class EffectiveConfig:
    merged: strawberry.Private[ConfigLayers | KeptConfig]
    revision: int = strawberry.field(description="The organization's rev that last changed it.")

    @strawberry.field
    async def module(self, info: Info) -> Module:
        return await load_module(info, self.merged.module)

    @strawberry.field
    async def organization(self, info: Info) -> Annotated["Organization", strawberry.lazy("graph.types.organization")]:
        from graph.types.organization import load_organization  # noqa: PLC0415  # the two types show each other

        return await load_organization(info, self.merged.organization_id)

    @strawberry.field
    async def company(self, info: Info) -> Annotated["Company", strawberry.lazy("graph.types.organization")] | None:
        from graph.types.organization import Company  # noqa: PLC0415  # the two types show each other

        company_id = self.merged.company_id
        row = None if company_id is None else await info.context.loaders.company.load(company_id)
        return None if row is None else Company.from_row(row)

    @strawberry.field
    def values(self) -> JSON:
        return self.merged.values

    @strawberry.field(description="The value at a JSON Pointer (RFC 6901); null when there is none.")
    def value(self, pointer: str) -> JSON | None:
        try:
            return resolve_pointer(self.merged.values, pointer)
        except PointerNotFoundError:
            return None
        except InvalidPointerError as error:
            raise ApiError("BAD_USER_INPUT", f"pointer: {error}") from None

    @strawberry.field(description="Each value with its layer, author, time, reason and what it shadows.")
    async def leaves(self, info: Info, pointer_prefix: str | None = None) -> list[ConfigLeaf]:
        layers = await layers_of(info, self.merged)
        try:
            return [ConfigLeaf.of(leaf) for leaf in explain_config(_explained(layers), pointer_prefix)]
        except InvalidPointerError as error:
            raise ApiError("BAD_USER_INPUT", f"pointerPrefix: {error}") from None

    @staticmethod
    def of(merged: ConfigLayers | KeptConfig) -> "EffectiveConfig":
        return EffectiveConfig(merged=merged, revision=merged.revision)


async def layers_of(info: Info, merged: ConfigLayers | KeptConfig) -> ConfigLayers:
    """What it was merged from: of what was kept, read now."""
    if isinstance(merged, ConfigLayers):
        return merged
    key = ConfigKey(organization_id=merged.organization_id, module=merged.module, company_id=merged.company_id)
    found = await info.context.loaders.config_layers.load(key)
    if not found:
        raise ApiError("NOT_FOUND", f"the configuration of {merged.module} is gone")
    return found[0]


async def find_effective_config(info: Info, key: ConfigKey) -> EffectiveConfig | None:
    """One module's; None when organization, company or assignment is not there to be seen."""
    if not _may_see(info, key):
        return None
    found = await info.context.loaders.effective_configs.load(key)
    return EffectiveConfig.of(found[0]) if found else None


async def list_effective_configs(info: Info, key: ConfigKey) -> list[EffectiveConfig]:
    """Of every module that the organization has."""
    if not _may_see(info, key):
        return []
    return [EffectiveConfig.of(each) for each in await info.context.loaders.effective_configs.load(key)]


async def load_effective_configs(info: Info, keys: Sequence[ConfigKey]) -> list[list[EffectiveConfig]]:
    """For each key what `list_effective_configs` answers."""
    seen = [key for key in keys if _may_see(info, key)]
    found = dict(zip(seen, await info.context.loaders.effective_configs.load_many(seen), strict=True))
    return [[EffectiveConfig.of(each) for each in found.get(key, ())] for key in keys]


@batched(EffectiveConfig.values)
def values_of_configs(configs: list[EffectiveConfig], info: Info) -> list[JSON]:
    return [config.merged.values for config in configs]


@batched(EffectiveConfig.module)
async def modules_of_configs(configs: list[EffectiveConfig], info: Info) -> list[Module]:
    return await load_modules(info, [config.merged.module for config in configs])


def _may_see(info: Info, key: ConfigKey) -> bool:
    actor = info.context.actor
    if key.company_id is None:
        return actor.may_see_organization(key.organization_id)
    return actor.may_see_company(key.organization_id, key.company_id)
