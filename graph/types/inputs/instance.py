"""The inputs of fields about running instances, and the requests that they become."""

import strawberry

from commands.instance import InstanceRef, RegisterInstance

HEALTH_PATH = "/health"


@strawberry.input
class RegisterModuleInstanceInput:
    module: str
    url: str = strawberry.field(description="Where the service is; paths are added to it.")
    health_check_url: str | None = strawberry.field(
        default=None, description="Any 2xx answer within 2 s is healthy; /health of the url when left out."
    )
    version: str

    def request(self) -> RegisterInstance:
        health = self.health_check_url or self.url.rstrip("/") + HEALTH_PATH
        return RegisterInstance(module=self.module, url=self.url, health_check_url=health, version=self.version)


@strawberry.input
class ModuleInstanceInput:
    module: str
    url: str

    def request(self) -> InstanceRef:
        return InstanceRef(module=self.module, url=self.url)
