"""Connections of the driver itself, for what needs no session."""

from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
import orjson
from sqlalchemy import URL

CONNECT_SECONDS = 5.0
# What the driver raises of a connection that has gone: the second when it goes just as it is used.
GONE = (asyncpg.InterfaceError, asyncpg.InternalClientError)


async def connect_driver(url: URL, settings: Mapping[str, str], *, encoder: Callable[[Any], str]) -> asyncpg.Connection:
    """A new connection, which reads JSON as values. `settings`: of the server; `encoder`: what JSON is written by.

    Raises what the driver raises, and TimeoutError.
    """
    driver = await asyncpg.connect(
        host=url.host,
        port=url.port,
        user=url.username,
        password=url.password,
        database=url.database,
        ssl=url.query.get("ssl"),
        timeout=CONNECT_SECONDS,
        server_settings=dict(settings),
    )
    await driver.set_type_codec("jsonb", schema="pg_catalog", encoder=encoder, decoder=orjson.loads)
    return driver
