"""Whether anybody is ever answered with something old: two replicas, writers, a Redis that forgets, dies and hangs.

Two questions. Does whoever sends what it has seen (`X-Min-Revision`) ever get less, whatever happens to Redis? And
while Redis is well, evictions and flushes included, does anybody get less than what was acknowledged before it asked?
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.embedded.supervisor import Endpoints, Supervisor
from app.keys import signing_key
from app.migrate import migrate, role_urls
from bench.chaos.client import Client, Lost
from bench.chaos.faults import frozen, server_on
from bench.chaos.load import SIGN_UP
from bench.compare import servers as start
from bench.compare.data import MODULES, register
from bench.compare.pools import sign
from bench.compare.servers import Servers
from bench.compare.world import admin_token
from models.database import parse_url
from tests.live.servers import port_of

STALENESS = "stale"
ORGANIZATIONS, READERS, WRITERS = 20, 24, 4
WRITE_PAUSE_SECONDS = 0.05
DISTURBANCE_SECONDS = 1.5
FROZEN_SECONDS = 0.4
RECOVERY_SECONDS = 1.0  # after an outage of Redis, until what was owed to it is paid
MODULE = MODULES[0]
ASSIGN = "mutation($i: AssignModuleInput!) { assignModule(input: $i) { revision errors { message } } }"
WRITE = "mutation($i: SetOrganizationConfigInput!) { setOrganizationConfig(input: $i) { revision errors { message } } }"
READ = f'query($id: ID!) {{ organization(id: $id) {{ effectiveConfig(module: "{MODULE}") {{ values }} }} }}'


@dataclass
class Stale:
    """How many were judged, and how many were old."""

    own: int = 0  # by what the client said it had seen
    own_old: int = 0
    any: int = 0  # by what anybody had been told, while Redis was well
    any_old: int = 0
    writes: int = 0
    unanswered: int = 0
    disturbances: Counter[str] = field(default_factory=Counter)

    @property
    def judged(self) -> int:
        return self.own + self.any

    @property
    def old(self) -> int:
        return self.own_old + self.any_old


@dataclass
class Scene:
    ports: tuple[int, int]
    tokens: dict[str, str]
    wanted: int
    acknowledged: dict[str, tuple[int, int]] = field(default_factory=dict)  # by organization: the value, its rev
    outages: int = 0  # grows when one begins, and when it is over
    is_well: bool = True
    found: Stale = field(default_factory=Stale)

    @property
    def is_over(self) -> bool:
        return self.found.judged >= self.wanted


async def staleness(
    directory: Path, endpoints: Endpoints, servers: Servers, supervisor: Supervisor, *, reads: int
) -> Stale:
    """Until so many reads have been judged."""
    owner = parse_url(endpoints.postgres)
    await migrate(owner, role_urls(owner))
    signing_key(directory / "keys")
    ports = (start.modplane(servers, "one", "api").port, start.modplane(servers, "two", "api").port)
    async with Client(ports[0], admin_token(directory)) as client:
        await register(client)
        scene = await _furnish(client, directory, ports, reads)
    async with asyncio.TaskGroup() as tasks:
        disturbing = tasks.create_task(_disturb(scene, endpoints, supervisor))
        writing = [tasks.create_task(_write(scene, number)) for number in range(WRITERS)]
        reading = [tasks.create_task(_read(scene, number)) for number in range(READERS)]
        await asyncio.gather(*reading)
        for each in (disturbing, *writing):
            each.cancel()
    return scene.found


async def _furnish(client: Client, directory: Path, ports: tuple[int, int], reads: int) -> Scene:
    ids = []
    for number in range(ORGANIZATIONS):
        answer = await client.ask(SIGN_UP, {"input": {"name": f"Stale {number}"}})
        ids.append(str(answer["data"]["done"]["organization"]["id"]))
    tokens = {}
    for tenant in sign(ids, directory / "keys"):
        tokens[tenant.id] = tenant.header.decode().partition("Bearer ")[2].strip()
    scene = Scene(ports, tokens, reads)
    for each in ids:
        await client.ask(ASSIGN, {"i": {"organizationId": each, "module": MODULE}})
        scene.acknowledged[each] = await _set(client, each, 0)
    return scene


async def _set(client: Client, organization: str, value: int) -> tuple[int, int]:
    asked = {"organizationId": organization, "module": MODULE, "value": {"general": {"retention": value}}}
    payload = (await client.ask(WRITE, {"i": asked}))["data"]["setOrganizationConfig"]
    if payload["errors"]:
        raise Lost(str(payload["errors"]))
    return value, payload["revision"]


async def _write(scene: Scene, number: int) -> None:
    """A writer has its own organizations: values only grow."""
    mine = sorted(scene.tokens)[number::WRITERS]
    draw = random.Random(number)
    while True:
        organization = draw.choice(mine)
        async with Client(draw.choice(scene.ports), scene.tokens[organization]) as client:
            try:
                value = scene.acknowledged[organization][0] + 1
                scene.acknowledged[organization] = await _set(client, organization, value)
                scene.found.writes += 1
            except (Lost, KeyError, TypeError):
                scene.found.unanswered += 1
        await asyncio.sleep(WRITE_PAUSE_SECONDS)


async def _read(scene: Scene, number: int) -> None:
    draw, found = random.Random(1_000 + number), scene.found
    organizations = sorted(scene.tokens)
    clients = {
        (port, each): Client(port, scene.tokens[each], seconds=10) for port in scene.ports for each in organizations
    }
    try:
        while not scene.is_over:
            organization, is_own = draw.choice(organizations), draw.random() < 0.5
            client = clients[draw.choice(scene.ports), organization]
            value, revision = scene.acknowledged[organization]
            outages, was_well = scene.outages, scene.is_well
            try:
                sent = f"x-min-revision: {revision}\r\n" if is_own else ""
                answer = await client.ask(READ, {"id": organization}, headers=sent)
                seen = answer["data"]["organization"]["effectiveConfig"]["values"]["general"]["retention"]
            except (Lost, KeyError, TypeError):
                found.unanswered += 1
                continue
            if is_own:
                found.own += 1
                found.own_old += seen < value
            elif was_well and outages == scene.outages:
                found.any += 1
                found.any_old += seen < value
    finally:
        for client in clients.values():
            client.drop()


async def _disturb(scene: Scene, endpoints: Endpoints, supervisor: Supervisor) -> None:
    draw = random.Random(7)
    while True:
        await asyncio.sleep(DISTURBANCE_SECONDS)
        kind = draw.choice(["evicted", "evicted", "flushed", "killed", "frozen"])
        scene.found.disturbances[kind] += 1
        if kind in ("evicted", "flushed"):
            await _forget(endpoints.redis, is_whole=kind == "flushed")
            continue
        async with _outage(scene):
            if kind == "killed":
                await asyncio.to_thread(supervisor.restart, "valkey")
            else:
                with frozen(server_on(port_of(endpoints.redis))):
                    await asyncio.sleep(FROZEN_SECONDS)
            await asyncio.sleep(RECOVERY_SECONDS)


@asynccontextmanager
async def _outage(scene: Scene) -> AsyncIterator[None]:
    scene.outages, scene.is_well = scene.outages + 1, False
    try:
        yield
    finally:
        scene.outages, scene.is_well = scene.outages + 1, True


async def _forget(url: str, *, is_whole: bool) -> None:
    async with Redis.from_url(url) as redis:
        try:
            if is_whole:
                await redis.flushall()
                return
            keys = [key async for key in redis.scan_iter("org:*", count=1_000)]
            if keys:
                await redis.unlink(*random.sample(keys, len(keys) // 2 or 1))
        except RedisError:
            return
