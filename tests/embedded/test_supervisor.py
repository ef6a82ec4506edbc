"""The embedded servers, for real: what they keep, whom they refuse, and that nothing outlives its supervisor."""

import asyncio
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg
import pytest
import redis
from aiokafka.admin import AIOKafkaAdminClient
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.embedded.binaries import find_valkey_server
from app.embedded.data_dir import LEFTOVERS_SECONDS_MAX
from app.embedded.errors import EmbeddedServerError
from app.embedded.supervisor import Endpoints, Supervisor
from tests.support.stopwatch import Stopwatch

HOST = Path(__file__).with_name("host.py")
ROOT = HOST.parents[2]


def test_a_second_start_finds_the_data_and_the_ports_of_the_first(tmp_path: Path) -> None:
    with started(tmp_path / "a b") as endpoints:
        execute(endpoints, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")
        assert redis.Redis.from_url(endpoints.redis).set("forgotten", "1")
    with started(tmp_path / "a b") as again:
        assert again == endpoints
        assert fetch(again, "SELECT n FROM kept") == 7
        assert redis.Redis.from_url(again.redis).get("forgotten") is None


def test_the_servers_are_set_up_as_meant(tmp_path: Path) -> None:
    with started(tmp_path) as endpoints:
        assert str(fetch(endpoints, "SHOW server_version")).startswith("18.")
        assert fetch(endpoints, "SHOW timezone") == "UTC"
        assert fetch(endpoints, "SHOW wal_level") == "logical"
        assert fetch(endpoints, "SHOW server_encoding") == "UTF8"
        assert fetch(endpoints, "SHOW fsync") == "off"
        cache = redis.Redis.from_url(endpoints.redis)
        assert cache.config_get("maxmemory*")["maxmemory-policy"] == "allkeys-lru"
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port_of(endpoints.redis), retry=Retry(NoBackoff(), 0)).ping()
        with pytest.raises(asyncpg.InvalidPasswordError):
            fetch(endpoints, "SELECT 1", password="wrong")
        assert asyncio.run(broker_count(endpoints)) == 1


def test_only_the_owner_may_look_into_the_data_directory(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    with started(data):
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        secret = [data / "postgres.password", data / "valkey.password", data / "valkey" / "valkey.conf"]
        assert [stat.S_IMODE(file.stat().st_mode) for file in secret] == [0o600] * 3
        passwords = {(data / f"{name}.password").read_text() for name in ("postgres", "valkey")}
        shown = subprocess.run(["ps", "-ww", "-e", "-o", "args="], check=True, capture_output=True, text=True).stdout
        assert not [password for password in passwords if password in shown]


def test_ctrl_c_in_the_terminal_does_not_reach_the_servers(tmp_path: Path) -> None:
    with started(tmp_path):
        assert descendants(os.getpid())
        assert os.getsid(0) not in {os.getsid(pid) for pid in descendants(os.getpid())}


def test_only_what_is_wanted_is_started(tmp_path: Path) -> None:
    with started(tmp_path, postgres=False, kafka=False) as endpoints:
        assert (endpoints.postgres, endpoints.kafka) == ("", "")
        assert redis.Redis.from_url(endpoints.redis).ping()
        assert len(descendants(os.getpid())) == 1


def test_stop_leaves_nothing_and_may_be_called_again(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, fsync=False)
    endpoints = supervisor.start()
    supervisor.stop()
    supervisor.stop()
    assert descendants(os.getpid()) == set()
    assert not any(is_listening(port) for port in ports_of(endpoints))
    assert supervisor.failed() is None


def test_a_server_that_dies_is_reported_with_its_log(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, postgres=False, fsync=False)
    endpoints = supervisor.start()
    try:
        assert supervisor.failed() is None
        with suppress(redis.ConnectionError):
            redis.Redis.from_url(endpoints.redis).shutdown(nosave=True)
        wait_until(lambda: supervisor.failed() is not None)
        report = supervisor.failed() or ""
        assert "valkey has ended (code 0)" in report
        assert "ready to exit" in report
    finally:
        supervisor.stop()


def test_a_second_instance_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with started(tmp_path) as endpoints:
        with pytest.raises(EmbeddedServerError, match=rf"Another Modplane \(process {os.getpid()}\)"):
            Supervisor(tmp_path, fsync=False).start()
        assert fetch(endpoints, "SELECT 1") == 1


def test_servers_are_not_started_from_another_thread(tmp_path: Path) -> None:
    raised: list[EmbeddedServerError] = []

    def start() -> None:
        try:
            Supervisor(tmp_path).start()
        except EmbeddedServerError as error:
            raised.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join(10)
    assert "main thread" in str(raised[0])


def test_a_shared_directory_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(EmbeddedServerError, match="shared directory"):
        Supervisor(tmp_path).start()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777


def test_ports_taken_by_others_are_left_to_them(tmp_path: Path) -> None:
    with started(tmp_path) as first:
        pass
    with listening(port_of(first.postgres)), started(tmp_path) as second:
        assert port_of(second.postgres) != port_of(first.postgres)
        assert (second.redis, second.kafka) == (first.redis, first.kafka)
        assert fetch(second, "SELECT 1") == 1


def test_a_port_lost_between_choice_and_bind_is_another_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A program that, once, leaves somebody else on its port, as if that one had been quicker.
    program, thief, release = tmp_path / "valkey-server", tmp_path / "thief", tmp_path / "release"
    steal = (
        "import os, pathlib, socket, sys, time\n"
        "taken = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        f"pathlib.Path({str(thief)!r}).write_text(sys.argv[1])\n"
        "if os.fork():\n"
        "    sys.exit(1)\n"
        f"while not os.path.exists({str(release)!r}):\n"
        "    time.sleep(0.05)\n"
    )
    (tmp_path / "steal.py").write_text(steal)
    program.write_text(
        f"#!/bin/sh\n[ -e '{thief}' ] || exec '{sys.executable}' -IS '{tmp_path}/steal.py' \"$3\"\n"
        f"exec '{find_valkey_server()}' \"$@\"\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("VALKEY_SERVER", str(program))
    try:
        with started(tmp_path / "data", postgres=False, kafka=False) as endpoints:
            assert redis.Redis.from_url(endpoints.redis).ping()
            assert port_of(endpoints.redis) != int(thief.read_text())
    finally:
        release.touch()


def test_a_server_that_cannot_start_is_an_error_with_its_log_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "tansu"
    program.write_text("#!/bin/sh\necho the moon is in the wrong phase\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("KAFKA_BROKER_BIN", str(program))
    with pytest.raises(EmbeddedServerError, match=r"(?s)tansu has ended \(code 3\).*moon is in the wrong phase"):
        Supervisor(tmp_path / "data", fsync=False).start()
    assert descendants(os.getpid()) == set()


def test_a_program_that_was_named_is_not_replaced_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_BINDIR", str(tmp_path))
    with pytest.raises(EmbeddedServerError, match="PG_BINDIR is set"):
        Supervisor(tmp_path / "data").start()


def test_a_pid_file_whose_number_is_another_process_now_is_no_hindrance(tmp_path: Path) -> None:
    with started(tmp_path, redis=False, kafka=False):
        pid_file = tmp_path / "postgres" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
    # PostgreSQL heeds the file if the process runs as its own user.
    as_server = as_user(pwd.getpwnam("nobody").pw_uid) if os.geteuid() == 0 else []
    with running([*as_server, "sleep", "60"]) as sleeper:
        pid_file.write_text("\n".join([str(sleeper.pid), *lines[1:]]) + "\n")
        with started(tmp_path, redis=False, kafka=False) as endpoints:
            assert fetch(endpoints, "SELECT 1") == 1


def test_killing_the_parent_ends_the_servers_and_loses_nothing(tmp_path: Path) -> None:
    with hosting(tmp_path) as (host, endpoints):
        execute(endpoints, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")
        orphans = descendants(host.pid)
        assert len(orphans) >= 3
        host.kill()
        watch = Stopwatch()
        with started(tmp_path) as again:
            watch.stop()
            assert watch.seconds < LEFTOVERS_SECONDS_MAX
            assert fetch(again, "SELECT n FROM kept") == 7
            assert not orphans & living()


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.2, 0.3, 0.5])
def test_a_first_start_may_be_killed_at_any_moment(tmp_path: Path, seconds: float) -> None:
    with running([sys.executable, HOST, tmp_path / "data"]) as host:
        wait_until((tmp_path / "data").exists)
        time.sleep(seconds)  # the moment is the parameter; nothing is waited for
        orphans = descendants(host.pid)
        host.kill()
    with started(tmp_path / "data", redis=False, kafka=False) as endpoints:
        assert fetch(endpoints, "SELECT current_database()") == "modplane"
        assert not orphans & living()


def test_a_cluster_half_made_is_made_again(tmp_path: Path) -> None:
    data = next(each for each in (tmp_path / str(number) for number in range(5)) if half_made(each))
    draft = data / "postgres.new"
    assert not (data / "postgres").exists()
    with started(data, redis=False, kafka=False) as endpoints:
        assert fetch(endpoints, "SELECT current_database()") == "modplane"
    assert not draft.exists()


def half_made(data: Path) -> bool:
    """Whether a first start was killed while it made its cluster; else it was quicker than this process saw."""
    draft = data / "postgres.new"
    with running([sys.executable, HOST, data]) as host:
        wait_until(lambda: (draft / "PG_VERSION").exists() or (data / "postgres").exists())
        host.kill()
    return draft.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests here run as a normal user already")
def test_a_normal_user_can_run_them_too(tmp_path: Path) -> None:
    user = pwd.getpwnam("daemon").pw_uid
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    os.chown(home, user, -1)
    with hosting(home / "data", prefix=as_user(user)) as (host, endpoints):
        servers = descendants(host.pid)
        assert {uid_of(pid) for pid in servers} == {user}
        execute(endpoints, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")
        host.kill()
    with hosting(home / "data", prefix=as_user(user)) as (host, again):
        assert not servers & living()
        assert fetch(again, "SELECT n FROM kept") == 7
        with pytest.raises(EmbeddedServerError, match="belongs to another user"):
            Supervisor(home / "data").start()
        servers = descendants(host.pid)
        host.kill()
        wait_until(lambda: not servers & living())


def test_without_parent_death_signals_a_watcher_does_it(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    holder = f"import fcntl, time; f = open({str(lock)!r}, 'w'); fcntl.flock(f, 2); print('held', flush=True)"
    launcher = ROOT / "app" / "embedded" / "launch.py"
    with running([sys.executable, "-c", f"{holder}; time.sleep(60)"]) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "held\n"
        sleep = shutil.which("sleep") or "sleep"
        with running([sys.executable, launcher, str(parent.pid), "15", lock, sleep, "60"]) as server:
            wait_until(lambda: len(descendants(server.pid)) == 1)
            time.sleep(0.2)
            assert server.poll() is None
            parent.kill()
            assert server.wait(30) == -signal.SIGTERM


@contextmanager
def started(data_dir: Path, *, postgres: bool = True, redis: bool = True, kafka: bool = True) -> Iterator[Endpoints]:
    supervisor = Supervisor(data_dir, postgres=postgres, redis=redis, kafka=kafka, fsync=False)
    endpoints = supervisor.start()
    try:
        yield endpoints
        assert supervisor.failed() is None
    finally:
        supervisor.stop()


@contextmanager
def running(command: list[str | Path]) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd="/"
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def hosting(
    data_dir: Path, *, prefix: list[str | Path] | None = None
) -> Iterator[tuple[subprocess.Popen[str], Endpoints]]:
    """Embedded servers in a process of their own."""
    with running([*(prefix or []), sys.executable, HOST, data_dir]) as host:
        assert host.stdout is not None
        yield host, Endpoints(**json.loads(host.stdout.readline()))


def as_user(uid: int) -> list[str | Path]:
    # Not root any more, but able to reach this interpreter if it lies in root's home.
    only = "-all,+dac_override"
    capabilities = [f"--inh-caps={only}", f"--ambient-caps={only}", f"--bounding-set={only}"]
    return ["setpriv", f"--reuid={uid}", "--regid=65534", "--clear-groups", *capabilities]


def execute(endpoints: Endpoints, *statements: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(endpoints.postgres, timeout=10)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    asyncio.run(run())


def fetch(endpoints: Endpoints, query: str, **options: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(endpoints.postgres, timeout=10, **options)
        value = await connection.fetchval(query)
        await connection.close()
        return value

    return asyncio.run(run())


async def broker_count(endpoints: Endpoints) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=endpoints.kafka)
    await admin.start()
    try:
        return len((await admin.describe_cluster())["brokers"])
    finally:
        await admin.close()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


def ports_of(endpoints: Endpoints) -> list[int]:
    return [port_of(url) for url in (endpoints.postgres, endpoints.redis, endpoints.kafka)]


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def listening(port: int) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)):
        yield


def processes() -> list[tuple[int, int, int]]:
    """Process, parent and user of all that live; what is only waiting to be reaped does not."""
    shown = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,uid=,stat="], check=True, capture_output=True, text=True)
    fields = [line.split() for line in shown.stdout.splitlines()]
    return [(int(pid), int(parent), int(uid)) for pid, parent, uid, state in fields if not state.startswith("Z")]


def living() -> set[int]:
    return {pid for pid, _parent, _uid in processes()}


def uid_of(pid: int) -> int:
    return next(uid for found, _parent, uid in processes() if found == pid)


def descendants(ancestor: int) -> set[int]:
    """All that live below a process; the ps that looked for them is gone by the second look."""
    found: set[int] = set()
    generation = {ancestor}
    everybody = [(pid, parent) for pid, parent, _uid in processes()]
    while generation:
        generation = {pid for pid, parent in everybody if parent in generation}
        found |= generation
    return found & living()


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < deadline, "waited for a minute"
        time.sleep(0.01)


def test_a_server_that_crashed_comes_back_on_its_port_with_its_data(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "data", kafka=False)
    endpoints = supervisor.start()
    try:
        execute(endpoints, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")
        assert redis.Redis.from_url(endpoints.redis).set("forgotten", "1")
        supervisor.restart("postgres", by=signal.SIGQUIT)
        supervisor.restart("valkey")
        assert supervisor.failed() is None
        assert fetch(endpoints, "SELECT n FROM kept") == 7
        assert redis.Redis.from_url(endpoints.redis).get("forgotten") is None
        with pytest.raises(EmbeddedServerError, match="tansu is not running"):
            supervisor.restart("tansu")
    finally:
        supervisor.stop()
