"""A module's service says where it runs, that it still does, and that it is about to end.

Not a transaction: it is said again and again, and nothing hangs on any one time. Raises InstancesAway.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from auth.actor import Actor
from cache.instances import INSTANCES_MAX, Instances
from cache.server import CacheAway
from commands.checks import check_keeps, no_module
from federation.finding import Severity
from federation.routing import RoutingPolicy, check_routing_url
from models.database import Database
from queries.instance import InstancesAway
from queries.module import load_modules_by_codes
from queries.reader import open_reader
from rules.errors import InvalidInput, NotFound, Problem, QuotaExceeded, Refusal, refuse_if_any

VERSION_MAX = 64


@dataclass(frozen=True)
class Registrar:
    """Who says it, where it is kept, and where services may be."""

    actor: Actor
    database: Database
    instances: Instances
    routing: RoutingPolicy


@dataclass(frozen=True, kw_only=True)
class InstanceRef:
    module: str
    url: str


@dataclass(frozen=True, kw_only=True)
class RegisterInstance(InstanceRef):
    health_check_url: str
    version: str


async def register_instance(registrar: Registrar, request: RegisterInstance) -> None:
    """It is asked for its health from now on, and used once it is healthy. Again: it begins anew."""
    await _check_module(registrar, request.module)
    refuse_if_any(_problems(registrar.routing, request))
    with _asking():
        is_taken = await registrar.instances.register(
            request.module, url=request.url, health_check=request.health_check_url, version=request.version
        )
    if not is_taken:
        message = f"{request.module} has {INSTANCES_MAX} instances, and can't have more"
        raise Refusal(QuotaExceeded(message=message, path=("input", "module")))


async def heartbeat_instance(registrar: Registrar, request: InstanceRef) -> None:
    """Asks no database: a service goes on saying that it is there while that is away."""
    check_keeps(registrar.actor, request.module)
    with _asking():
        is_known = await registrar.instances.heartbeat(request.module, request.url)
    if not is_known:
        raise Refusal(_no_instance(request))


async def deregister_instance(registrar: Registrar, request: InstanceRef) -> None:
    check_keeps(registrar.actor, request.module)
    with _asking():
        was_known = await registrar.instances.deregister(request.module, request.url)
    if not was_known:
        raise Refusal(_no_instance(request))


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except CacheAway as away:
        raise InstancesAway from away


async def _check_module(registrar: Registrar, code: str) -> None:
    check_keeps(registrar.actor, code)
    async with open_reader(registrar.database, registrar.actor) as reader:
        if code not in await load_modules_by_codes(reader, [code]):
            raise Refusal(no_module(code))


def _problems(routing: RoutingPolicy, request: RegisterInstance) -> Iterator[Problem]:
    for field, url in (("url", request.url), ("healthCheckUrl", request.health_check_url)):
        for finding in check_routing_url(url, routing):
            if finding.severity is Severity.ERROR:
                yield InvalidInput(message=finding.message, path=("input", field))
    if "?" in request.url:
        yield InvalidInput(message="url has a query; paths are added to it", path=("input", "url"))
    if not 1 <= len(request.version) <= VERSION_MAX or not request.version.isprintable():
        message = f"version must have 1 to {VERSION_MAX} characters on one line"
        yield InvalidInput(message=message, path=("input", "version"))


def _no_instance(request: InstanceRef) -> NotFound:
    message = f"{request.module} has no instance {request.url[:200]}; register it"
    return NotFound(message=message, path=("input", "url"))
