"""Commands that work on a platform that runs: where it is comes from the environment, else from dev.json."""

import asyncio

import orjson

from app.dev import backends_of
from app.migrate import migrate
from app.seed import load_pack, seed_pack
from app.serve import Backends, open_services
from app.settings import Settings
from models.database import parse_url


def running_addresses(settings: Settings) -> dict[str, str | None]:
    """Owner's database URL, Redis URL and Kafka address; None for what is not known."""
    path = settings.data_dir / "dev.json"
    told = orjson.loads(path.read_bytes()) if path.exists() else {}
    return {
        "database": settings.database_url or told.get("postgres"),
        "redis": settings.redis_url or told.get("redis"),
        "kafka": settings.kafka_bootstrap_servers or told.get("kafka"),
    }


def run_seed(settings: Settings, pack: str) -> tuple[int, int]:
    load_pack(pack)
    addresses = running_addresses(settings)
    owner, redis = addresses["database"], addresses["redis"]
    if owner is None or redis is None:
        raise ValueError("set DATABASE_URL and REDIS_URL, or start modplane dev first")
    backends = backends_of(settings, owner=owner, redis=redis, kafka=addresses["kafka"] or "")
    return asyncio.run(_seed(owner, backends, pack))


async def _seed(owner: str, backends: Backends, pack: str) -> tuple[int, int]:
    await migrate(parse_url(owner), backends.database)
    async with open_services(backends) as services:
        return await seed_pack(services, pack)
