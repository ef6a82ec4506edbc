"""The peers' packages, in exact versions, under target/ and away from the project's own environment."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TARGET = ROOT / "target" / "compare"
NODE, PYTHON = TARGET / "node", TARGET / "python"
LOCKED = ("package.json", "package-lock.json", ".npmrc")
INSTALL_SECONDS = 600


class NotInstalled(Exception):
    """A peer cannot be had here; the text says which and why."""


@dataclass(frozen=True)
class Installed:
    """`node`: the directory with the Node peers and their packages; `python`: the interpreter that has the others'."""

    node: Path
    python: Path


def install() -> Installed:
    """Whatever is not there yet in the locked versions. Raises NotInstalled."""
    return Installed(node=_install_node(), python=_install_python())


def _install_node() -> Path:
    if shutil.which("npm") is None:
        raise NotInstalled("the Node peers need npm")
    NODE.mkdir(parents=True, exist_ok=True)
    for name in LOCKED:
        shutil.copy(HERE / "node" / name, NODE / name)
    _once(NODE, "package-lock.json", ["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"])
    # packages are looked for from where a file lies
    for source in (HERE / "node").glob("*.mjs"):
        shutil.copy(source, NODE / source.name)
    shutil.copy(HERE / "node" / "schema.graphql", NODE / "schema.graphql")
    return NODE


def _install_python() -> Path:
    PYTHON.mkdir(parents=True, exist_ok=True)
    interpreter = PYTHON / "venv" / "bin" / "python"
    if not interpreter.exists():
        _run([sys.executable, "-m", "venv", str(interpreter.parents[1])], PYTHON)
    shutil.copy(HERE / "python" / "requirements.txt", PYTHON / "requirements.txt")
    command = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    _once(PYTHON, "requirements.txt", [*command, "-r", "requirements.txt"])
    return interpreter


def _once(directory: Path, lock: str, command: Sequence[str]) -> None:
    """Run it unless it has been run with this lock."""
    digest, stamp = hashlib.sha256((directory / lock).read_bytes()).hexdigest(), directory / "installed"
    if not stamp.exists() or stamp.read_text() != digest:
        _run(command, directory)
        stamp.write_text(digest)


def _run(command: Sequence[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if done.returncode:
        raise NotInstalled(f"{' '.join(command)}: {done.stderr[-2000:]}")
