"""Node programs as their make targets install them: from their lock, once."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from federation.composer import FOLDER

COMMAND = ("npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts")


def require_composer() -> None:
    require_installed(FOLDER)


def require_installed(folder: Path) -> None:
    """Install it unless it is there; without Node the test is skipped, and with REQUIRE_NODE=1 it fails."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        if os.environ.get("REQUIRE_NODE") == "1":
            pytest.fail("REQUIRE_NODE=1, and there is no Node")
        pytest.skip(f"{folder.name} needs Node")
    lock, installed = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run(COMMAND, cwd=folder, check=True, timeout=110)
        installed.touch()
