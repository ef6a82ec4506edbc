"""What tests do with operations: ask for one, follow it, run and stop workers, stand in their way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from app.migrate import connect_owner
from app.worker import run_worker
from tests.support.platform import Platform

OPERATION = "id kind status done failed total startedAt finishedAt errors { __typename message code path }"
BULK = f"""mutation($input: BulkAssignModulesInput!) {{ bulkAssignModules(input: $input) {{
  operation {{ {OPERATION} }} revision errors {{ __typename message code path }} }} }}"""
FINAL = {"SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED"}
WAITS = (
    "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    " AND query LIKE '%' || $1 || '%')"
)


async def bulk(platform: Platform, modules: list[str], **more: Any) -> Any:
    return (await platform.data(BULK, {"input": {"modules": modules, **more}}))["bulkAssignModules"]


async def read(platform: Platform, operation: str) -> Any:
    query = f"query($id: ID!) {{ operation(id: $id) {{ {OPERATION} }} }}"
    return (await platform.data(query, {"id": operation}))["operation"]


async def finished(platform: Platform, payload: Any) -> Any:
    """The operation of a payload, once it has ended."""
    assert payload["errors"] == []
    async with asyncio.timeout(60):
        while (found := await read(platform, payload["operation"]["id"]))["status"] not in FINAL:
            await asyncio.sleep(0.05)
    return found


async def cancel(platform: Platform, operation: str, **more: Any) -> Any:
    """The payload of cancelOperation."""
    query = f"""mutation($input: CancelOperationInput!) {{ cancelOperation(input: $input) {{
      operation {{ {OPERATION} }} revision errors {{ __typename message code path }} }} }}"""
    return (await platform.data(query, {"input": {"operationId": operation, **more}}))["cancelOperation"]


async def in_chunks_of(platform: Platform, size: int, payload: Any) -> str:
    """The id of an operation that no worker has begun, once it is going to be cut into chunks of this size."""
    operation: str = payload["operation"]["id"]
    async with connected(platform) as connection:
        changed = await connection.execute(
            "UPDATE operations SET request = request || jsonb_build_object('chunk_size', $1::int)"
            " WHERE id = $2 AND status = 'PENDING'",
            size,
            operation,
        )
    assert changed == "UPDATE 1"
    return operation


async def made(platform: Platform, count: int, name: str) -> list[str]:
    """Organizations as sign-up leaves them, their first event left out."""
    async with connected(platform) as connection:
        rows = await connection.fetch(
            "WITH made AS (INSERT INTO organizations(organization_id, name, plan, revision)"
            "  SELECT uuidv7(), $2 || ' ' || n, 'free', 1 FROM generate_series(1, $1) n RETURNING organization_id)"
            " INSERT INTO org_revision(organization_id, rev) SELECT organization_id, 1 FROM made"
            " RETURNING organization_id::text",
            count,
            name,
        )
    return sorted(row[0] for row in rows)


@asynccontextmanager
async def connected(platform: Platform) -> AsyncIterator[asyncpg.Connection]:
    """A raw connection that sees every tenant."""
    connection = await connect_owner(platform.backends.database.admin)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def working(platform: Platform) -> AsyncIterator[asyncio.Task[None]]:
    """A worker in this loop; it is ended as a process ends its roles."""
    task = asyncio.create_task(run_worker(platform.services))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=20)
        assert task.done()


@asynccontextmanager
async def holding(platform: Platform, table: str, organization: str) -> AsyncIterator[asyncpg.Connection]:
    """A transaction that has locked an organization's row of a table. What shall wait for it is asked for within."""
    async with connected(platform) as connection, connection.transaction():
        await connection.fetch(f"SELECT FROM {table} WHERE organization_id = $1 FOR UPDATE", organization)
        yield connection


async def until(connection: asyncpg.Connection, condition: str, *arguments: Any) -> None:
    """Wait until a query's answer is true."""
    async with asyncio.timeout(60):
        while not await connection.fetchval(f"SELECT {condition}", *arguments):
            await asyncio.sleep(0.02)
