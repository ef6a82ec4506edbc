"""The shipped packs: what the documents fix about them, and that the rules take them."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from rules.config_merge import merge_config
from rules.config_schema import check_merged
from rules.dependency_resolution import Catalog, CatalogModule, Planned, Release, plan_assignment, plan_unassignment
from rules.json_values import content_hash
from rules.manifest import Manifest, read_manifest
from rules.release_check import check_release
from rules.version_range import newest_first

FIXTURES = Path(__file__).parents[2] / "fixtures"
PACKS = ("erp", "commerce", "financial")

# capability 20, word for word
INDUSTRIES = """
Technology: projects crm hr finance products
Manufacturing: projects inventory finance hr crm
Retail: inventory crm finance products contact
Healthcare: hr finance crm projects contact
Finance: finance crm hr projects
Construction: projects finance hr inventory crm
Professional Services: projects crm finance hr career
Education: hr finance projects crm career
"""
ERP = "projects hr finance crm inventory products contact career portfolio attendance leave"
TIERS = {
    "CORE": "core tenancy cms customers",
    "OPTIONAL": "payments billing inventory orders marketplace analytics messaging",
    "INTERNAL": "dev-tools monitoring",
}


def pack(name: str) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads((FIXTURES / f"{name}.json").read_bytes())
    return content


def manifests(name: str) -> dict[str, Manifest]:
    return {entry["manifest"]["name"]: read_manifest(entry["manifest"]) for entry in pack(name)["modules"]}


def catalog(*names: str) -> Catalog:
    """As seeding the packs one after the other makes it; every release is checked as it comes."""
    tiers: dict[str, str] = {}
    releases: dict[str, dict[str, Release]] = {}
    known: dict[str, CatalogModule] = {}
    for name in names:
        entries = {entry["manifest"]["name"]: entry["tier"] for entry in pack(name)["modules"]}
        for code, manifest in manifests(name).items():
            tiers[code] = entries[code]
            releases.setdefault(code, {})[manifest.version] = Release(code, manifest.version, manifest.requirements)
            versions = newest_first(releases[code])
            known[code] = CatalogModule(code, tiers[code], True, tuple(releases[code][number] for number in versions))
            assert check_release(known, releases[code][manifest.version], tiers[code]) == []
    return known


@pytest.mark.parametrize("name", PACKS)
def test_every_pack_has_the_same_shape(name: str) -> None:
    content = pack(name)

    assert content.keys() == {"pack", "description", "modules", "industries"}
    assert content["pack"] == name
    for entry in content["modules"]:
        assert entry.keys() == {"manifest", "tier", "visibility"}
        assert entry["tier"] in ("CORE", "OPTIONAL", "INTERNAL")
        assert entry["visibility"] in ("PUBLIC", "SHARED", "PRIVATE")
    for industry in content["industries"]:
        assert industry.keys() == {"code", "name", "description", "modules"}
        for row in industry["modules"]:
            assert row.keys() == {"module", "isRequired", "defaultConfig", "displayOrder"}


@pytest.mark.parametrize("name", PACKS)
def test_every_manifest_is_in_order_and_its_defaults_are_a_whole_configuration(name: str) -> None:
    entries = {entry["manifest"]["name"]: entry for entry in pack(name)["modules"]}
    for code, manifest in manifests(name).items():
        assert manifest.config_schema is not None
        assert check_merged(manifest.config_schema, manifest.default_config) == []
        assert manifest.default_config.keys() == manifest.config_schema["properties"].keys()  # type: ignore[union-attr]
        assert manifest.service_name
        assert manifest.api_endpoint == f"/api/v1/{code}"
        assert manifest.metadata.keys() == {"icon", "color"}
        assert re.fullmatch("#[0-9a-f]{6}", str(manifest.metadata["color"]))
        assert manifest.is_core == (entries[code]["tier"] == "CORE")
        assert manifest.is_internal == (entries[code]["tier"] == "INTERNAL")


def test_the_eleven_business_modules() -> None:
    modules = pack("erp")["modules"]

    assert " ".join(entry["manifest"]["name"] for entry in modules) == ERP
    assert Counter((entry["tier"], entry["visibility"]) for entry in modules) == {("OPTIONAL", "PUBLIC"): 11}
    assert {manifest.category for manifest in manifests("erp").values()} == {"Core", "Industry-Specific"}
    # so that an industry gives exactly the modules it lists
    assert all(manifest.requirements == () for manifest in manifests("erp").values())
    assert all(manifest.subscription_tier == "free" for manifest in manifests("erp").values())


def test_the_eight_industries() -> None:
    industries = pack("erp")["industries"]
    listed = [f"{i['name']}: {' '.join(row['module'] for row in i['modules'])}" for i in industries]

    assert listed == INDUSTRIES.strip().splitlines()
    assert " ".join(industry["code"] for industry in industries) == (
        "tech manufacturing retail healthcare finance construction professional-services education"
    )
    assert sum(len(industry["modules"]) for industry in industries) == 39
    for industry in industries:
        rows = industry["modules"]
        assert [row["displayOrder"] for row in rows] == list(range(1, len(rows) + 1))
        assert [row["isRequired"] for row in rows] == [True, True] + [False] * (len(rows) - 2)


def test_what_an_industry_presets_is_valid_in_each_version_of_its_module() -> None:
    known = [*manifests("erp").values(), *manifests("commerce").values()]
    presets = 0
    for industry in pack("erp")["industries"]:
        for row in industry["modules"]:
            presets += bool(row["defaultConfig"])
            for manifest in known:
                if manifest.code == row["module"] and manifest.config_schema is not None:
                    merged = merge_config(manifest.default_config, row["defaultConfig"])
                    assert check_merged(manifest.config_schema, merged) == []
    assert presets == 4


def test_the_three_tiers_of_commerce() -> None:
    tiers: dict[str, list[str]] = {}
    for entry in pack("commerce")["modules"]:
        tiers.setdefault(entry["tier"], []).append(entry["manifest"]["name"])

    assert {tier: " ".join(codes) for tier, codes in tiers.items()} == TIERS
    assert pack("commerce")["industries"] == []


def test_what_commerce_modules_need() -> None:
    required = {
        code: [requirement.module for requirement in manifest.requirements if not requirement.is_optional]
        for code, manifest in manifests("commerce").items()
    }
    billing = manifests("commerce")["billing"]

    assert {code: needs for code, needs in required.items() if needs} == {
        "billing": ["payments"],
        "orders": ["payments"],
        "marketplace": ["inventory"],
    }
    assert billing.subscription_tier == "premium"
    assert billing.features == ("subscription_management", "billing_history", "invoice_generation")
    assert billing.document["menu_items"] == {
        "ADMIN": ["subscription-tiers", "subscriptions"],
        "VENDOR": ["billing", "invoices"],
    }


def test_the_financial_module() -> None:
    [financial] = manifests("financial").values()

    assert financial.code == "financial"
    assert financial.default_config == {"currency": "USD", "tax_rate": 0, "invoice_prefix": "INV", "payment_terms": 30}
    assert financial.subscription_tier == "free"
    assert financial.config_schema is not None
    merged: dict[str, Any] = {"currency": "EUR", "tax_rate": 0.19, "invoice_prefix": "ACME-DE", "payment_terms": 30}
    assert check_merged(financial.config_schema, merged) == []


def test_no_version_of_a_module_is_in_two_packs_with_different_content() -> None:
    contents: dict[tuple[str, str], set[bytes]] = {}
    tiers: dict[str, set[str]] = {}
    for name in PACKS:
        for entry in pack(name)["modules"]:
            key = (entry["manifest"]["name"], entry["manifest"]["version"])
            contents.setdefault(key, set()).add(content_hash(entry["manifest"]))
            tiers.setdefault(key[0], set()).add(f"{entry['tier']} {entry['visibility']}")

    assert [key for key, found in contents.items() if len(found) > 1] == []
    assert [code for code, found in tiers.items() if len(found) > 1] == []
    assert [number for code, number in contents if code == "inventory"] == ["1.0.0", "1.1.0"]


@pytest.mark.parametrize("names", [("erp",), ("commerce",), ("financial",), PACKS, PACKS[::-1]])
def test_the_packs_can_be_seeded_and_everything_in_them_assigned(names: tuple[str, ...]) -> None:
    known = catalog(*names)

    planned = plan_assignment(known, {}, dict.fromkeys(known))

    assert {p.module: p.version for p in planned} == {code: module.releases[0].number for code, module in known.items()}


def test_dependencies_come_along_and_dependents_go_along() -> None:
    known = catalog(*PACKS)

    assert plan_assignment(known, {}, {"billing": None}) == (
        Planned("payments", "1.0.0", "DEPENDENCY_OF", ("billing",)),
        Planned("billing", "1.0.0", "REQUESTED"),
    )
    # an organization that has the erp pack's inventory keeps it
    assert plan_assignment(known, {"inventory": "1.0.0"}, {"marketplace": None}) == (
        Planned("marketplace", "1.0.0", "REQUESTED"),
    )
    assigned = dict.fromkeys(["payments", "billing", "orders", "analytics"], "1.0.0")
    assert plan_unassignment(known, assigned, "payments") == ("orders", "billing", "payments")
