"""Running a plan: level by level, all resolvers of a level before any of the next."""

from typing import Any

from graph.plan.plan import AbnormalError, Column, Job, PlannedField, Run, Selection
from graph.plan.reading import Known
from graph.plan.shape import ListOf, Waiting, complete, is_awaitable, settle, waiting_in


async def run_plan(run: Run) -> dict[str, Any]:
    """The answer's data. Raises AbnormalError, or what a resolver or a scalar raised; nothing is left running."""
    return await _run_from(run.plan.root, run)


async def read_root(run: Run) -> Any:
    """The value of the only root field, or the exception that came of it: what run_plan_on goes on with."""
    (only,) = run.plan.root.fields
    holder = [_read(only, [run.root_value], run)]
    await settle(waiting_in(holder))
    if type(holder[0]) is not list:
        return holder[0]  # of a batch
    await settle(waiting_in(holder[0]))
    return holder[0][0]


async def run_plan_on(value: Any, run: Run) -> dict[str, Any]:
    """The same as run_plan, of a plan whose only root field has been read."""
    (only,) = run.plan.root.fields
    known = PlannedField(key=only.key, reading=Known(value), shape=only.shape)
    return await _run_from(Selection.of((known,)), run)


async def _run_from(root: Selection, run: Run) -> dict[str, Any]:
    (data,) = run.answer(root, [run.root_value])
    while run.jobs:
        level, run.jobs = run.jobs, []
        await _run_level(level, run)
    return data


async def _run_level(level: list[Job], run: Run) -> None:
    # for each job a column, or what will be one, for each of its fields
    read = [[_read(field, job.sources, run) for field in job.selection.fields] for job in level]
    resolved = [
        (columns, place, field)
        for job, columns in zip(level, read, strict=True)
        for place, field in job.selection.waiting
    ]
    if resolved:
        await _settle(resolved)
    for job, columns in zip(level, read, strict=True):
        _write(job, columns, run)


async def _settle(resolved: list[tuple[list[Any], int, PlannedField]]) -> None:
    # a batch is awaited whole, other resolvers value by value
    waiting: list[Waiting] = []
    for columns, place, _ in resolved:
        column = columns[place]
        if type(column) is list:
            waiting += waiting_in(column)
        elif is_awaitable(type(column)):
            waiting.append((columns, place, column))
    if waiting:
        await settle(waiting)
    # what answers with a list may have left its items to be awaited: entities do
    items = [
        each
        for columns, place, field in resolved
        if isinstance(field.shape, ListOf) and type(columns[place]) is list
        for several in columns[place]
        if type(several) is list
        for each in waiting_in(several)
    ]
    if items:
        await settle(items)


def _read(field: PlannedField, sources: Column, run: Run) -> Any:
    """Never raises, so that all that was begun on this level is awaited; the exception is the value instead."""
    try:
        return field.reading.read(sources, run)
    except Exception as error:  # noqa: BLE001 - whatever it is, it makes the run abnormal
        return [error] * len(sources)


def _write(job: Job, columns: list[Any], run: Run) -> None:
    """Fill the rows, key by key in their order. Only now that nothing is under way may anything raise."""
    rows, count = job.rows, len(job.sources)
    for field, column in zip(job.selection.fields, columns, strict=True):
        if type(column) is not list or len(column) != count:
            raise AbnormalError
        key = field.key
        for row, value in zip(rows, complete(field.shape, column, run), strict=True):
            row[key] = value
