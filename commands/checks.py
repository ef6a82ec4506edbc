"""Checks that several commands make on plain input. Never reads anything."""

from auth.actor import Actor
from rules.errors import InvalidInput, NotFound, Problem, Refusal

NAME_MAX, TEXT_MAX, LIST_MAX = 200, 4000, 100


def checked_name(name: str, *, field: str = "name") -> str:
    """A name for people: not empty, bounded, on one line."""
    trimmed = name.strip()
    if not trimmed or len(trimmed) > NAME_MAX or any(ord(letter) < 32 for letter in trimmed):
        message = f"{field} must have 1 to {NAME_MAX} characters on one line"
        raise Refusal(InvalidInput(message=message, path=("input", field)))
    return trimmed


def check_text(text: str | None, *, field: str) -> list[Problem]:
    if text is not None and (len(text) > TEXT_MAX or "\0" in text):
        return [InvalidInput(message=f"{field} is longer than {TEXT_MAX} characters", path=("input", field))]
    return []


def check_keeps(actor: Actor, code: str, *, path: tuple[str, ...] = ("input", "module")) -> None:
    """Refuse a module's service another module, in the words that are said of one there is not."""
    if not actor.may_keep_module(code):
        raise Refusal(no_module(code, path=path))


def no_module(code: str, *, path: tuple[str, ...] = ("input", "module")) -> NotFound:
    return NotFound(message=f"no module {code[:100]!r}", path=path)
