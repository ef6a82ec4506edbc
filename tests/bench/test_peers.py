"""What the peers decide themselves has to be what Modplane decides, or they would be compared at other work."""

import pytest

from bench.compare.data import ASSIGNABLE, ASSIGNED, DEFAULTS, MODULES, manifest
from bench.compare.operations import Tenant
from bench.compare.pools import WRITES_IN, assignments, mixture, pools_of
from bench.compare.python.rules import leaves, merge
from rules.config_merge import merge_config
from rules.json_values import JsonValue
from rules.manifest import read_manifest

LAYERS: list[list[dict[str, JsonValue]]] = [
    [{}, {}],
    [{"a": {"b": 1, "c": [1]}}, {"a": {"c": [2, 3]}}, {"a": {"b": None}}],
    [{"a": 1}, {"a": {"b": 2}}, {"a": {}}],
    [{"a": {"b": {"c": 1}}}, {"a": {"b": 5}}, {"a": {"b": {"d": 1}}}],
    [DEFAULTS, {"limits": {"daily": 5}}, {"general": {"language": "de"}}],
]


@pytest.mark.parametrize("layers", LAYERS)
def test_layers_merge_as_modplane_merges_them(layers: list[dict[str, JsonValue]]) -> None:
    assert merge(*layers) == merge_config(*layers)


def test_leaves_are_pointers() -> None:
    assert leaves({"a": {"b/c": 1, "d~": {}}, "e": []}) == ["/a/b~1c", "/a/d~0", "/e"]


def test_the_manifests_are_sound_and_their_defaults_of_the_size_that_is_said() -> None:
    for code in MODULES:
        assert read_manifest(manifest(code)).code == code
    assert len(str(DEFAULTS)) in range(400, 800)
    assert (len(ASSIGNED), set(ASSIGNED) & set(ASSIGNABLE)) == (10, set())


def test_nobody_is_in_two_pools() -> None:
    tenants = [Tenant(id=str(number), header=b"") for number in range(1000)]
    pools = pools_of(tenants, cold=("nested", "three-tier"), writers=("a", "b"), mixers=("a",))
    parts = [pools.hot, *pools.cold.values(), *pools.written.values(), *pools.mixed.values()]
    ids = [each.id for part in parts for each in part]
    assert len(ids) == len(set(ids))
    assert [len(part) for part in parts] == [100, 350, 350, 75, 75, 50]


def test_a_module_is_assigned_to_each_once_and_to_all_before_any_gets_a_second() -> None:
    tenants = [Tenant(id=name, header=b"") for name in ("x", "y")]
    requests = list(assignments(tenants, has_token=False))
    assert len(requests) == len(set(requests)) == 2 * len(ASSIGNABLE)
    assert all(ASSIGNABLE[0].encode() in each for each in requests[:2])


def test_one_request_in_ten_of_the_mixture_writes() -> None:
    tenants = [Tenant(id=name, header=b"") for name in ("x", "y")]
    requests = list(mixture(tenants, has_token=False, seed=1))
    writes = [number for number, each in enumerate(requests, start=1) if b"assignModule" in each]
    assert writes == list(range(WRITES_IN, len(requests) + 1, WRITES_IN))
    assert len(writes) == 2 * len(ASSIGNABLE)
