"""How events leave, as an operator sets and watches it: settings are refused by name, and the doctor tells a lag."""

import asyncio
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import URL

from app.embedded.supervisor import Endpoints
from tests.conftest import Databases
from tests.live.tables import execute
from tests.process.programs import run


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("MODPLANE_OUTBOX_SHARDS", "65", "outbox_shards"),
        ("MODPLANE_OUTBOX_SHARDS", "0", "outbox_shards"),
        ("MODPLANE_RELAY", "kafka", "relay"),
        ("MODPLANE_EVENT_LOG_DAYS", "0", "event_log_days"),
        ("MODPLANE_IDEMPOTENCY_HOURS", "23", "idempotency_hours"),
        ("MODPLANE_KAFKA_MIN_INSYNC_REPLICAS", "2", "MODPLANE_KAFKA_REPLICATION_FACTOR"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(tmp_path: Path, variable: str, value: str, said: str) -> None:
    ended = run("serve", "--roles", "relay", data_dir=tmp_path, **{variable: value})
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_doctor_tells_how_long_events_have_waited(
    databases: Databases, servers: Endpoints, tmp_path: Path
) -> None:
    database = await databases.create()
    await execute(database, "DELETE FROM outbox WHERE seq <> (SELECT min(seq) FROM outbox)")
    for age, code, told in (
        ("5 seconds", 0, "ok       outbox: 1 events wait"),
        ("2 minutes", 1, "PROBLEM  outbox: 1 events"),
    ):
        await execute(database, f"UPDATE outbox SET occurred_at = now() - interval '{age}'")
        examined = await asyncio.to_thread(doctor, database, servers, tmp_path)
        assert told in examined.stdout, examined.stdout
        assert examined.returncode == code
    await execute(database, "DELETE FROM outbox")
    assert "ok       outbox: empty" in (await asyncio.to_thread(doctor, database, servers, tmp_path)).stdout


def doctor(database: URL, servers: Endpoints, folder: Path) -> subprocess.CompletedProcess[str]:
    return run(
        "doctor",
        data_dir=folder,
        DATABASE_URL=database.set(drivername="postgresql").render_as_string(hide_password=False),
        REDIS_URL=servers.redis,
        KAFKA_BOOTSTRAP_SERVERS=servers.kafka,
    )
