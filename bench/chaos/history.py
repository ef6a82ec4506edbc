"""What clients did and what they were told: one line an operation, judged afterwards. Never holds a judgement."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import orjson

Kind = Literal["assign", "unassign", "configure"]
Outcome = Literal["acknowledged", "refused", "unknown"]


@dataclass
class Operation:
    """One mutation, all its tries included. `unknown`: the last try had no answer, and nobody tried again.

    `events`: how many the acknowledgement promised, the last of them numbered `revision`. `number` is in the
    configuration that a `configure` wrote, and so in its event.
    """

    number: int
    organization: str
    kind: Kind
    key: str
    tries: int = 0
    seconds: float = 0.0  # from the first try to the answer
    outcome: Outcome = "unknown"
    revision: int = 0
    events: int = 0
    message: str = ""
    was_hung: bool = False  # a try had no answer in the time in which the server promises one


@dataclass
class Read:
    """A client that had seen `seen` of an organization asked for its revision, and got `got`."""

    organization: str
    seen: int
    got: int


@dataclass
class Heard:
    """What one subscriber saw of one organization, drops included: revs in the order they came."""

    organization: str
    start: int
    revisions: list[int]
    drops: int = 0


def write_history(path: Path, entries: Iterable[Operation | Read | Heard]) -> None:
    with path.open("wb") as file:
        for entry in entries:
            file.write(orjson.dumps({"what": type(entry).__name__, **asdict(entry)}) + b"\n")
