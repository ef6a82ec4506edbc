"""Migrations go up, down and up again, and do nothing when there is nothing to do."""

import asyncio

from sqlalchemy import URL

from app.migrate import head_revision, migrate, role_urls
from tests.conftest import Databases
from tests.database.catalogue import connected, read_schema

TABLES = "SELECT relname, oid, relfilenode, xmin::text FROM pg_class WHERE relkind IN ('r','p','i','I') ORDER BY 1"
LEFT = "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind <> 'i'"


async def test_down_leaves_nothing_and_up_again_gives_the_same(databases: Databases) -> None:
    url = await empty(databases)
    await migrate(url, role_urls(url))
    first = await read_schema(url)
    assert len(first) > 150
    await migrate(url, role_urls(url), revision="base")
    async with connected(url) as connection:
        assert [row[0] for row in await connection.fetch(LEFT)] == ["alembic_version"]
        assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 0
        assert (
            await connection.fetchval("SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace") == 0
        )
        rights = await connection.fetchval("SELECT nspacl::text FROM pg_namespace WHERE nspname = 'public'")
        assert "modplane" not in rights
    await migrate(url, role_urls(url))
    assert await read_schema(url) == first


async def test_migrating_what_is_migrated_touches_nothing(databases: Databases) -> None:
    url = await empty(databases)
    await migrate(url, role_urls(url))
    async with connected(url) as connection:
        before = await connection.fetch(TABLES)
        await migrate(url, role_urls(url))
        await migrate(url, role_urls(url), revision=head_revision())
        assert await connection.fetch(TABLES) == before
        assert await connection.fetchval("SELECT version_num FROM alembic_version") == head_revision()


async def test_two_processes_may_migrate_at_the_same_time(databases: Databases) -> None:
    alone, together = await empty(databases), await empty(databases)
    await migrate(alone, role_urls(alone))
    await asyncio.gather(*(migrate(together, role_urls(together)) for _ in range(3)))
    assert await read_schema(together) == await read_schema(alone)


async def test_going_down_twice_is_going_down_once(databases: Databases) -> None:
    url = await empty(databases)
    await migrate(url, role_urls(url))
    await migrate(url, role_urls(url), revision="base")
    bare = await read_schema(url)
    await migrate(url, role_urls(url), revision="base")
    assert await read_schema(url) == bare


async def empty(databases: Databases) -> URL:
    return await databases.create(template="template0")
