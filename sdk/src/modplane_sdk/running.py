"""A module's process: serves, is a member of a platform, takes its events. Until SIGTERM, and 25 s longer at most."""

import logging
from urllib.parse import urlsplit

import uvicorn

from modplane_sdk.client import PlatformClient
from modplane_sdk.consumer import EventConsumer
from modplane_sdk.keys import PlatformKeys
from modplane_sdk.membership import Membership
from modplane_sdk.service import ModuleService, Task, create_app
from modplane_sdk.settings import MissingSetting, ModuleSettings

log = logging.getLogger("modplane_sdk.running")

DRAIN_SECONDS = 10  # requests under way; stopping what runs beside them takes at most the rest
KEEP_OPEN_SECONDS = 75  # longer than proxies keep an idle connection: they would send just as it is closed


def run(service: ModuleService, settings: ModuleSettings) -> None:
    """Raises MissingSetting, InvalidManifest or ValueError before anything is begun."""
    service.definition.to_manifest()
    client = PlatformClient(settings.url, api_key=settings.read_api_key())
    membership = Membership(client=client, service=service, url=settings.service_url, routing_url=settings.routing_url)
    beside: dict[str, Task] = {"membership": membership.run}
    if service.subscriptions.topics:
        beside["events"] = events_of(service, settings)
    app = create_app(service, PlatformKeys(settings.url), beside=beside)
    uvicorn.run(
        app,
        host=settings.bind,
        port=urlsplit(settings.service_url).port or 80,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=KEEP_OPEN_SECONDS,
        access_log=False,
    )


def events_of(service: ModuleService, settings: ModuleSettings) -> Task:
    """The task that takes the module's events. Raises MissingSetting."""
    bootstrap, inbox = settings.kafka, service.inbox
    if bootstrap is None or inbox is None:
        raise MissingSetting("a module that subscribes to events needs MODPLANE_KAFKA, and ModuleService.inbox")

    async def take_events() -> None:
        # only now: what the inbox is made of is open when the application has begun
        module, replication = service.definition.code, settings.kafka_replication
        await EventConsumer(module, service.subscriptions, bootstrap, inbox(), replication).run()

    return take_events
