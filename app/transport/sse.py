"""GraphQL over Server-Sent Events, one operation per connection. Never holds: what the events mean.

Lines end in LF only: there are clients that split events at two LFs and silently see nothing of CRLF streams.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from starlette.types import Receive, Send
from strawberry.types.execution import ExecutionResult

from app.transport import execution
from graph.limits import Limits

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-accel-buffering", b"no"),  # reverse proxies would hold events back to fill their buffers
]
HEARTBEAT = b":\n\n"
COMPLETE = b"event: complete\ndata:\n\n"


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_stream(
    results: AsyncGenerator[ExecutionResult, None],
    *,
    receive: Receive,
    send: Send,
    limits: Limits,
    seconds: float | None,
) -> None:
    """Send every result and `complete`; stop after `seconds` for want of a valid token, at once if nobody listens."""
    pump = asyncio.create_task(_pump(results, send=send, limits=limits))
    gone = asyncio.create_task(wait_for_disconnect(receive))
    expiry = None if seconds is None else asyncio.get_running_loop().time() + seconds
    try:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await _send_chunk(send, HEARTBEAT, limits=limits)
        while not (pump.done() or gone.done()):
            left = None if expiry is None else expiry - asyncio.get_running_loop().time()
            if left is not None and left <= 0:
                await _stop(pump)
                await _send_chunk(send, _next(execution.token_expired()) + COMPLETE, limits=limits)
                break
            timeout = limits.heartbeat_seconds if left is None else min(left, limits.heartbeat_seconds)
            done, _ = await asyncio.wait({pump, gone}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                await _send_chunk(send, HEARTBEAT, limits=limits)
        if pump.done() and not pump.cancelled():
            pump.result()
        if not gone.done():
            await send({"type": "http.response.body", "body": b""})
    except TimeoutError:
        # The client does not read: leaving the response unfinished makes the server drop the connection.
        return
    finally:
        await _stop(pump)
        await _stop(gone)


async def _pump(results: AsyncGenerator[ExecutionResult, None], *, send: Send, limits: Limits) -> None:
    # One task opens, reads and closes the generator: context variables and timeouts inside it need that.
    async with aclosing(results):
        async for result in results:
            await _send_chunk(send, _next(result), limits=limits)
    await _send_chunk(send, COMPLETE, limits=limits)


def _next(result: ExecutionResult) -> bytes:
    return b"event: next\ndata: " + execution.encode(execution.payload(result)) + b"\n\n"


async def _send_chunk(send: Send, chunk: bytes, *, limits: Limits) -> None:
    async with asyncio.timeout(limits.send_seconds):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task
