"""A small module for the tests: who calls, as a field, a stream, a REST path and hooks say it."""

from collections.abc import AsyncIterator

import strawberry
from fastapi import APIRouter
from modplane_sdk.definition import ModuleDefinition
from modplane_sdk.identity import current_identity
from modplane_sdk.lifecycle import HookCall, Hooks, Veto
from modplane_sdk.service import ModuleService
from modplane_sdk.subgraph import OrganizationStub, RequiresModule, module_schema, require_module


@strawberry.federation.type(keys=["id"], name="Organization")
class Organization(OrganizationStub):
    @strawberry.field(extensions=[RequiresModule("billing")])
    async def billing_caller(self) -> str | None:
        return f"{current_identity().subject} of {self.id}"


@strawberry.type
class Query:
    @strawberry.field(extensions=[RequiresModule("billing")])
    def billing_caller(self) -> str | None:
        return f"{current_identity().subject} of {current_identity().organization_id}"

    @strawberry.field
    def billing_fault(self) -> str | None:
        raise RuntimeError("a secret of the database")


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def billing_callers(self) -> AsyncIterator[str | None]:
        require_module("billing")
        yield current_identity().subject
        yield current_identity().organization_id


router = APIRouter()


@router.get("/caller")
async def caller() -> dict[str, str]:
    return {"subject": current_identity().subject}


hooks = Hooks()


@hooks.on("pre_install")
async def pre_install(call: HookCall) -> Veto | None:
    return Veto("not on a Friday") if call.version == "1.0.0" else None


@hooks.on("post_install")
async def post_install(call: HookCall) -> Veto | None:
    return Veto("too late")


billing = ModuleService(
    definition=ModuleDefinition(code="billing"),
    schema=module_schema(query=Query, subscription=Subscription, types=[Organization]),
    hooks=hooks,
    routers=[router],
)
