"""`modplane-sdk new`: a module's repository, from the files under templates/."""

import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from modplane_sdk.lint import type_prefix

CODE = re.compile(r"[a-z][a-z0-9-]{1,62}")
SUFFIX = ".tmpl"  # so that no tool takes a template for what it will become


class CannotRender(Exception):
    """The text says why."""


def render(code: str, folder: Path) -> list[Path]:
    """The files made, below the folder. Raises CannotRender; nothing that is there is ever written over."""
    if not CODE.fullmatch(code) or code.endswith("-") or "--" in code:
        raise CannotRender(
            f"{code!r}: a module's code has small letters, digits and single dashes, and begins with a letter"
        )
    if folder.exists() and any(folder.iterdir()):
        raise CannotRender(f"{folder} is not empty")
    made = []
    for way, template in sorted(_templates(files("modplane_sdk") / "templates" / "module"), key=lambda each: each[0]):
        path = folder / way.removesuffix(SUFFIX)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(template.read_text(encoding="utf-8"), code), encoding="utf-8")
        if path.suffix == ".sh":
            path.chmod(0o755)
        made.append(path)
    return made


def _filled(text: str, code: str) -> str:
    prefix = type_prefix(code)
    names = {
        "@@code@@": code,
        "@@Prefix@@": prefix,
        "@@prefix@@": prefix[0].lower() + prefix[1:],
        "@@snake@@": code.replace("-", "_"),
        "@@Title@@": code.replace("-", " ").title(),
    }
    for name, value in names.items():
        text = text.replace(name, value)
    return text


def _templates(folder: Traversable, way: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _templates(entry, f"{way}{entry.name}/")
        elif entry.name.endswith(SUFFIX):
            yield f"{way}{entry.name}", entry
