"""Documents called by their id: per client, made ready at the start, over POST, GET with a tag, and WebSocket."""

import json
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from app.embedded.supervisor import Endpoints
from app.transport import trusted as trusted_module
from app.transport.trusted import LOOK_AGAIN_SECONDS, TrustedDocuments, document_id
from graph.schema import DOCUMENTS
from tests.conftest import Databases, backends_on
from tests.support.platform import Platform, running_platform
from tests.support.stories import sign_up, unique

NAME = "query Name($id: ID!) { organization(id: $id) { name revision } }"
RENAME = """mutation Rename($id: ID!, $name: String!) {
  updateOrganization(input: {organizationId: $id, name: $name}) { revision errors { message } } }"""
CODES = "{ industries(first: 1) { nodes { code } } }"
WRONG = "{ nothing }"


def write(directory: Path, client: str, *texts: str) -> None:
    (directory / f"{client}.json").write_text(json.dumps({document_id(text): text for text in texts}))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("trusted")
    write(made, "console", NAME, RENAME, CODES, WRONG)
    write(made, "phone", CODES)
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def platform(databases: Databases, servers: Endpoints, directory: Path) -> AsyncIterator[Platform]:
    backends = backends_on(await databases.create(), servers)
    async with running_platform(backends, trusted=TrustedDocuments(directory=directory)) as running:
        yield running


async def call(
    platform: Platform, text: str, variables: dict[str, Any] | None = None, client: str = "console"
) -> httpx.Response:
    body = {"documentId": f"sha256:{document_id(text)}", "variables": variables}
    sent = {"graphql-client-name": client, "authorization": f"Bearer {platform.admin}"}
    return await platform.client.post(platform.url, json=body, headers=sent)


async def get(platform: Platform, text: str, variables: dict[str, Any], **headers: str) -> httpx.Response:
    asked = {"documentId": document_id(text), "variables": json.dumps(variables)}
    sent = {"graphql-client-name": "console", "authorization": f"Bearer {platform.admin}", **headers}
    return await platform.client.get(platform.url, params=asked, headers=sent)


async def test_a_document_is_called_by_its_id_and_was_ready_before(platform: Platform) -> None:
    assert {NAME, RENAME, CODES} <= DOCUMENTS.pinned.keys()
    assert WRONG not in DOCUMENTS.pinned
    organization = await sign_up(platform)
    answer = await call(platform, NAME, {"id": organization})
    assert answer.status_code == 200
    assert answer.json() == await _sent(platform, organization)


async def _sent(platform: Platform, organization: str) -> Any:
    return (await platform.post(NAME, {"id": organization})).json()


async def test_a_mutation_called_by_its_id_happens_each_time(platform: Platform) -> None:
    organization = await sign_up(platform)
    before = (await _sent(platform, organization))["data"]["organization"]["revision"]
    revisions = []
    for name in ("Ada", "Bob", "Ada"):
        payload = (await call(platform, RENAME, {"id": organization, "name": name})).json()["data"][
            "updateOrganization"
        ]
        assert payload["errors"] == []
        revisions.append(payload["revision"])
    assert revisions == [before + 1, before + 2, before + 3]


@pytest.mark.parametrize("client", ["phone", "", "nobody", "../console"])
async def test_a_client_calls_its_own_only(platform: Platform, client: str) -> None:
    answer = await call(platform, NAME, {"id": "1"}, client=client)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["extensions"] == {"code": "PERSISTED_DOCUMENT_NOT_FOUND"}
    # and an answer that is kept for one is not another's way in
    assert (await call(platform, CODES)).status_code == 200
    assert (await call(platform, CODES, client="phone")).status_code == 200
    assert (await call(platform, CODES, client="nobody")).status_code == 400


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"documentId": 7}, "The parameter 'documentId' must be a string."),
        ({"documentId": document_id(CODES), "query": CODES}, "Send 'query' or 'documentId', not both."),
        ({"documentId": None}, "The parameter 'query' must be a GraphQL document."),
    ],
)
async def test_what_is_no_call_is_told_so(platform: Platform, parameters: dict[str, Any], message: str) -> None:
    answer = await platform.client.post(platform.url, json=parameters, headers={"graphql-client-name": "console"})
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (400, message)


async def test_a_get_carries_a_tag_and_is_not_sent_twice(platform: Platform) -> None:
    organization = await sign_up(platform)
    first = await get(platform, NAME, {"id": organization})
    assert first.headers["cache-control"] == "private, no-cache"
    assert first.headers["vary"] == "authorization, accept, graphql-client-name, x-min-revision"
    tag = first.headers["etag"]
    again = await get(platform, NAME, {"id": organization}, **{"if-none-match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    await call(platform, RENAME, {"id": organization, "name": unique("Renamed")})
    changed = await get(platform, NAME, {"id": organization}, **{"if-none-match": tag})
    assert (changed.status_code, changed.headers["etag"] != tag) == (200, True)
    assert changed.json() == await _sent(platform, organization)


async def test_a_get_never_writes_and_errors_have_no_tag(platform: Platform) -> None:
    organization = await sign_up(platform)
    refused = await get(platform, RENAME, {"id": organization, "name": "x"})
    assert (refused.status_code, "etag" in refused.headers) == (405, False)
    failed = await get(platform, NAME, {})
    assert (failed.json()["errors"] != [], "etag" in failed.headers) == (True, False)
    query = await platform.client.get(platform.url, params={"query": CODES})
    assert (query.headers["cache-control"], "etag" in query.headers) == ("no-store", False)


async def test_a_client_of_a_socket_names_itself_in_the_first_message(platform: Platform) -> None:
    url, protocols = platform.url.replace("http://", "ws://"), [Subprotocol("graphql-transport-ws")]
    async with connect(url, subprotocols=protocols, proxy=None) as socket:
        payload = {"graphql-client-name": "phone", "authorization": f"Bearer {platform.admin}"}
        await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        for number, text in enumerate((NAME, CODES)):
            called = {"documentId": document_id(text)}
            await socket.send(json.dumps({"type": "subscribe", "id": str(number), "payload": called}))
        answers = {answer["id"]: answer for answer in [json.loads(await socket.recv()) for _ in range(2)]}
    assert answers["0"]["payload"][0]["extensions"] == {"code": "PERSISTED_DOCUMENT_NOT_FOUND"}
    assert list(answers["1"]["payload"]["data"]) == ["industries"]


async def test_a_new_release_needs_no_restart(platform: Platform, directory: Path, monkeypatch: Any) -> None:
    new = "{ industries(first: 2) { nodes { name } } }"
    assert (await call(platform, new, client="tablet")).status_code == 400
    write(directory, "tablet", new)
    moment = time.monotonic()
    # for this module only: what else is timed meanwhile, in this loop, would wait for five seconds afterwards
    monkeypatch.setattr(trusted_module, "time", SimpleNamespace(monotonic=lambda: moment + LOOK_AGAIN_SECONDS))
    assert (await call(platform, new, client="tablet")).status_code == 200


async def test_only_trusted_documents(databases: Databases, servers: Endpoints, directory: Path) -> None:
    backends = backends_on(await databases.create(), servers)
    async with running_platform(backends, trusted=TrustedDocuments(directory=directory, only=True)) as platform:
        refused = await platform.post(CODES)
        (error,) = refused.json()["errors"]
        assert (refused.status_code, error["extensions"]) == (403, {"code": "PERSISTED_DOCUMENT_REQUIRED"})
        assert (await call(platform, CODES)).status_code == 200


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a b.json", b"{}", "a client's name is made of letters, digits, '.', '_' and '-'"),
        ("list.json", b"[]", "it is not a JSON object from id to document"),
        ("number.json", b'{"a": 1}', "it is not a JSON object from id to document"),
        ("wrong.json", b'{"sha256:00": "{ a }"}', "00 is not the SHA-256 of its document"),
        ("cut.json", b"{", "unexpected end of data"),
    ],
)
def test_a_file_that_is_wrong_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, content: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(content)
    write(tmp_path, "good", CODES)
    with caplog.at_level(logging.WARNING, logger="modplane.trusted"):
        documents = TrustedDocuments(directory=tmp_path)
    assert len(documents) == 1
    assert documents.find("good", document_id(CODES)) == CODES
    (record,) = caplog.records
    assert f"{name} is not used: {why}" in record.message
