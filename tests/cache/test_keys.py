"""Every documented key and its lifetime."""

from typing import Any
from uuid import UUID

import pytest

from cache.keys import (
    EFFECTIVE_CONFIG,
    FAMILIES,
    FLOOR_TTL_SECONDS,
    INDUSTRY_MODULES,
    JITTER,
    MODULE_CONFIG,
    NEGATIVE_TTL_SECONDS,
    ORGANIZATION_INFO,
    ORGANIZATION_MODULES,
    REGISTRY_MODULES,
    EffectiveConfigId,
    Family,
    floor_key,
    instances_key,
    lease_of,
    lock_key,
)
from models.base import PLATFORM_ID

ORG = UUID("0190f5a0-0000-7000-8000-000000000001")
COMPANY = UUID("0190f5a0-0000-7000-8000-000000000002")

TABLE: list[tuple[Family[Any], Any, str, int, tuple[UUID, ...]]] = [
    (ORGANIZATION_MODULES, ORG, f"org:{ORG}:modules", 300, (ORG, PLATFORM_ID)),
    (ORGANIZATION_INFO, ORG, f"org:{ORG}:info", 300, (ORG,)),
    (
        EFFECTIVE_CONFIG,
        EffectiveConfigId(ORG, "billing"),
        f"org:{ORG}:module:billing:effective",
        300,
        (ORG, PLATFORM_ID),
    ),
    (
        EFFECTIVE_CONFIG,
        EffectiveConfigId(ORG, "billing", COMPANY),
        f"org:{ORG}:module:billing:effective:{COMPANY}",
        300,
        (ORG, PLATFORM_ID),
    ),
    (INDUSTRY_MODULES, "tech", "industry:tech:modules", 3_600, (PLATFORM_ID,)),
    (MODULE_CONFIG, "billing", "module:billing:config", 600, (PLATFORM_ID,)),
    (REGISTRY_MODULES, None, "modules:registry:all", 600, (PLATFORM_ID,)),
]


@pytest.mark.parametrize(("family", "asked", "key", "seconds", "streams"), TABLE)
def test_names_lifetimes_and_streams(
    family: Family[Any], asked: Any, key: str, seconds: int, streams: tuple[UUID, ...]
) -> None:
    assert (family.key(asked), family.ttl_seconds, family.streams(asked)) == (key, seconds, streams)


def test_the_table_has_every_family() -> None:
    assert {family.pattern for family, *_ in TABLE} == {family.pattern for family in FAMILIES}


def test_keys_that_hold_no_values() -> None:
    assert instances_key("billing") == "module:instances:billing"
    assert floor_key(ORG, "abc") == f"org:{ORG}:floor:abc"
    assert lock_key(f"org:{ORG}:info") == f"lock:org:{ORG}:info"
    assert lease_of("n") == "L:n"


def test_floors_outlive_values_twice() -> None:
    longest = max(family.ttl_seconds for family in FAMILIES) * (1 + JITTER)
    assert 2 * longest <= FLOOR_TTL_SECONDS
    assert min(family.ttl_seconds for family in FAMILIES) > NEGATIVE_TTL_SECONDS
