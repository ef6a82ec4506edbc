"""Where modules' services run: who says so, how they are probed, and which one is found."""

import asyncio
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import make_url, text
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.embedded.supervisor import Endpoints
from cache.instances import INSTANCES_MAX
from cache.keys import instances_key
from cache.server import connect
from rules.instance import Instance, InstanceStatus, after_probe, healthy
from tests.conftest import Databases, backends_on
from tests.services.services import becomes, call_instance, module_with_key, register_instance, serving, statuses
from tests.support.platform import Platform, running_platform
from tests.support.proxy import proxy
from tests.support.stopwatch import Stopwatch
from tests.support.stories import register, unique

DISCOVER = "query($code: String!) { discoverModule(code: $code) { url version status } }"


@dataclass
class Service:
    """Answers as it is told to; counts how often it was asked."""

    status: int = 200
    asked: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        headers = {"location": "http://127.0.0.1:1/"} if self.status == 302 else {}
        await Response(b"x" * 100_000, status_code=self.status, headers=headers)(scope, receive, send)


async def entry(platform: Platform, servers: Endpoints, module: str, url: str) -> Any:
    redis = connect(servers.redis)
    try:
        raw = await redis.hget(instances_key(module), url)
        return None if raw is None else json.loads(raw)
    finally:
        await redis.aclose()


async def silence(servers: Endpoints, module: str, url: str, *, seconds: float) -> None:
    """As if the instance had not been heard of for so long."""
    redis = connect(servers.redis)
    try:
        raw = await redis.hget(instances_key(module), url)
        assert raw is not None
        said = json.loads(raw)
        said["last_seen"] -= seconds
        await redis.hset(instances_key(module), url, json.dumps(said))
    finally:
        await redis.aclose()


async def test_a_service_says_where_it_runs(platform: Platform, servers: Endpoints) -> None:
    code, key = await module_with_key(platform)
    url = "http://127.0.0.1:9"
    before = datetime.now(UTC)
    shown = await register_instance(platform, key, code, url)
    seen = datetime.fromisoformat(shown.pop("lastSeen"))
    assert abs((seen - before).total_seconds()) < 5
    assert shown == {
        "url": url,
        "healthCheckUrl": f"{url}/health",
        "version": "1.0.0",
        "status": "STARTING",
        "lastCheckedAt": None,
    }
    kept = await entry(platform, servers, code, url)
    assert kept == {
        "url": url,
        "health_check": f"{url}/health",
        "version": "1.0.0",
        "status": "STARTING",
        "failures": 0,
        "last_seen": pytest.approx(seen.timestamp(), abs=0.01),
    }
    payload = await call_instance(platform, "heartbeat", key, module=code, url=url)
    assert payload["errors"] == []
    assert datetime.fromisoformat(payload["instance"]["lastSeen"]) > seen
    payload = await call_instance(platform, "deregister", key, module=code, url=url)
    assert payload == {"instance": None, "revision": None, "errors": []}
    assert await statuses(platform, code) == {}


async def test_who_is_not_known_has_to_register(platform: Platform) -> None:
    code, key = await module_with_key(platform)
    for action in ("heartbeat", "deregister"):
        payload = await call_instance(platform, action, key, module=code, url="http://127.0.0.1:9")
        assert payload["errors"] == [
            {
                "__typename": "NotFoundError",
                "code": "NOT_FOUND",
                "message": f"{code} has no instance http://127.0.0.1:9; register it",
                "path": ["input", "url"],
            }
        ]


async def test_health_has_a_memory_of_one_failure(probing: Platform) -> None:
    code, key = await module_with_key(probing)
    service = Service()
    async with serving(service) as url:
        await register_instance(probing, key, code, url)
        await becomes(probing, code, {url: "HEALTHY"}, seconds=3)
        assert (await probing.data(DISCOVER, {"code": code}, token=key))["discoverModule"] == {
            "url": url,
            "version": "1.0.0",
            "status": "HEALTHY",
        }
        service.status, service.asked = 500, 0
        async with asyncio.timeout(8):
            while not service.asked:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        assert await statuses(probing, code) == {url: "HEALTHY"}
        await becomes(probing, code, {url: "UNHEALTHY"})
        assert service.asked == 2
        assert await probing.code(DISCOVER, {"code": code}) == "MODULE_NOT_AVAILABLE"
        service.status = 204
        await becomes(probing, code, {url: "HEALTHY"})


async def test_a_redirect_is_not_followed_and_no_health(probing: Platform) -> None:
    code, key = await module_with_key(probing)
    async with serving(Service(status=302)) as url:
        await register_instance(probing, key, code, url)
        await becomes(probing, code, {url: "UNHEALTHY"})


async def test_the_silent_are_stale_then_gone(probing: Platform, servers: Endpoints) -> None:
    code, key = await module_with_key(probing)
    async with serving(Service()) as url:
        await register_instance(probing, key, code, url)
        await becomes(probing, code, {url: "HEALTHY"}, seconds=3)
        await silence(servers, code, url, seconds=31)
        assert await statuses(probing, code) == {url: "STALE"}
        assert await probing.code(DISCOVER, {"code": code}) == "MODULE_NOT_AVAILABLE"
        await call_instance(probing, "heartbeat", key, module=code, url=url)
        assert await statuses(probing, code) == {url: "HEALTHY"}
        await silence(servers, code, url, seconds=91)
        assert await statuses(probing, code) == {}
        async with asyncio.timeout(8):
            while await entry(probing, servers, code, url) is not None:
                await asyncio.sleep(0.1)


async def test_what_others_have_written_badly_disturbs_nobody(probing: Platform, servers: Endpoints) -> None:
    code, key = await module_with_key(probing)
    redis = connect(servers.redis)
    bad: Any = {"http://a": b"nonsense", "http://b": b"[]", "http://c": b'{"url": "http://elsewhere"}', b"\xff": b"{}"}
    async with serving(Service()) as url:
        await redis.hset(instances_key(code), mapping=bad)
        await register_instance(probing, key, code, url)
        await becomes(probing, code, {url: "HEALTHY"}, seconds=3)
        await redis.aclose()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"url": "http://10.0.0.1:8000"}, "url"),
        ({"url": "http://169.254.169.254"}, "url"),
        ({"url": "http://[::1]:8000"}, "url"),
        ({"url": "http://2130706433"}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "http://127.0.0.1:9?x=1"}, "url"),
        ({"url": "http://user:secret@127.0.0.1:9"}, "url"),
        ({"url": "nonsense"}, "url"),
        ({"healthCheckUrl": "http://192.168.0.1/health"}, "healthCheckUrl"),
        ({"version": ""}, "version"),
        ({"version": "x" * 65}, "version"),
    ],
)
async def test_where_no_service_may_be(platform: Platform, given: dict[str, str], field: str) -> None:
    code, key = await module_with_key(platform)
    said = {"url": "http://127.0.0.1:9", "version": "1.0.0", "healthCheckUrl": "http://127.0.0.1:9/health", **given}
    payload = await call_instance(platform, "register", key, module=code, **said)
    assert {(each["code"], *each["path"]) for each in payload["errors"]} == {("INVALID_INPUT", "input", field)}
    assert await statuses(platform, code) == {}


async def test_a_modules_instances_are_bounded(platform: Platform) -> None:
    code, key = await module_with_key(platform)
    for number in range(INSTANCES_MAX):
        url = f"http://127.0.0.1:{10_000 + number}"
        assert await platform.services.instances.register(code, url=url, health_check=url, version="1")
    payload = await call_instance(platform, "register", key, module=code, url="http://127.0.0.1:9", version="1")
    assert [each["code"] for each in payload["errors"]] == ["QUOTA"]
    again = await call_instance(platform, "register", key, module=code, url="http://127.0.0.1:10000", version="2")
    assert again["errors"] == []


async def test_many_modules_are_one_question_to_redis(platform: Platform) -> None:
    for _ in range(3):
        await register(platform, unique("many"))
    query = '{ modules(first: 50, filter: {search: "many-"}) { nodes { code instances { url } } } }'
    async with Redis.from_url(platform.backends.redis) as redis, redis.monitor() as seen:
        found = (await platform.data(query))["modules"]["nodes"]
        await redis.echo("that was all")
        asked: list[tuple[str, str]] = []
        while "that was all" not in (told := await seen.next_command())["command"]:
            asked.append((told["client_port"], told["command"]))
    assert [each["instances"] for each in found] == [[], [], []]
    (port,) = {port for port, command in asked if "module:instances:many-" in command}
    pipeline = [command.partition(" ")[0] for each, command in asked if each == port]
    assert pipeline[-4:] == ["TIME", "HGETALL", "HGETALL", "HGETALL"]
    assert pipeline.count("TIME") == 1


async def test_without_redis_there_is_an_answer_and_it_comes_soon(databases: Databases, servers: Endpoints) -> None:
    redis = make_url(servers.redis)
    async with proxy(lambda: redis.port) as between:
        backends = backends_on(await databases.create(), servers)
        away = redis.set(port=between.port).render_as_string(hide_password=False)
        async with running_platform(replace(backends, redis=away)) as alone:
            code, key = await module_with_key(alone)
            between.swallow()
            watch = Stopwatch()
            query = "query($code: String!) { module(code: $code) { code instances { url } } }"
            answer = (await alone.post(query, {"code": code}, token=key)).json()
            assert answer["data"] == {"module": {"code": code, "instances": None}}
            assert [each["extensions"] for each in answer["errors"]] == [{"code": "UNAVAILABLE"}]
            heartbeat = "mutation($i: ModuleInstanceInput!) { heartbeatModuleInstance(input: $i) { revision } }"
            variables = {"i": {"module": code, "url": "http://127.0.0.1:9"}}
            assert await alone.code(heartbeat, variables, token=key) == "UNAVAILABLE"
            assert await alone.code(DISCOVER, {"code": code}, token=key) == "UNAVAILABLE"
            watch.stop()
            assert watch.seconds < 2


async def test_one_prober_at_a_time_and_another_takes_over(databases: Databases, servers: Endpoints) -> None:
    backends = backends_on(await databases.create(), servers)
    probing = frozenset({"api", "prober"})
    async with running_platform(backends, roles=probing) as first, running_platform(backends, roles=probing):
        code, key = await module_with_key(first)
        service = Service()
        async with serving(service) as url:
            await register_instance(first, key, code, url)
            await becomes(first, code, {url: "HEALTHY"}, seconds=4)
            assert service.asked == 1
            async with first.services.database.platform_session() as session:
                ended = await session.scalars(
                    text(
                        "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
                        " WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = 'modplane-prober'"
                        " AND a.datname = current_database()"
                    )
                )
                assert list(ended) == [True]
            async with asyncio.timeout(10):
                while service.asked < 2:
                    await asyncio.sleep(0.1)


def test_what_a_probe_changes() -> None:
    def changed(status: str, failures: int, *, is_up: bool) -> tuple[str, int]:
        instance = Instance("u", "h", "1", InstanceStatus(status), last_seen=0, failures=failures)
        return after_probe(instance, is_up=is_up)

    assert changed("STARTING", 0, is_up=True) == ("HEALTHY", 0)
    assert changed("STARTING", 0, is_up=False) == ("STARTING", 1)
    assert changed("STARTING", 1, is_up=False) == ("UNHEALTHY", 2)
    assert changed("HEALTHY", 0, is_up=False) == ("HEALTHY", 1)
    assert changed("HEALTHY", 1, is_up=False) == ("UNHEALTHY", 2)
    assert changed("HEALTHY", 1, is_up=True) == ("HEALTHY", 0)
    assert changed("UNHEALTHY", 7, is_up=True) == ("HEALTHY", 0)


def test_only_the_healthy_are_found() -> None:
    found = [
        Instance(status.value, "h", "1", status, last_seen=0)
        for status in (InstanceStatus.UNHEALTHY, InstanceStatus.HEALTHY, InstanceStatus.STARTING)
    ]
    assert [each.url for each in healthy(found)] == ["HEALTHY"]
    assert [found[1].at(now).status for now in (30, 31, 90) if found[1].at(now)] == ["HEALTHY", "STALE", "STALE"]  # type: ignore[union-attr]
    assert found[1].at(90.1) is None
