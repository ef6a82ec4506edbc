"""The bounded queue of a client: what it holds, when it gives up, and where it begins anew."""

from collections.abc import Sequence

from graphql import GraphQLError
from starlette.requests import HTTPConnection
from strawberry.types.execution import ExecutionResult
from websockets.frames import Frame, Opcode

from app.transport.body import GraphQLRequest
from app.transport.server import text_frame
from app.transport.subscriber import QUEUE_BYTES_MAX, QUEUE_MAX, Result, Subscriber
from graph.context import StreamPosition


class Client(Subscriber):
    """One that reads when it is told to; `given` are the revs it was handed."""

    def __init__(self) -> None:
        request = GraphQLRequest(query="{x}", variables=None, operation_name=None, extensions=None)
        super().__init__(request, actor=None, connection=HTTPConnection({"type": "http"}))
        self.reads = False
        self.given: list[int | None] = []

    @property
    def is_writable(self) -> bool:
        return self.reads

    def write(self, result: Result) -> None:
        self.given.append(result.rev)

    async def drained(self) -> None:
        """Nothing here waits."""

    def finish(self, errors: Sequence[GraphQLError] | None) -> None:
        """Nothing here ends."""


def result(rev: int, *, size: int = 1) -> Result:
    return Result(ExecutionResult(data={"x": "y" * size}, errors=None), StreamPosition(offered=rev))


def test_who_reads_is_given_each_at_once() -> None:
    client = Client()
    client.reads = True
    for rev in range(1, 4):
        client.offer(result(rev))
        assert (client.given[-1], client.sent, client.cursor) == (rev, rev, f"v1:{rev}")
    assert not client.is_waiting


def test_the_queue_takes_so_many_and_one_more_drops_them_all() -> None:
    client = Client()
    client.reads = True
    client.offer(result(1))
    client.reads = False
    for rev in range(2, QUEUE_MAX + 2):
        client.offer(result(rev))
    assert client.is_waiting
    assert not client.is_behind
    client.offer(result(QUEUE_MAX + 2))
    assert client.is_behind
    client.reads = True
    client.flush()
    client.offer(result(QUEUE_MAX + 3))  # the log is the way on now
    assert (client.given, client.sent, client.cursor) == ([1], 1, "v1:1")


def test_the_queue_keeps_its_order() -> None:
    client = Client()
    for rev in range(1, QUEUE_MAX + 1):
        client.offer(result(rev))
    client.reads = True
    client.flush()
    client.offer(result(QUEUE_MAX + 1))
    assert client.given == list(range(1, QUEUE_MAX + 2))


def test_the_queue_is_bounded_in_bytes_and_takes_one_of_any_size() -> None:
    client = Client()
    client.offer(result(1, size=QUEUE_BYTES_MAX * 2))
    assert not client.is_behind
    client.offer(result(2))
    assert client.is_behind
    other = Client()
    for rev in range(1, 4):
        other.offer(result(rev, size=QUEUE_BYTES_MAX // 3 - 100))
    assert not other.is_behind
    other.offer(result(4, size=400))
    assert other.is_behind


def test_what_is_held_goes_out_from_the_floor_on() -> None:
    client = Client()
    client.reads = True
    client.hold()
    for rev in range(3, 7):
        client.offer(result(rev))
    assert (client.given, client.is_waiting) == ([], True)
    client.release(4)
    client.offer(result(7))
    assert (client.given, client.sent) == ([5, 6, 7], 7)


def test_a_floor_does_not_take_back_what_waits_already() -> None:
    client = Client()
    client.offer(result(1))
    client.offer(result(2))
    client.floor = 2  # it moves to another flow, which may give 2 as well
    client.offer(result(2))
    client.offer(result(3))
    client.reads = True
    client.flush()
    assert client.given == [1, 2, 3]


def test_frames_are_those_of_the_library_at_every_length() -> None:
    for size in (0, 1, 125, 126, 65_535, 65_536, 70_000):
        text = b"x" * size
        assert text_frame(text) == Frame(Opcode.TEXT, text).serialize(mask=False)


def test_a_frame_is_made_once_for_one_operation_id_and_escapes_it() -> None:
    given = result(1)
    assert given.frame("1") is given.frame("1")
    assert given.frame('a"\n\u00e9') == text_frame(
        b'{"id":"a\\"\\n\xc3\xa9","type":"next","payload":{"data":{"x":"y"}}}'
    )


def test_an_event_of_a_stream_has_its_place() -> None:
    assert result(7).chunk() == b'id: v1:7\nevent: next\ndata: {"data":{"x":"y"}}\n\n'
    nowhere = Result(ExecutionResult(data={"x": 1}, errors=None), StreamPosition())
    assert nowhere.chunk() == b'event: next\ndata: {"data":{"x":1}}\n\n'
