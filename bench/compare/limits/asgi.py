"""The limit of an HTTP answer in Python: /fixed/<operation> answers bytes from memory, /redis/<operation> from Redis.

No parsing, no routing, no GraphQL, no token: what no server under uvicorn can be cheaper than.
"""

import os
from pathlib import Path
from typing import Any

from redis.asyncio import Redis, from_url

ANSWERS = {path.stem: path.read_bytes() for path in Path(os.environ["BENCH_ANSWERS"]).glob("*.json")}
redis: Redis = from_url(os.environ["REDIS_URL"])


async def app(scope: Any, receive: Any, send: Any) -> None:
    _, kind, operation = scope["path"].split("/")
    body: Any = ANSWERS[operation] if kind == "fixed" else await redis.get(f"bench:{operation}")
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
