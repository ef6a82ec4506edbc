"""Before anything is measured: everybody answers the same, and writes the same rows."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import orjson

from bench.compare.data import ASSIGNABLE
from bench.compare.load import ERROR, WrongAnswer
from bench.compare.operations import ASSIGN, READS, Tenant, request_of
from bench.compare.world import MODPLANE, PEERS, World

SAMPLE = 100
# What can't be equal: ids, clocks and traces. Organizations are each writer's own, and replaced by a word below.
WRITTEN = {
    "tenant_modules": "SELECT to_jsonb(t) - '{assigned_at,updated_at,config_sources}'::text[] FROM tenant_modules t"
    " WHERE organization_id = $1 AND revision > 26",
    "sources": "SELECT jsonb_object_agg(key, value - 'set_at') FROM tenant_modules t, jsonb_each(t.config_sources)"
    " WHERE organization_id = $1 AND t.revision > 26",
    "event_log": "SELECT to_jsonb(e) - '{id,occurred_at,time,traceparent}'::text[]"
    " #- '{payload,payload,assignment,assigned_at}' FROM event_log e WHERE organization_id = $1",
    "org_revision": "SELECT to_jsonb(r) FROM org_revision r WHERE organization_id = $1",
}


async def check_reads(
    found: World, tenants: Sequence[Tenant], *, names: Sequence[str] = (MODPLANE, *PEERS)
) -> dict[str, bytes]:
    """The product's own answers of the last tenant. Raises WrongAnswer when anybody answers anything else.

    Peers keep nothing, so that after writes this also says whether what the product keeps is still right.
    """
    kept: dict[str, bytes] = {}
    for operation in READS:
        for tenant in tenants[:SAMPLE]:
            bodies = await asyncio.gather(*(_ask(found, name, operation, tenant) for name in names))
            kept[operation] = bodies[0]
            _compare(operation, names, bodies)
    return kept


async def check_writes(found: World) -> None:
    """One assignment by each, to an organization of its own; answers and rows are compared."""
    module = ASSIGNABLE[-1]
    tenants = {name: found.pools.written[name][-1] for name in (MODPLANE, *PEERS)}
    bodies = [await _ask(found, name, ASSIGN, tenant, module) for name, tenant in tenants.items()]
    _compare(ASSIGN, list(tenants), bodies)
    rows = [await _rows(found.connection, tenant.id) for tenant in tenants.values()]
    for name, theirs in zip(tenants, rows, strict=True):
        if theirs != rows[0]:
            raise WrongAnswer(f"{name} writes other rows: {theirs}\nand not {rows[0]}")


async def _rows(connection: asyncpg.Connection, organization: str) -> dict[str, Any]:
    found = {table: [row[0] for row in await connection.fetch(query, organization)] for table, query in WRITTEN.items()}
    return {table: [orjson.loads(text.replace(organization, "?")) for text in texts] for table, texts in found.items()}


async def _ask(found: World, name: str, operation: str, tenant: Tenant, module: str = "") -> bytes:
    variant = found.variants[name]
    reader, writer = await asyncio.open_connection("127.0.0.1", variant.target.ports[0])
    try:
        writer.write(request_of(operation, tenant, has_token=variant.has_token, module=module))
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return await reader.readexactly(int(length.partition(b":")[2]))
    finally:
        writer.close()


def _compare(operation: str, names: Sequence[str], bodies: Sequence[bytes]) -> None:
    answers = [orjson.loads(body)["data"] for body in bodies]
    for name, body, answer in zip(names, bodies, answers, strict=True):
        if ERROR in body or answer != answers[0]:
            raise WrongAnswer(f"{operation}: {name} answers {body[:1500]!r}\nand not {bodies[0][:1500]!r}")
