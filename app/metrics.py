"""`GET /metrics`: the backlog in Prometheus' text format. Read from PostgreSQL, so that it tells of dead processes too.

Never holds a tenant's name or id: who may scrape need not be who may read.
"""

import asyncio
from collections.abc import Iterator, Mapping

from sqlalchemy.exc import SQLAlchemyError

from graph.context import Services
from queries.backlog import Backlog, load_backlog

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS_MAX = 2.0

Labels = tuple[tuple[str, str], ...]
NO_LABELS: Labels = ()


async def exposition(services: Services, *, streams: int) -> tuple[int, str]:
    """The status and the text; 503 and a comment when the database does not answer in time.

    `streams` is of this process, everything else of the whole platform.
    """
    try:
        async with asyncio.timeout(SECONDS_MAX):
            backlog = await load_backlog(services.database)
    except (SQLAlchemyError, OSError, TimeoutError):
        return 503, "# the database does not answer\n"
    return 200, "".join((*_lines(backlog), *_gauge("modplane_streams_open", "Open streams of this process.", streams)))


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


def _gauge(name: str, text: str, value: float) -> Iterator[str]:
    yield from _gauges(name, text, {NO_LABELS: value})


def _gauges(name: str, text: str, samples: Mapping[Labels, float]) -> Iterator[str]:
    yield f"# HELP {name} {text}\n# TYPE {name} gauge\n"
    for labels, value in samples.items():
        shown = ",".join(f'{label}="{_escaped(content)}"' for label, content in labels)
        yield f"{name}{{{shown}}} {value}\n" if shown else f"{name} {value}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
