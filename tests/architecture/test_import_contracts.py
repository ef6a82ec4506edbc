"""Who may import whom: the contracts of pyproject.toml hold, and each of them notices when it is broken."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.architecture.source import ROOMS, ROOT

# contract -> a line that breaks it, and the file to plant it in
PLANTED = {
    "Rooms only look down": ("queries/page.py", "import commands.request"),
    "Rules are pure": ("rules/slug.py", "import sqlalchemy"),
    "GraphQL and HTTP stay at the edge": ("events/topics.py", "import strawberry"),
    "Resolvers never touch tables": ("resolvers/manifest.py", "import models.module"),
    "Types never write": ("graph/types/module.py", "import commands.assignment"),
    "Commands never run commands": ("commands/config.py", "import commands.organization"),
    "Only app reads settings": ("auth/tokens.py", "import app.settings"),
}


def lint(folder: Path) -> tuple[int, dict[str, str]]:
    """The exit code of import-linter, and each contract's verdict."""
    program = Path(sys.executable).parent / "lint-imports"
    ran = subprocess.run([program, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    return ran.returncode, dict(re.findall(r"^(.+?) (KEPT|BROKEN)", ran.stdout, flags=re.MULTILINE))


def contract_names() -> list[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]]


def test_every_contract_is_kept() -> None:
    assert lint(ROOT) == (0, dict.fromkeys(contract_names(), "KEPT"))


def test_every_contract_notices_a_breach(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__", "*.html"))
    for path, line in PLANTED.values():
        with (tmp_path / path).open("a") as file:
            file.write(f"\n{line}\n")
    assert sorted(PLANTED) == sorted(contract_names())
    assert lint(tmp_path) == (1, dict.fromkeys(PLANTED, "BROKEN"))
