"""Keys of modules' services: who gets one, who is let in with one, and until when."""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from auth.actor import Role
from auth.api_keys import ApiKey, ApiKeys, hash_of, new_secret, text_of
from auth.tokens import InvalidToken
from commands import api_key as commands
from models.ids import new_id
from tests.services.services import create_key, module_with_key, revoke_key
from tests.support.platform import Platform, running_platform, token
from tests.support.stopwatch import Stopwatch
from tests.support.stories import find_module, register, sign_up, unique
from tests.tenancy.calls import NOBODY

VIEWER = "{ viewer { subject roles organization { id } company { id } } }"
SUBPROTOCOL = Subprotocol("graphql-transport-ws")
KNOWN_SECONDS = 2.0  # until every process lets in or refuses


async def is_let_in(platform: Platform, key: str) -> bool:
    response = await platform.post(VIEWER, token=key)
    if response.status_code == 401:
        (error,) = response.json()["errors"]
        assert error == {
            "message": "the API key is not valid; ask for a new one",
            "extensions": {"code": "UNAUTHENTICATED"},
        }
        return False
    return bool(response.json()["data"]["viewer"]["subject"])


async def test_a_key_is_shown_once_and_lets_its_module_in(platform: Platform) -> None:
    code = await register(platform, unique("serviced"))
    before = datetime.now(UTC)
    payload = await create_key(platform, code, name="  production  ")
    secret, key = payload.pop("secret"), payload["apiKey"]
    created = key.pop("createdAt")
    hexadecimal = key["id"].replace("-", "")
    assert payload["errors"] == []
    assert key == {
        "id": key["id"],
        "module": {"code": code},
        "name": "production",
        "prefix": f"mpk_{hexadecimal}",
        "lastUsedAt": None,
        "expiresAt": None,
        "revokedAt": None,
    }
    assert before <= datetime.fromisoformat(created) <= datetime.now(UTC)
    assert secret.startswith(f"mpk_{hexadecimal}_")
    assert len(secret) == len("mpk_") + 32 + 1 + 43
    viewer = {"subject": f"module:{code}", "roles": ["MODULE_SERVICE"], "organization": None, "company": None}
    assert (await platform.data(VIEWER, token=secret))["viewer"] == viewer
    assert secret not in str(await find_module(platform, code, "apiKeys { id name prefix }"))


async def test_the_header_of_its_own_is_as_good_and_goes_first(platform: Platform) -> None:
    code, key = await module_with_key(platform)
    for bearer in (None, platform.admin, "nonsense"):
        headers = {"X-Module-API-Key": key}
        response = await platform.post(VIEWER, None, token=bearer, **headers)
        assert response.json()["data"]["viewer"]["subject"] == f"module:{code}"
    headers = {"X-Module-API-Key": "nonsense"}
    assert (await platform.post(VIEWER, None, **headers)).status_code == 401


async def test_only_a_hash_is_kept(platform: Platform) -> None:
    code, key = await module_with_key(platform)
    async with platform.services.database.platform_session() as session:
        rows = (
            await session.execute(text("SELECT * FROM module_api_keys WHERE module_id = :code"), {"code": code})
        ).all()
    (row,) = rows
    assert row.secret_hash == hashlib.sha256(key[-43:].encode()).digest()
    assert key[-43:] not in str(row)


async def test_the_same_idempotency_key_makes_one_key_and_does_not_show_it_again(platform: Platform) -> None:
    code = await register(platform, unique("serviced"))
    first = await create_key(platform, code, idempotencyKey=code)
    again = await create_key(platform, code, idempotencyKey=code)
    assert again == {**first, "secret": None}
    assert len((await find_module(platform, code, "apiKeys { id }"))["apiKeys"]) == 1
    async with platform.services.database.platform_session() as session:
        kept = await session.scalar(text("SELECT response::text FROM idempotency_key WHERE key = :key"), {"key": code})
    assert first["apiKey"]["id"] in kept
    assert first["secret"][-43:] not in kept


async def test_a_revoked_key_is_refused_and_the_next_one_stays(platform: Platform) -> None:
    code, old = await module_with_key(platform)
    new = (await create_key(platform, code, name="next"))["secret"]
    assert [await is_let_in(platform, each) for each in (old, new)] == [True, True]
    (_, first) = (await find_module(platform, code, "apiKeys { id }"))["apiKeys"]
    payload = await revoke_key(platform, first["id"])
    assert payload["errors"] == []
    assert payload["apiKey"]["revokedAt"] is not None
    assert [await is_let_in(platform, each) for each in (old, new)] == [False, True]
    assert await revoke_key(platform, first["id"]) == payload


async def test_every_replica_lets_in_and_refuses_within_two_seconds(platform: Platform) -> None:
    async with running_platform(platform.backends) as replica:
        code = await register(platform, unique("serviced"))
        made = await create_key(platform, code)
        watch = Stopwatch()
        while not await is_let_in(replica, made["secret"]):
            await asyncio.sleep(0.02)
        watch.stop()
        assert watch.seconds < KNOWN_SECONDS
        await revoke_key(platform, made["apiKey"]["id"])
        watch = Stopwatch()
        while await is_let_in(replica, made["secret"]):
            await asyncio.sleep(0.02)
        watch.stop()
        assert watch.seconds < KNOWN_SECONDS


async def test_what_a_key_has_opened_ends_with_it_on_every_replica(platform: Platform) -> None:
    async with running_platform(platform.backends) as replica:
        code, key = await module_with_key(platform)
        async with asyncio.timeout(5):
            while not await is_let_in(replica, key):
                await asyncio.sleep(0.02)
        url = replica.url.replace("http://", "ws://")
        async with asyncio.timeout(10), connect(url, subprotocols=[SUBPROTOCOL], proxy=None) as socket:
            start = {"type": "connection_init", "payload": {"authorization": f"Bearer {key}"}}
            await socket.send(json.dumps(start))
            assert json.loads(await socket.recv())["type"] == "connection_ack"
            (shown,) = (await find_module(platform, code, "apiKeys { id }"))["apiKeys"]
            await revoke_key(platform, shown["id"])
            watch = Stopwatch()
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            watch.stop()
            assert watch.seconds < KNOWN_SECONDS
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4403, "token revoked")


async def test_a_key_ends_when_it_says_and_with_its_module(platform: Platform) -> None:
    code = await register(platform, unique("serviced"))
    soon = (datetime.now(UTC) + timedelta(seconds=4)).isoformat()
    key = (await create_key(platform, code, expiresAt=soon))["secret"]
    assert await is_let_in(platform, key)
    await asyncio.sleep(4.1)
    assert not await is_let_in(platform, key)
    doomed, orphan = await module_with_key(platform)
    await platform.data(
        "mutation($i: ModuleRefInput!) { deleteModule(input: $i) { revision } }", {"i": {"code": doomed}}
    )
    await asyncio.sleep(KNOWN_SECONDS)
    assert not await is_let_in(platform, orphan)


DAMAGES: list[Callable[[str], str]] = [
    lambda key: key[:-1],
    lambda key: key + "x",
    lambda key: key[:-1] + chr(ord(key[-1]) ^ 1),
    lambda key: key[:-1] + "é",
    lambda key: key[:36] + "-" + key[37:],
    lambda key: "mpk_" + "0" * 32 + key[36:],
    lambda key: "mpk_" + "z" * 32 + key[36:],
    lambda key: "mpk_",
]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_key_is_refused_in_the_same_words(platform: Platform, damage: Callable[[str], str]) -> None:
    _, key = await module_with_key(platform)
    response = await platform.client.post(
        platform.url,
        content=b'{"query": "{ viewer { subject } }"}',
        headers=[(b"content-type", b"application/json"), (b"authorization", f"Bearer {damage(key)}".encode())],
    )
    assert response.status_code == 401
    assert response.json()["errors"][0]["message"] == "the API key is not valid; ask for a new one"


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        ({"module": "no-such-module"}, "NOT_FOUND", "module"),
        ({"name": " "}, "INVALID_INPUT", "name"),
        ({"name": "two\nlines"}, "INVALID_INPUT", "name"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, "INVALID_INPUT", "expiresAt"),
    ],
)
async def test_bad_input_is_refused_by_its_name(
    platform: Platform, given: dict[str, Any], code: str, path: str
) -> None:
    module = await register(platform, unique("serviced"))
    payload = await create_key(platform, **{"module": module, **given})
    assert [(each["code"], each["path"]) for each in payload["errors"]] == [(code, ["input", path])]
    assert (payload["apiKey"], payload["secret"], payload["revision"]) == (None, None, None)


async def test_an_unknown_key_cannot_be_revoked(platform: Platform) -> None:
    for given in (NOBODY, "nonsense"):
        payload = await revoke_key(platform, given)
        assert payload["errors"] == [
            {
                "__typename": "NotFoundError",
                "code": "NOT_FOUND",
                "message": f"no API key {given}",
                "path": ["input", "id"],
            }
        ]


async def test_a_module_has_no_more_keys_than_memory_is_meant_for(platform: Platform) -> None:
    code = await register(platform, unique("serviced"))
    statement = text(
        "INSERT INTO module_api_keys(id, module_id, name, secret_hash, created_by, created_at, revoked_at)"
        " SELECT gen_random_uuid(), :code, 'old', sha256('x'), 'tester', now(), now() FROM generate_series(2, :count)"
    )
    async with platform.services.database.platform_session() as session:
        await session.execute(statement, {"code": code, "count": commands.KEYS_MAX})
        await session.commit()
    assert (await create_key(platform, code))["errors"] == []
    assert [each["code"] for each in (await create_key(platform, code))["errors"]] == ["QUOTA"]


async def test_its_use_is_noted_but_not_at_every_request(platform: Platform) -> None:
    code, key = await module_with_key(platform)
    for _ in range(3):
        assert await is_let_in(platform, key)
    noted = None
    async with asyncio.timeout(5):
        while noted is None:
            await asyncio.sleep(0.1)
            (shown,) = (await find_module(platform, code, "apiKeys { lastUsedAt }"))["apiKeys"]
            noted = shown["lastUsedAt"]
    assert await is_let_in(platform, key)
    await asyncio.sleep(1.5)
    assert (await find_module(platform, code, "apiKeys { lastUsedAt }"))["apiKeys"] == [{"lastUsedAt": noted}]


async def test_keys_are_the_platforms_affair(platform: Platform) -> None:
    code, key = await module_with_key(platform)
    organization = await sign_up(platform)
    admin = token(Role.ORGANIZATION_ADMIN, organization=organization)
    for bearer in (admin, key):
        assert (await find_module(platform, code, "apiKeys { id }", as_token=bearer))["apiKeys"] is None
        variables = {"input": {"module": code, "name": "mine"}}
        query = "mutation($input: CreateModuleApiKeyInput!) { createModuleApiKey(input: $input) { secret } }"
        assert await platform.code(query, variables, token=bearer) == "FORBIDDEN"


async def test_no_key_is_logged(platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        _, key = await module_with_key(platform)
        await platform.post("{ nonsense", token=key)
        await platform.post(VIEWER, token=key[:-1] + "!")
    assert key[-43:-1] not in caplog.text


def test_an_answer_that_is_older_than_what_was_done_here_undoes_nothing() -> None:
    keys, asked_at = ApiKeys(), time.monotonic()
    made, revoked = (ApiKey(id=new_id(), module="x", secret_hash=hash_of(new_secret())) for _ in range(2))
    told: list[int] = []
    keys.hold([revoked], asked_at=asked_at)
    keys.listen(lambda: told.append(1))
    keys.learn(made)
    keys.forget(revoked.id)
    keys.hold([revoked], asked_at=asked_at)
    assert len(keys) == 1
    assert told == [1]
    keys.hold([], asked_at=time.monotonic())
    assert len(keys) == 0
    assert told == [1, 1]


def test_a_key_that_is_not_held_is_nobodys() -> None:
    with pytest.raises(InvalidToken):
        ApiKeys().verify(text_of(new_id(), new_secret()))
