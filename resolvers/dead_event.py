"""Query and Mutation fields about dead letters: unpack, call, wrap."""

from uuid import UUID

import strawberry

from commands import dead_event as commands
from graph.context import Info
from graph.guard import Guard
from graph.run import run_command
from graph.types.connection import After, Connection, First, page_request
from graph.types.dead_event import DeadEvent, DeadEventStatus
from graph.types.inputs.dead_event import ReplayDeadEventInput
from graph.types.payload import ReplayDeadEventPayload
from queries import dead_event as queries


@strawberry.type
class DeadEventQueries:
    @strawberry.field(extensions=[Guard("Query")], description="The latest to appear first.")
    async def dead_events(
        self,
        info: Info,
        first: First = 50,
        after: After = None,
        status: DeadEventStatus | None = None,
        consumer: str | None = None,
    ) -> Connection[DeadEvent]:
        name = None if status is None else status.value.lower()
        wanted, request = queries.DeadEventFilter(status=name, consumer=consumer), page_request(first, after)
        async with info.context.reader() as reader:
            page = await queries.list_dead_events(reader, wanted, request)

        async def count() -> int:
            async with info.context.reader() as reader:
                return await queries.count_dead_events(reader, wanted)

        return Connection[DeadEvent].of(page, request, DeadEvent.from_row, count)


@strawberry.type
class DeadEventMutations:
    @strawberry.mutation(
        extensions=[Guard("Mutation")],
        description="Try it again: its consumer does within about a second, and parks it again if it fails."
        " Asked for or replayed already: a success that changes nothing.",
    )
    async def replay_dead_event(self, info: Info, input: ReplayDeadEventInput) -> ReplayDeadEventPayload:
        ran = await run_command(info, commands.replay_dead_event, input.request)
        if ran.outcome is None:
            return ReplayDeadEventPayload(errors=ran.errors, revision=None)
        shows = ran.outcome.shows
        async with info.context.reader() as reader:
            row = await queries.find_dead_event(reader, UUID(shows["event_id"]), shows["consumer"])
        dead_event = None if row is None else DeadEvent.from_row(row)
        return ReplayDeadEventPayload(dead_event=dead_event, errors=[], revision=ran.revision)
