"""What a check has to say about a subgraph, and what it would change of the graph.

Never holds: the checks.
"""

from dataclasses import dataclass
from enum import StrEnum

TEXT_MAX = 2000  # characters: people read it, and somebody's SDL says how long a name is
ELLIPSIS = "…"


class Severity(StrEnum):
    """An ERROR keeps a subgraph out of the graph, a WARNING does not."""

    ERROR = "ERROR"
    WARNING = "WARNING"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or looks it. `line` and `column` count from 1, in the SDL as it was registered."""

    severity: Severity
    code: str  # SCREAMING_SNAKE_CASE: what kind of thing, for programs
    message: str  # a sentence for people
    line: int | None = None
    column: int | None = None
    coordinate: str | None = None  # `Type`, `Type.field`, `Type.field(argument:)` or `@directive`

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", _readable(self.message))
        if self.coordinate is not None:
            object.__setattr__(self, "coordinate", _readable(self.coordinate))


class Criticality(StrEnum):
    """What a change does to clients: some break, some may behave differently, nothing happens to any."""

    BREAKING = "BREAKING"
    DANGEROUS = "DANGEROUS"
    SAFE = "SAFE"


@dataclass(frozen=True)
class Change:
    """One difference between the public schema that is served and the one that would be."""

    criticality: Criticality
    code: str
    path: str  # the coordinate of what changes
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", _readable(self.path))
        object.__setattr__(self, "message", _readable(self.message))


def _readable(text: str) -> str:
    """In a length that is read, and as the database keeps it: without the one character that it does not."""
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - len(ELLIPSIS)] + ELLIPSIS
