"""Commands that work on a platform that runs: where it is comes from the environment, else from dev.json."""

import asyncio

import orjson

from app.dev import backends_of
from app.migrate import migrate
from app.seed import load_pack, seed_pack
from app.serve import Backends, open_services
from app.settings import Settings
from auth.actor import PLATFORM
from models.database import Database, parse_url
from queries.reader import open_reader
from queries.supergraph import SupergraphTexts, find_head, load_supergraph_texts
from rules.plans import PLANS, is_plan


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


def read_supergraph(settings: Settings, *, plan: str | None, is_public: bool) -> str | None:
    """The graph that is served, as gateways or clients see it; None before there is one. Raises ValueError."""
    if plan is not None and not is_plan(plan):
        raise ValueError(f"no plan {plan!r}; there are {', '.join(PLANS)}")
    owner = running_addresses(settings)["database"]
    if owner is None:
        raise ValueError("set DATABASE_URL, or start modplane dev first")
    texts = asyncio.run(_texts(backends_of(settings, owner=owner, redis="", kafka="")))
    if texts is None:
        return None
    if plan is not None:
        return texts.contract(plan)
    return texts.public_sdl if is_public else texts.sdl


async def _texts(backends: Backends) -> SupergraphTexts | None:
    database = Database(backends.database, pool_size=1)
    try:
        async with open_reader(database, PLATFORM) as reader:
            version = await find_head(reader)
            return None if version is None else (await load_supergraph_texts(reader, [version]))[version]
    finally:
        await database.close()


async def _seed(owner: str, backends: Backends, pack: str) -> tuple[int, int]:
    await migrate(parse_url(owner), backends.database)
    async with open_services(backends) as services:
        return await seed_pack(services, pack)
