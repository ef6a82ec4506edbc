"""A new module keeps the contract; one that breaks it is told which part."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from modplane_sdk.rendering import CannotRender, render

from federation.check import Candidate, inspect

ROOT = Path(__file__).parents[2]
NAMES = re.compile(r"^(?:FAILED|ERROR) \S+::(\w+)", flags=re.MULTILINE)
APP = ("__init__", "events", "hooks", "main", "schema", "store")
TREE = {
    *(f"backend/app/{name}.py" for name in APP),
    *(f"docs/{name}.md" for name in ("API", "CUSTOMIZATION", "SETUP")),
    *("backend/locales/en.json", "backend/tests/test_items.py", "frontend/README.md", "kubernetes/deployment.yaml"),
    *("scripts/register.sh", ".gitignore", "Makefile", "README.md", "manifest.json", "pyproject.toml"),
}


def run_sdk(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "sdk/src"), "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", "modplane_sdk", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    render("invoice-archive", tmp_path / "module")
    return tmp_path / "module"


def test_a_new_module_has_a_whole_repository_and_its_tests_pass(module: Path) -> None:
    made = sorted(path.relative_to(module).as_posix() for path in module.rglob("*") if path.is_file())
    assert made == sorted(TREE)
    assert "@@" not in "".join((module / path).read_text() for path in made)
    ran = run_sdk(module / "backend", "test", "app.main:service")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"\b12 passed\b", ran.stdout), ran.stdout


def test_the_platform_takes_its_sdl(module: Path) -> None:
    printed = run_sdk(module / "backend", "sdl", "app.main:service")
    candidate = Candidate(
        module="invoice-archive", sdl=printed.stdout, routing_url="https://module.example.com/graphql"
    )
    findings, stamped = inspect(candidate, (ROOT / "schema.graphql").read_text())
    assert findings == ()
    assert stamped is not None
    assert '@policy(policies: [["module:invoice-archive"]])' in stamped


# file, what is replaced by what, and the only test that has to notice it
BREACHES = {
    "a read that names no tenant": (
        "backend/app/store.py",
        "found.get(key) for key in keys",
        "next((item for (_, known), item in found.items() if known == key[1]), None) for key in keys",
        "test_another_tenant_sees_nothing",
    ),
    "a statement for each": (
        "backend/app/store.py",
        "found = {(item",
        "self.statements += len(keys)\n        found = {(item",
        "test_many_entities_cost_as_many_statements_as_one",
    ),
    "no entitlement on a field": (
        "backend/app/schema.py",
        '@strawberry.field(extensions=[RequiresModule(MODULE)], description="Of your own organization.")',
        "@strawberry.field",
        "test_who_has_not_got_the_module_gets_null_and_the_reason",
    ),
    "no entitlement on an entity": (
        "backend/app/schema.py",
        "        require_module(MODULE)  # another module's field may lead here\n",
        "",
        "test_an_entity_is_refused_without_the_module_too",
    ),
    "a gated field that is not nullable": (
        "backend/app/schema.py",
        "    @strawberry.field(extensions=[RequiresModule(MODULE)])\n"
        "    async def invoice_archive_items(self, info: strawberry.Info) -> list[InvoiceArchiveItem] | None:",
        "    @strawberry.field\n"
        "    async def invoice_archive_items(self, info: strawberry.Info) -> list[InvoiceArchiveItem]:",
        "test_the_sdl_would_be_taken",
    ),
    "unwell": (
        "backend/app/main.py",
        "    hooks=hooks,",
        "    hooks=hooks,\n    is_healthy=lambda: __import__('asyncio').sleep(0, result=False),",
        "test_it_says_that_it_is_well",
    ),
}


def test_each_breach_is_noticed_by_its_own_test(module: Path) -> None:
    """All in one run, for a run takes seconds: as many breaches as failing tests, and none for a second reason."""
    for path, old, new, _ in BREACHES.values():
        text = (module / path).read_text()
        assert text.count(old) == 1, f"{old!r} is not in {path}"
        (module / path).write_text(text.replace(old, new))
    ran = run_sdk(module / "backend", "test", "app.main:service")
    assert sorted(NAMES.findall(ran.stdout)) == sorted(test for *_, test in BREACHES.values()), ran.stdout


def test_a_manifest_that_is_wrong_stops_everything_and_says_where(module: Path) -> None:
    manifest = module / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"invoice-archive:items:read"', '"hr:read"'))
    ran = run_sdk(module / "backend", "manifest", "app.main:service")
    assert ran.returncode == 1
    assert "/permissions/0: A permission of invoice-archive begins with" in ran.stderr


@pytest.mark.parametrize("code", ["Billing", "1st", "a", "billing-", "in--voice", "../x"])
def test_a_code_that_is_none_makes_nothing(code: str, tmp_path: Path) -> None:
    with pytest.raises(CannotRender):
        render(code, tmp_path / "module")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(module: Path) -> None:
    before = (module / "manifest.json").read_text()
    with pytest.raises(CannotRender, match="not empty"):
        render("another", module)
    assert (module / "manifest.json").read_text() == before


def test_a_service_that_is_none_is_named(module: Path) -> None:
    ran = run_sdk(module / "backend", "sdl", "app.main:nothing")
    assert (ran.returncode, "app.main:nothing" in ran.stderr) == (2, True)


def test_a_service_without_a_key_says_how_to_get_one(module: Path) -> None:
    ran = run_sdk(module / "backend", "run", "app.main:service")
    assert ran.returncode == 1
    assert "set MODPLANE_API_KEY, or MODPLANE_API_KEY_FILE" in ran.stderr
