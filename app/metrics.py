"""`GET /metrics`: the backlog in Prometheus' text format. Read from PostgreSQL, so that it tells of dead processes too.

Never holds a tenant's name or id: who may scrape need not be who may read.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from cache.statistics import Statistics
from graph.context import Services
from queries.backlog import Backlog, load_backlog

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS_MAX = 2.0

Labels = tuple[tuple[str, str], ...]
NO_LABELS: Labels = ()


@dataclass(frozen=True)
class Busyness:
    """What this process is at; everything else is of the whole platform."""

    streams: int
    running: int
    waiting: int
    refused: int
    answers_kept: int = 0
    answers_hits: int = 0
    answers_misses: int = 0


async def exposition(services: Services, busyness: Busyness) -> tuple[int, str]:
    """The status and the text; 503 and a comment when the database does not answer in time."""
    try:
        async with asyncio.timeout(SECONDS_MAX):
            backlog = await load_backlog(services.database)
    except (SQLAlchemyError, OSError, TimeoutError):
        return 503, "# the database does not answer\n"
    return 200, "".join((*_lines(backlog), *_own_lines(busyness), *_values_lines(services.values.statistics)))


def _own_lines(busyness: Busyness) -> Iterator[str]:
    yield from _gauge("modplane_streams_open", "Open streams of this process.", busyness.streams)
    yield from _gauge("modplane_requests_running", "Operations of this process at work.", busyness.running)
    yield from _gauge("modplane_requests_waiting", "Operations that wait to be let in.", busyness.waiting)
    yield from _gauge("modplane_requests_refused_total", "Operations refused as too many.", busyness.refused, "counter")
    yield from _gauge("modplane_answers_kept", "Answers that are kept.", busyness.answers_kept)
    yield from _gauge("modplane_answers_hits_total", "Kept answers sent again.", busyness.answers_hits, "counter")
    yield from _gauge("modplane_answers_misses_total", "Answers made to be kept.", busyness.answers_misses, "counter")


def _values_lines(statistics: Statistics) -> Iterator[str]:
    """Of this process. The hit rate of a family is local + hit + negative over these and miss, old, poisoned, away."""
    counted: dict[Labels, float] = {
        (("family", family), ("outcome", outcome)): number
        for family, outcomes in statistics.snapshot().items()
        for outcome, number in outcomes.items()
    }
    yield from _gauges("modplane_cache_values_total", "What became of values read through Redis.", counted, "counter")


def _lines(backlog: Backlog) -> Iterator[str]:
    yield from _gauge(
        "modplane_outbox_pending", "Events that wait for the relay; counted to a million.", backlog.pending
    )
    yield from _gauge(
        "modplane_outbox_oldest_seconds", "How long the oldest of them has waited.", round(backlog.oldest_seconds, 3)
    )
    yield from _gauge("modplane_outbox_dead_tuples", "Deleted rows not yet vacuumed away.", backlog.dead_tuples)
    yield from _gauge("modplane_operations_open", "Operations pending or running.", backlog.open_operations)
    dead: dict[Labels, float] = {
        (("consumer", consumer), ("status", status)): number
        for (consumer, status), number in backlog.dead_events.items()
    }
    yield from _gauges("modplane_dead_events", "Records set aside.", dead)


def _gauge(name: str, text: str, value: float, kind: str = "gauge") -> Iterator[str]:
    yield from _gauges(name, text, {NO_LABELS: value}, kind)


def _gauges(name: str, text: str, samples: Mapping[Labels, float], kind: str = "gauge") -> Iterator[str]:
    yield f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
    for labels, value in samples.items():
        shown = ",".join(f'{label}="{_escaped(content)}"' for label, content in labels)
        yield f"{name}{{{shown}}} {value}\n" if shown else f"{name} {value}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
