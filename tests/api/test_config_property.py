"""Any four layers, written through the API, read back as the merge that the documents define."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.platform import Platform
from tests.support.stories import (
    create_company,
    effective_config,
    register,
    set_company_config,
    set_config,
    sign_up,
    unique,
)

LAYERS = ("MODULE", "INDUSTRY", "ORGANIZATION", "COMPANY")
CREATE_INDUSTRY = """mutation($input: CreateIndustryInput!) { createIndustry(input: $input) {
  errors { message pointer } } }"""
# few keys, so that layers meet; among them those that a pointer must escape
KEYS = st.sampled_from(["a", "b", "a/b", "~1"])
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1e20, "x", "ü"])
VALUES = st.recursive(
    SCALARS, lambda child: st.lists(child, max_size=2) | st.dictionaries(KEYS, child, max_size=3), max_leaves=6
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=3)


def reference_merge(below: Any, above: Any) -> Any:
    """Objects recurse, everything else replaces; what is new may be an object too, and is copied the same way."""
    if not isinstance(above, dict):
        return above
    merged = dict(below) if isinstance(below, dict) else {}
    for key, value in above.items():
        merged[key] = reference_merge(merged.get(key), value)
    return merged


def reference_leaves(value: Any, pointer: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and (value or not pointer):
        found: dict[str, Any] = {}
        for key, child in value.items():
            found |= reference_leaves(child, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
        return found
    return {pointer: value}


def reference_origins(layers: list[dict[str, Any]]) -> dict[str, tuple[Any, str]]:
    """For each leaf its value, and the last layer that says something there (an empty object over one says nothing)."""
    merged: Any = {}
    origins: dict[str, str] = {}
    for name, layer in zip(LAYERS, layers, strict=True):
        merged = reference_merge(merged, layer)
        origins |= dict.fromkeys(reference_leaves(layer), name)
    return {pointer: (value, origins[pointer]) for pointer, value in reference_leaves(merged).items()}


async def written(platform: Platform, layers: list[dict[str, Any]]) -> Any:
    """The effective configuration of a company, each layer written by the mutation that is for it."""
    defaults, template, tier_2, tier_3 = layers
    code = await register(platform, unique("free"), configuration={"defaults": defaults})
    industry = unique("industry")
    modules = [{"module": code, "defaultConfig": template}]
    created = await platform.data(CREATE_INDUSTRY, {"input": {"code": industry, "name": industry, "modules": modules}})
    assert created["createIndustry"]["errors"] == []
    organization = await sign_up(platform, industry=industry)
    company = await create_company(platform, organization)
    assert (await set_config(platform, organization, code, tier_2, write="REPLACE"))["errors"] == []
    assert (await set_company_config(platform, company, code, tier_3, write="REPLACE"))["errors"] == []
    fields = "values leaves { pointer value layer }"
    return await effective_config(platform, organization, code, company, fields=fields)


def exact(value: Any) -> Any:
    """With types, because to Python 1 is True and 1.0."""
    if isinstance(value, dict):
        return {key: exact(child) for key, child in value.items()}
    if isinstance(value, list):
        return [exact(child) for child in value]
    return (isinstance(value, bool), value)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(OBJECTS, min_size=4, max_size=4))
async def test_any_layers_read_back_as_their_merge(platform: Platform, layers: list[dict[str, Any]]) -> None:
    found = await written(platform, layers)
    expected = reference_origins(layers)
    merged: Any = {}
    for layer in layers:
        merged = reference_merge(merged, layer)
    assert exact(found["values"]) == exact(merged)
    leaves = {each["pointer"]: (exact(each["value"]), each["layer"]) for each in found["leaves"]}
    assert leaves == {pointer: (exact(value), layer) for pointer, (value, layer) in expected.items()}
