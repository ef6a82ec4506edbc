"""`modplane dev`, by its users: what it tells, what the other commands do with it, what it leaves behind."""

import os
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from app.embedded.ports import choose_port
from tests.process.programs import Dev, ask, descendants, is_alive, open_files, run, running_dev, wait_until
from tests.support.stopwatch import Stopwatch

SIGN_UP = (
    "mutation($name: String!) { signUpOrganization(input: {name: $name}) { organization { id } errors { code } } }"
)
NAMES = """query($after: String) { organizations(first: 100, after: $after) {
  nodes { id } pageInfo { hasNextPage endCursor } } }"""
CATALOGUE = "{ modules(first: 100) { totalCount } industries(first: 100) { totalCount nodes { code } } }"

EVENTS = "{ events(first: 200) { nodes { id } pageInfo { hasNextPage } } }"


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    directory = tmp_path_factory.mktemp("dev")
    with running_dev(directory / "a b", port=free_port(), log=directory / "log") as running:
        yield running


def free_port() -> int:
    return choose_port(None, taken=())


def test_it_tells_programs_where_everything_is_and_nobody_else(dev: Dev) -> None:
    told = dev.data_dir / "dev.json"
    assert stat.S_IMODE(told.stat().st_mode) == 0o600
    assert sorted(dev.told) == ["graphql", "kafka", "postgres", "redis", "token"]
    catalogue = dev.ask(CATALOGUE)
    assert (catalogue["modules"]["totalCount"], catalogue["industries"]["totalCount"]) == (11, 8)


def test_it_tells_people_the_same(dev: Dev) -> None:
    shown = (dev.data_dir.parent / "log").read_text()
    assert "Modplane is ready." in shown
    for name in ("graphql", "kafka", "token"):
        assert dev.told[name] in shown
    assert "Traceback" not in shown
    assert "ERROR" not in shown


def test_what_listens_listens_on_the_loopback_interface_only(dev: Dev) -> None:
    pids = {dev.process.pid} | descendants(dev.process.pid)
    hosts = {address for pid in pids for address in listening(pid)}
    assert hosts == {"0100007F"}


def test_a_token_is_one_line_and_works(dev: Dev) -> None:
    printed = run("token", "--role", "SUPER_ADMIN", data_dir=dev.data_dir)
    assert (printed.returncode, printed.stderr, printed.stdout.count("\n")) == (0, "", 1)
    assert dev.ask("{ organizations { totalCount } }", token=printed.stdout.strip())["organizations"] is not None


def test_a_tenants_token_sees_its_tenant(dev: Dev) -> None:
    organization = sign_up(dev, "Mine")
    sign_up(dev, "Other")
    arguments = ("--role", "ORGANIZATION_ADMIN", "--organization", organization)
    token = run("token", *arguments, data_dir=dev.data_dir).stdout.strip()
    assert jwt.decode(token, options={"verify_signature": False})["org"] == organization
    mine = dev.ask("query($id: ID!) { organization(id: $id) { name } }", {"id": organization}, token=token)
    assert mine == {"organization": {"name": "Mine"}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--role", "KING"), "no role 'KING'"),
        (("--role", "MEMBER"), "MEMBER needs --organization"),
        (("--role", "SUPER_ADMIN", "--organization", "018f0000-0000-7000-8000-000000000000"), "no organization"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(dev: Dev, arguments: tuple[str, ...], message: str) -> None:
    refused = run("token", *arguments, data_dir=dev.data_dir)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert message in refused.stderr


def test_a_doctor_finds_nothing_wrong_while_it_runs(dev: Dev) -> None:
    examined = run("doctor", data_dir=dev.data_dir)
    assert examined.returncode == 0, examined.stdout
    assert "PROBLEM" not in examined.stdout


@pytest.mark.parametrize(("pack", "modules"), [("commerce", 13), ("financial", None)])
def test_a_pack_is_seeded_once_however_often(dev: Dev, pack: str, modules: int | None) -> None:
    before = dev.ask(CATALOGUE)["modules"]["totalCount"]
    first = run("seed", pack, data_dir=dev.data_dir)
    assert first.returncode == 0, first.stderr
    seeded = dev.ask(CATALOGUE)
    assert seeded["modules"]["totalCount"] > before
    assert first.stdout.startswith(f"{pack}: {modules or ''}")
    events = dev.ask(EVENTS)
    assert events["events"]["pageInfo"] == {"hasNextPage": False}
    second = run("seed", pack, data_dir=dev.data_dir)
    assert (second.returncode, second.stdout) == (0, first.stdout)
    assert dev.ask(CATALOGUE) == seeded
    assert dev.ask(EVENTS) == events


def test_a_pack_that_is_not_there_is_refused_with_those_that_are(dev: Dev) -> None:
    refused = run("seed", "zoo", data_dir=dev.data_dir)
    assert refused.returncode == 1
    assert "no pack 'zoo'; there are commerce, erp, financial" in refused.stderr


def test_a_browser_gets_graphiql(dev: Dev) -> None:
    page = get(dev, "/graphql", accept="text/html")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "graphiql" in page.text.lower()


def test_health_and_the_manifest_schema_are_public(dev: Dev) -> None:
    health = get(dev, "/health")
    assert (health.status_code, health.json()["status"]) == (200, "healthy")
    assert {"name": "postgres", "status": "up"} in health.json()["checks"]
    schema = get(dev, "/schemas/manifest/v1.json")
    assert (schema.status_code, schema.headers["content-type"]) == (200, "application/schema+json")
    assert {"name", "version"} <= set(schema.json()["required"])


def test_a_second_one_on_the_same_data_is_refused_and_the_first_goes_on(dev: Dev) -> None:
    told = (dev.data_dir / "dev.json").read_text()
    refused = run("dev", data_dir=dev.data_dir, MODPLANE_PORT=str(free_port()))
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"modplane: Another Modplane (process {dev.process.pid})")
    assert "Traceback" not in refused.stderr
    assert (dev.data_dir / "dev.json").read_text() == told
    assert dev.ask("{ __typename }") == {"__typename": "Query"}


def test_a_port_that_is_taken_is_refused_before_anything_starts(dev: Dev, tmp_path: Path) -> None:
    port = httpx.URL(dev.told["graphql"]).port
    refused = run("dev", data_dir=tmp_path / "data", MODPLANE_PORT=str(port))
    assert refused.returncode == 1
    assert f"can't listen on 127.0.0.1:{port}" in refused.stderr
    assert "set MODPLANE_PORT" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "data").exists()


def test_killed_while_it_acknowledges_it_has_everything_at_the_next_start(tmp_path: Path) -> None:
    data, log, port = tmp_path / "data", tmp_path / "log", free_port()
    acknowledged: set[str] = set()
    with running_dev(data, port=port, log=log) as first:
        below = descendants(first.process.pid)
        assert len(below) >= 3
        writers = [threading.Thread(target=sign_up_until_it_fails, args=(first, acknowledged)) for _ in range(3)]
        for writer in writers:
            writer.start()
        wait_until(lambda: len(acknowledged) >= 30)
        os.kill(first.process.pid, signal.SIGKILL)
        for writer in writers:
            writer.join(20)
        wait_until(lambda: not any(map(is_alive, below)))
    watch = Stopwatch()
    with running_dev(data, port=port, log=log) as second:
        watch.stop()
        assert watch.seconds < 30
        assert second.told["graphql"] == first.told["graphql"]
        assert acknowledged <= organizations(second)
        assert sign_up(second, "After") in organizations(second)


def test_told_to_end_it_does_and_leaves_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_dev(data, port=free_port(), log=tmp_path / "log") as running:
        below = descendants(running.process.pid)
        os.kill(running.process.pid, signal.SIGTERM)
        assert running.process.wait(25) == 0
        assert not any(map(is_alive, below))
    examined = run("doctor", data_dir=data)
    assert examined.returncode == 1
    problems = [line for line in examined.stdout.splitlines() if line.startswith("PROBLEM")]
    assert [line.split()[1] for line in problems] == ["database:", "redis:", "kafka:"]
    assert "Traceback" not in examined.stdout + examined.stderr


def sign_up(dev: Dev, name: str) -> str:
    payload = dev.ask(SIGN_UP, {"name": name})["signUpOrganization"]
    assert payload["errors"] == []
    found: str = payload["organization"]["id"]
    return found


def sign_up_until_it_fails(dev: Dev, acknowledged: set[str]) -> None:
    while True:
        try:
            acknowledged.add(sign_up(dev, "Acknowledged"))
        except httpx.TransportError:
            return


def organizations(dev: Dev) -> set[str]:
    found: set[str] = set()
    page: dict[str, Any] = {"hasNextPage": True, "endCursor": None}
    while page["hasNextPage"]:
        answer = ask(dev.told["graphql"], NAMES, {"after": page["endCursor"]}, token=dev.told["token"])
        found |= {node["id"] for node in answer["organizations"]["nodes"]}
        page = answer["organizations"]["pageInfo"]
    return found


def get(dev: Dev, path: str, *, accept: str = "application/json") -> httpx.Response:
    url = httpx.URL(dev.told["graphql"]).join(path)
    return httpx.get(url, headers={"accept": accept}, timeout=10, trust_env=False)


def listening(pid: int) -> set[str]:
    """The addresses that a process listens on, as /proc writes them."""
    files = open_files(pid)
    lines = [
        line.split() for table in ("tcp", "tcp6") for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    return {line[1].partition(":")[0] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in files}
