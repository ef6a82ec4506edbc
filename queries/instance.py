"""Questions about modules' running instances. Whoever asks has to be allowed to: these are addresses inside."""

from collections.abc import Collection, Mapping

from cache.instances import Instances
from cache.server import CacheAway
from rules.instance import Instance


class InstancesAway(Exception):
    """Nobody knows right now what runs where; the question may be asked again."""


async def load_instances(instances: Instances, codes: Collection[str]) -> Mapping[str, list[Instance]]:
    """Each module's instances by address, without those that have been silent for long. Raises InstancesAway."""
    try:
        found, now = await instances.load(codes)
    except CacheAway as away:
        raise InstancesAway from away
    return {
        code: sorted(
            (current for each in known.values() if each is not None and (current := each.at(now)) is not None),
            key=lambda each: each.url,
        )
        for code, known in found.items()
    }
