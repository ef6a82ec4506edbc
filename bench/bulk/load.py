"""What is measured: the operation, tenants' mutations meanwhile, and COPY of the same rows."""

import asyncio
import io
import random
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx

MODULES = ("crm", "hr", "leave")  # of the erp pack; none requires another
PATIENCE_SECONDS = 1800.0
COPIES = 3
BULK = """mutation($modules: [String!]!) { bulkAssignModules(input: {modules: $modules, organizationFilter: {}}) {
  operation { id total } errors { code message } } }"""
RENAME = """mutation($id: ID!, $name: String!) { updateOrganization(input: {organizationId: $id, name: $name}) {
  errors { code } } }"""
NEAR = 500  # organizations beyond what is done, where the next chunks are
PROGRESS = "query($id: ID!) { operation(id: $id) { status done failed total } }"


@dataclass(frozen=True)
class Client:
    url: str
    http: httpx.AsyncClient

    async def ask(self, query: str, variables: dict[str, Any]) -> Any:
        answer = (await self.http.post(self.url, json={"query": query, "variables": variables})).json()
        assert "errors" not in answer, answer
        return answer["data"]


@asynccontextmanager
async def client_of(url: str, token: str) -> AsyncIterator[Client]:
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=30) as http:
        yield Client(url, http)


async def assign(client: Client, organizations: int, operation: asyncio.Future[str]) -> float:
    """Seconds from asking until the operation has succeeded, as a client sees it."""
    begun = time.monotonic()
    payload = (await client.ask(BULK, {"modules": list(MODULES)}))["bulkAssignModules"]
    assert payload["errors"] == [], payload
    assert payload["operation"]["total"] == organizations
    operation.set_result(payload["operation"]["id"])
    found = {"status": "PENDING"}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while found["status"] in ("PENDING", "RUNNING"):
            await asyncio.sleep(0.1)
            found = (await client.ask(PROGRESS, {"id": payload["operation"]["id"]}))["operation"]
    seconds = time.monotonic() - begun
    assert found == {"status": "SUCCEEDED", "done": organizations, "failed": 0, "total": organizations}, found
    return seconds


async def rename(client: Client, ids: list[str], operation: asyncio.Future[str]) -> dict[str, float]:
    """Rename organizations that a chunk has just locked or is about to, one after the other, while the operation runs.

    Seconds each one took at the median, the 99th percentile and the worst; how many were told to try again.
    """
    waits: list[float] = []
    refused, found = 0, dict[str, Any](status="PENDING", done=0)
    while found["status"] in ("PENDING", "RUNNING"):
        each = ids[min(found["done"] + random.randrange(2 * NEAR), len(ids) - 1)]
        begun = time.monotonic()
        payload = (await client.ask(RENAME, {"id": each, "name": f"Renamed {len(waits)}"}))["updateOrganization"]
        waits.append(time.monotonic() - begun)
        refused += bool(payload["errors"])
        found = (await client.ask(PROGRESS, {"id": await operation}))["operation"]
    waits.sort()
    return {
        "mutations": len(waits),
        "refused": refused,
        "median": waits[len(waits) // 2],
        "p99": waits[len(waits) * 99 // 100],
        "worst": waits[-1],
    }


async def copied(connection: asyncpg.Connection) -> tuple[float, float]:
    """Median seconds of a COPY of the same rows into the same table, empty: with its foreign keys, and without."""
    rows = io.BytesIO()
    await connection.copy_from_query("SELECT * FROM tenant_modules", output=rows, format="binary")
    await connection.execute("CREATE TABLE copied (LIKE tenant_modules INCLUDING ALL)")
    bare = await _copy(connection, rows)
    keys = await connection.fetch(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'tenant_modules'::regclass"
        " AND contype = 'f'"
    )
    for (definition,) in keys:
        await connection.execute(f"TRUNCATE copied; ALTER TABLE copied ADD {definition}")
    assert len(keys) == 3
    return await _copy(connection, rows), bare


async def _copy(connection: asyncpg.Connection, rows: io.BytesIO) -> float:
    taken = []
    for _ in range(COPIES):
        await connection.execute("TRUNCATE copied")
        await connection.execute("CHECKPOINT")
        rows.seek(0)
        begun = time.monotonic()
        await connection.copy_to_table("copied", source=rows, format="binary")
        taken.append(time.monotonic() - begun)
    return statistics.median(taken)
