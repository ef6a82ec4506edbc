"""The house style, as far as a program can see it. Each rule says on failure which line breaks it."""

import ast
import json
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.migrate import MIGRATIONS
from models.base import Base
from tests.architecture.source import (
    BESIDES,
    ROOMS,
    ROOT,
    calls_of,
    environment_reads,
    functions,
    sources,
    strings,
)

CODE = (*sorted(ROOMS), "migrations")
FILE_LINES_MAX, TEST_LINES_MAX, FUNCTION_LINES_MAX = 300, 500, 70
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "base_service"}
# the session's commit, and an offset's, which is Kafka's and not the database's
COMMITTING = {"commands/transaction.py": 1, "events/group_member.py": 1}
READS_ENVIRONMENT = ("app/settings.py", "app/embedded/")


def test_files_stay_short() -> None:
    too_long = {
        source.path: source.line_count
        for source in (*sources(*CODE), *sources("tests"))
        if source.line_count > (TEST_LINES_MAX if source.path.startswith("tests/") else FILE_LINES_MAX)
    }
    assert too_long == {}


def test_functions_stay_short() -> None:
    too_long = [
        f"{source.path}:{function.lineno} {function.name}"
        for source in sources(*CODE)
        for function in functions(source.tree)
        if (function.end_lineno or 0) - function.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert too_long == []


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    vague = [
        source.path
        for source in (*sources(*CODE), *sources("tests"))
        if VAGUE & set(source.path.removesuffix(".py").split("/"))
    ]
    assert vague == []


def test_only_the_transaction_commits() -> None:
    found = {source.path: len(lines) for source in sources(*CODE) if (lines := calls_of(source.tree, "commit"))}
    assert found == COMMITTING


def test_only_settings_and_the_embedded_servers_read_the_environment() -> None:
    reading = [
        f"{source.path}:{line}"
        for source in sources(*CODE)
        for line in environment_reads(source.tree)
        if not source.path.startswith(READS_ENVIRONMENT)
    ]
    assert reading == []


def test_every_folder_of_python_is_a_room_that_is_known() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    folders = {path.split("/")[0] for path in listed.stdout.splitlines()}
    assert folders >= ROOMS
    assert folders - ROOMS - BESIDES == set()


def test_no_room_imports_what_is_beside_the_house() -> None:
    imported = [
        f"{source.path}: {name}"
        for source in sources(*sorted(ROOMS))
        for node in ast.walk(source.tree)
        for name in _imported(node)
        if name.split(".")[0] in BESIDES
    ]
    assert imported == []


def test_packages_hold_nothing_themselves() -> None:
    speaking = [source.path for source in sources(*CODE) if source.path.endswith("__init__.py") and source.text]
    assert speaking == []


def test_no_module_or_industry_of_a_pack_is_named_in_code() -> None:
    names = pack_names()
    assert len(names) > 20
    named = [f"{source.path}: {text!r}" for source in sources(*CODE) for text in strings(source.tree) if text in names]
    assert named == []


def test_every_module_says_what_it_holds() -> None:
    silent = [
        source.path
        for source in sources(*CODE)
        if source.text and not source.path.startswith("migrations/env") and not ast.get_docstring(source.tree)
    ]
    assert silent == []


def test_rows_have_no_relationships_that_could_load_lazily() -> None:
    for source in sources("models"):
        import_module(source.path.removesuffix(".py").replace("/", "."))
    mappers = list(Base.registry.mappers)
    assert len(mappers) >= 10
    lazy = [
        f"{mapper.class_.__name__}.{relationship.key}"
        for mapper in mappers
        for relationship in mapper.relationships
        if relationship.lazy != "raise"
    ]
    assert lazy == []


def test_every_migration_can_be_taken_back() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())
    assert scripts
    for script in scripts:
        (downgrade,) = [
            function for function in functions(ast.parse(Path(script.path).read_text())) if function.name == "downgrade"
        ]
        assert not isinstance(downgrade.body[-1], ast.Pass | ast.Raise), script.path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import os\nx = os.environ['A']", [2]),
        ("import os\nx = os.getenv('A')", [2]),
        ("from os import environ", [1]),
        ("x = settings.environment", []),
    ],
)
def test_reading_the_environment_is_noticed(text: str, found: list[int]) -> None:
    assert environment_reads(ast.parse(text)) == found


def test_commits_and_strings_are_noticed() -> None:
    tree = ast.parse(
        '"""billing"""\nasync def f(s):\n    """hr"""\n    await s.commit()\n    return ["crm", "leave"]\n'
    )
    assert calls_of(tree, "commit") == [4]
    assert strings(tree) == ["crm", "leave"]


def pack_names() -> set[str]:
    """The codes of every module and industry that a shipped pack names."""
    packs = [json.loads(path.read_text()) for path in sorted((ROOT / "fixtures").glob("*.json"))]
    modules = {module["manifest"]["name"] for pack in packs for module in pack["modules"]}
    return modules | {industry["code"] for pack in packs for industry in pack["industries"]}


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def test_no_resolver_asks_for_its_path() -> None:
    """A plan has one info for all objects of a field, and so no path: graphql-core would have to run the field again,
    which a mutation's must never be."""
    asking = [
        f"{source.path}:{node.lineno}"
        for source in sources("graph", "resolvers", "subscriptions")
        if not source.path.startswith(("graph/plan/", "graph/planned.py"))
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "path"
        and isinstance(node.value, ast.Name)
        and node.value.id == "info"
    ]
    assert asking == []
