"""Fixture packs: catalogues as data, written through the same commands as everybody's."""

from pathlib import Path
from typing import Any

import orjson

from auth.actor import PLATFORM
from commands.industry import CreateIndustry, TemplateItem, create_industry
from commands.module.register import RegisterModule, register_module
from commands.transaction import Writer
from graph.context import Services
from queries.industry import load_industries_by_codes
from queries.reader import open_reader

FIXTURES = Path(__file__).parent.parent / "fixtures"


class UnknownPack(Exception):
    """There is no such pack; the text lists those there are."""


def load_pack(name: str) -> dict[str, Any]:
    packs = sorted(path.stem for path in FIXTURES.glob("*.json"))
    if name not in packs:
        raise UnknownPack(f"no pack {name!r}; there are {', '.join(packs)}")
    pack: dict[str, Any] = orjson.loads((FIXTURES / f"{name}.json").read_bytes())
    return pack


async def seed_pack(services: Services, name: str) -> tuple[int, int]:
    """Load a pack; again changes nothing. Returns how many modules and industries it names."""
    pack = load_pack(name)
    writer = Writer(database=services.database, actor=PLATFORM, floor=services.floor, wakeup=services.wakeup)
    for module in pack["modules"]:
        request = RegisterModule(manifest=module["manifest"], tier=module["tier"], visibility=module["visibility"])
        await register_module(writer, request)
    async with open_reader(services.database, PLATFORM) as reader:
        known = await load_industries_by_codes(reader, [each["code"] for each in pack["industries"]])
    for industry in pack["industries"]:
        # an industry that is there may have been edited: a pack never overwrites
        if industry["code"] not in known:
            await create_industry(writer, _create(industry))
    return len(pack["modules"]), len(pack["industries"])


def _create(industry: dict[str, Any]) -> CreateIndustry:
    return CreateIndustry(
        code=industry["code"],
        name=industry["name"],
        description=industry["description"],
        modules=[
            TemplateItem(
                module=item["module"],
                is_required=item["isRequired"],
                default_config=item["defaultConfig"],
                display_order=item["displayOrder"],
            )
            for item in industry["modules"]
        ],
    )
