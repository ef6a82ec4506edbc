"""Many modules for many organizations: the operation, its progress and its errors."""

from typing import Any
from uuid import uuid4

from tests.api.operations import bulk, finished, read
from tests.support.platform import Platform
from tests.support.stories import (
    assign,
    change_module,
    create_company,
    events_of,
    module_codes,
    organization_revision,
    platform_revision,
    register,
    sign_up,
    unique,
)
from tests.support.stream import messages_of


async def assert_refused(
    platform: Platform, errors: list[tuple[str, list[str]]], modules: list[str], **more: Any
) -> None:
    """Refused with exactly these errors, and no operation was made."""
    before = await platform_revision(platform)
    payload = await bulk(platform, modules, **more)
    assert [(each["__typename"], each["path"]) for each in payload["errors"]] == errors
    assert (payload["operation"], payload["revision"]) == (None, None)
    assert await platform_revision(platform) == before


async def test_every_module_for_every_id(platform: Platform) -> None:
    base = await register(platform, unique("base"))
    needy = await register(platform, unique("needy"), requires=[base])
    users, bystander = [await sign_up(platform) for _ in range(3)], await sign_up(platform)
    payload = await bulk(platform, [needy, "crm"], organizationIds=[*users, users[0]])
    # a worker may have begun already
    assert (payload["operation"]["kind"], payload["operation"]["total"]) == ("BULK_ASSIGN_MODULES", 3)
    done = await finished(platform, payload)
    assert (done["status"], done["done"], done["total"], done["errors"]) == ("SUCCEEDED", 3, 3, [])
    assert done["startedAt"] <= done["finishedAt"]
    for user in users:
        assert await module_codes(platform, user) == sorted([base, "crm", needy])
        assert await organization_revision(platform, user) == 2
    assert await module_codes(platform, bystander) == []


async def test_one_event_for_each_organization(platform: Platform) -> None:
    base = await register(platform, unique("base"))
    needy = await register(platform, unique("needy"), requires=[base])
    fresh, had = await sign_up(platform), await sign_up(platform)
    await assign(platform, had, base)
    await finished(platform, await bulk(platform, [needy], organizationIds=[fresh, had]))
    for user, revision, codes in ((fresh, 2, [base, needy]), (had, 3, [needy])):
        event = (await events_of(platform, user))[-1]
        assert (event["type"], event["revision"], event["moduleCode"]) == ("BULK_ASSIGNED", revision, None)
        assert event["payload"]["modules"] == codes
        assert [each["module"] for each in event["payload"]["assignments"]] == codes
        assert {each["revision"] for each in event["payload"]["assignments"]} == {revision}


async def test_who_has_it_already_gets_no_event(platform: Platform) -> None:
    user = await sign_up(platform)
    await assign(platform, user, "crm")
    done = await finished(platform, await bulk(platform, ["crm"], organizationIds=[user]))
    assert (done["status"], done["done"]) == ("SUCCEEDED", 1)
    assert [each["type"] for each in await events_of(platform, user)] == ["ORGANIZATION_CREATED", "ASSIGNED"]


async def test_everybody_whom_the_filter_finds(platform: Platform) -> None:
    code, word = await register(platform, unique("wanted")), unique("Filtered_100%")
    premium = [await sign_up(platform, plan="premium", name=f"{word} {number}") for number in range(2)]
    free = await sign_up(platform, plan="free", name=f"{word} free")
    payload = await bulk(platform, [code], organizationFilter={"search": word.upper(), "plan": "premium"})
    assert payload["operation"]["total"] == 2
    done = await finished(platform, payload)
    assert (done["status"], done["done"]) == ("SUCCEEDED", 2)
    assert [await module_codes(platform, each) for each in [*premium, free]] == [[code], [code], []]


async def test_an_empty_filter_is_everybody(platform: Platform) -> None:
    code = await register(platform, unique("everybodys"))
    query = "{ organizations(first: 200) { nodes { id } totalCount } }"
    everybody = (await platform.data(query))["organizations"]
    done = await finished(platform, await bulk(platform, [code], organizationFilter={}))
    assert (done["status"], done["done"], done["total"]) == (
        "SUCCEEDED",
        everybody["totalCount"],
        everybody["totalCount"],
    )
    counted = "query($code: String!) { module(code: $code) { assignments { totalCount } } }"
    found = await platform.data(counted, {"code": code})
    assert found["module"]["assignments"]["totalCount"] == everybody["totalCount"]


async def test_a_filter_that_finds_nobody_is_done_at_once(platform: Platform) -> None:
    done = await finished(platform, await bulk(platform, ["crm"], organizationFilter={"search": unique("Nobody")}))
    assert (done["status"], done["done"], done["total"], done["errors"]) == ("SUCCEEDED", 0, 0, [])


async def test_each_organization_succeeds_or_fails_for_itself(platform: Platform) -> None:
    paid = await register(platform, unique("paid"), subscription_tier="premium")
    good, poor, unknown = await sign_up(platform, plan="premium"), await sign_up(platform), str(uuid4())
    done = await finished(platform, await bulk(platform, ["crm", paid], organizationIds=[poor, unknown, good]))
    assert (done["status"], done["done"], done["total"]) == ("PARTIALLY_SUCCEEDED", 3, 3)
    errors = sorted(done["errors"], key=lambda each: str(each["__typename"]))
    assert [(each["__typename"], each["code"]) for each in errors] == [
        ("EntitlementError", "ENTITLEMENT"),
        ("NotFoundError", "NOT_FOUND"),
    ]
    assert errors[0]["message"] == (
        f"organization {poor}: module {paid} needs the plan premium; the organization has free"
    )
    assert unknown in errors[1]["message"]
    assert await module_codes(platform, good) == sorted(["crm", paid])
    assert await module_codes(platform, poor) == []
    assert await organization_revision(platform, poor) == 1


async def test_an_operation_without_a_success_has_failed(platform: Platform) -> None:
    done = await finished(platform, await bulk(platform, ["crm"], organizationIds=[str(uuid4()), str(uuid4())]))
    assert (done["status"], done["done"], done["total"], len(done["errors"])) == ("FAILED", 2, 2, 2)


async def test_either_ids_or_a_filter(platform: Platform) -> None:
    user, errors = await sign_up(platform), [("InvalidInputError", ["input", "organizationIds"])]
    await assert_refused(platform, errors, ["crm"])
    await assert_refused(platform, errors, ["crm"], organizationIds=[user], organizationFilter={})
    assert await organization_revision(platform, user) == 1


async def test_all_bad_modules_are_told_at_once(platform: Platform) -> None:
    user, off = await sign_up(platform), await register(platform, unique("off"))
    await change_module(platform, "deactivateModule", off)
    errors = [("NotFoundError", ["input", "modules", "0"]), ("StateTransitionError", ["input", "modules", "2"])]
    await assert_refused(platform, errors, ["no-such", "crm", off], organizationIds=[user])
    for modules in ([], [f"module-{number}" for number in range(101)]):
        await assert_refused(platform, [("InvalidInputError", ["input", "modules"])], modules, organizationIds=[user])
    assert await module_codes(platform, user) == []


async def test_an_id_that_is_none_is_refused(platform: Platform) -> None:
    payload = await bulk(platform, ["crm"], organizationIds=["not-an-id"])
    assert payload["operation"] is None
    assert [(each["__typename"], each["path"][:2]) for each in payload["errors"]] == [
        ("NotFoundError", ["input", "organizationIds"])
    ]


async def test_the_same_key_is_the_same_operation(platform: Platform) -> None:
    user, key = await sign_up(platform), unique("key")
    first = await bulk(platform, ["crm"], organizationIds=[user], idempotencyKey=key)
    await finished(platform, first)
    again = await bulk(platform, ["crm"], organizationIds=[user], idempotencyKey=key)
    assert again["errors"] == []
    assert again["operation"]["id"] == first["operation"]["id"]
    assert again["operation"]["status"] == "SUCCEEDED"
    other = await bulk(platform, ["hr"], organizationIds=[user], idempotencyKey=key)
    assert [(each["__typename"], each["path"]) for each in other["errors"]] == [
        ("IdempotencyConflictError", ["input", "idempotencyKey"])
    ]
    assert await module_codes(platform, user) == ["crm"]


async def test_the_progress_is_followed_to_the_end(platform: Platform) -> None:
    code = await register(platform, unique("wanted"))
    users = [await sign_up(platform) for _ in range(4)]
    payload = await bulk(platform, [code], organizationIds=users)
    seen = await followed(platform, payload["operation"]["id"])
    assert {each["id"] for each in seen} == {payload["operation"]["id"]}
    counts = [each["done"] for each in seen]
    assert counts == sorted(counts)
    assert (seen[-1]["status"], seen[-1]["done"], seen[-1]["total"]) == ("SUCCEEDED", 4, 4)
    assert all(each["status"] in ("PENDING", "RUNNING") for each in seen[:-1])
    assert await followed(platform, payload["operation"]["id"]) == [seen[-1]]


async def followed(platform: Platform, operation: str) -> list[Any]:
    """What operationProgress says until it completes."""
    query = "subscription($id: ID!) { operationProgress(id: $id) { id status done total } }"
    messages = await messages_of(platform, query, {"id": operation})
    assert messages[-1]["type"] == "complete"
    return [each["payload"]["data"]["operationProgress"] for each in messages[:-1]]


async def test_an_unknown_operation_is_not_found(platform: Platform) -> None:
    query = "subscription($id: ID!) { operationProgress(id: $id) { id } }"
    company = await create_company(platform, await sign_up(platform))
    for unknown in (str(uuid4()), "not-an-id", company):
        assert await read(platform, unknown) is None
        last = (await messages_of(platform, query, {"id": unknown}))[-1]
        errors = last["payload"] if last["type"] == "error" else last["payload"]["errors"]
        assert [each["extensions"]["code"] for each in errors] == ["NOT_FOUND"]
