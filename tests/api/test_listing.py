"""Lists: their filters, their pages, and what is no page."""

from typing import Any

import pytest

from auth.actor import Role
from tests.support.platform import Platform, token
from tests.support.stories import assign, change_module, register, sign_up, unique

MODULES = """query($filter: ModuleFilter, $first: Int, $after: String) {
  modules(filter: $filter, first: $first, after: $after) {
    nodes { code } edges { cursor node { code } } totalCount
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
CONNECTIONS = [
    "{ modules(%s) { nodes { code } } }",
    "{ industries(%s) { nodes { code } } }",
    "{ organizations(%s) { nodes { id } } }",
    "{ events(%s) { nodes { id } } }",
    '{ module(code: "crm") { versions(%s) { nodes { number } } } }',
    '{ module(code: "crm") { assignments(%s) { nodes { version } } } }',
    "{ organizations(first: 1) { nodes { companies(%s) { nodes { id } } } } }",
]


async def listed(platform: Platform, **filters: Any) -> list[str]:
    """Codes of the modules that a filter finds; their number is what totalCount says."""
    page = (await platform.data(MODULES, {"filter": filters, "first": 200}))["modules"]
    codes = [each["code"] for each in page["nodes"]]
    assert page["totalCount"] == len(codes)
    assert page["pageInfo"]["hasNextPage"] is False
    return codes


async def test_modules_are_listed_by_code(platform: Platform) -> None:
    codes = await listed(platform)
    assert codes == sorted(codes)
    assert {"attendance", "career", "contact", "crm", "finance", "hr", "inventory", "leave"} < set(codes)


async def test_search_takes_code_name_and_description_in_any_case(platform: Platform) -> None:
    word = unique("Needle")
    by_code = await register(platform, word.lower())
    by_name = await register(platform, unique("plain"), display_name=f"The {word.upper()} module")
    by_text = await register(platform, unique("plain"), description=f"Finds a {word} in hay.")
    await register(platform, unique("plain"), tags=[word], category=word)
    assert await listed(platform, search=word) == sorted([by_code, by_name, by_text])
    assert await listed(platform, search=word.upper()) == sorted([by_code, by_name, by_text])
    assert await listed(platform, search=f"finds a {word}") == [by_text]


@pytest.mark.parametrize("special", ["%", "_", "\\", "'", '"', "100%_\\%"])
async def test_special_letters_of_a_search_are_letters(platform: Platform, special: str) -> None:
    found = await register(platform, unique("special"), description=f"<{special}>")
    await register(platform, unique("special"), description="<x>")
    assert await listed(platform, search=f"<{special}>") == [found]
    assert found in await listed(platform, search=special)


async def test_an_empty_search_finds_everything(platform: Platform) -> None:
    assert await listed(platform, search="") == await listed(platform)


async def test_filters_by_what_a_module_is(platform: Platform) -> None:
    category, tag = unique("Category"), unique("tag")
    both = await register(platform, unique("filtered"), category=category, tags=["other", tag])
    tagged = await register(platform, unique("filtered"), tags=[tag])
    inner = await register(platform, unique("filtered"), category=category, tier="INTERNAL")
    off = await register(platform, unique("filtered"), category=category)
    await change_module(platform, "deactivateModule", off)
    assert await listed(platform, category=category) == sorted([both, inner, off])
    assert await listed(platform, category=category.lower()) == []
    assert await listed(platform, tag=tag) == sorted([both, tagged])
    assert await listed(platform, tag=tag[:-1]) == []
    assert await listed(platform, category=category, tag=tag) == [both]
    assert await listed(platform, category=category, tier="INTERNAL") == [inner]
    assert await listed(platform, category=category, tier="CORE") == []
    assert await listed(platform, category=category, isActive=False) == [off]
    assert await listed(platform, category=category, isActive=True) == sorted([both, inner])


async def test_organizations_are_filtered(platform: Platform) -> None:
    word, code = unique("Filtered%_"), await register(platform, unique("had"))
    plain = await sign_up(platform, name=f"{word} plain")
    tech = await sign_up(platform, name=f"{word} tech", industry="tech", plan="premium")
    await sign_up(platform, name=word.replace("%", "x").replace("_", "x"))
    await assign(platform, plain, code)
    query = """query($filter: OrganizationFilter) { organizations(filter: $filter) { nodes { id } totalCount } }"""
    for filters, expected in (
        ({"search": word}, [plain, tech]),
        ({"search": word.upper()}, [plain, tech]),
        ({"search": word, "industryCode": "tech"}, [tech]),
        ({"search": word, "plan": "premium"}, [tech]),
        ({"search": word, "plan": "enterprise"}, []),
        ({"moduleCode": code}, [plain]),
        ({"search": word, "moduleCode": "crm"}, [tech]),
    ):
        page = (await platform.data(query, {"filter": filters}))["organizations"]
        assert ([each["id"] for each in page["nodes"]], page["totalCount"]) == (expected, len(expected))


async def test_pages_lead_through_the_whole_list(platform: Platform) -> None:
    category = unique("Category")
    codes = sorted([await register(platform, unique("paged"), category=category) for _ in range(5)])
    seen: list[list[str]] = []
    after, more = None, True
    while more:
        page = await paged(platform, category, first=2, after=after)
        seen.append([each["code"] for each in page["nodes"]])
        assert [each["node"] for each in page["edges"]] == page["nodes"]
        assert page["totalCount"] == 5
        info, cursors = page["pageInfo"], [each["cursor"] for each in page["edges"]]
        assert (info["startCursor"], info["endCursor"]) == (cursors[0], cursors[-1])
        assert info["hasPreviousPage"] is (after is not None)
        after, more = info["endCursor"], info["hasNextPage"]
    assert seen == [codes[:2], codes[2:4], codes[4:]]
    exact = await paged(platform, category, first=5)
    assert exact["pageInfo"]["hasNextPage"] is False
    middle = await paged(platform, category, first=2, after=exact["edges"][1]["cursor"])
    assert [each["code"] for each in middle["nodes"]] == codes[2:4]
    beyond = await paged(platform, category, after=exact["pageInfo"]["endCursor"])
    assert (beyond["nodes"], beyond["totalCount"]) == ([], 5)
    assert beyond["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": True,
        "startCursor": None,
        "endCursor": None,
    }


async def paged(platform: Platform, category: str, **page: Any) -> Any:
    return (await platform.data(MODULES, {"filter": {"category": category}, **page}))["modules"]


async def test_a_page_does_not_drift_when_items_come_and_go(platform: Platform) -> None:
    category = unique("Category")
    codes = [await register(platform, f"{unique('drift')}-{letter}", category=category) for letter in "bdf"]
    first = await paged(platform, category, first=2)
    assert [each["code"] for each in first["nodes"]] == codes[:2]
    await change_module(platform, "deleteModule", codes[1])
    await register(platform, "drift-0", category=category)
    rest = await paged(platform, category, first=2, after=first["pageInfo"]["endCursor"])
    assert [each["code"] for each in rest["nodes"]] == codes[2:]


async def test_industries_are_paged_by_code(platform: Platform) -> None:
    query = """query($after: String) { industries(first: 3, after: $after) {
      nodes { code } totalCount pageInfo { hasNextPage endCursor } } }"""
    seen: list[str] = []
    after, more = None, True
    while more:
        page = (await platform.data(query, {"after": after}, token=None))["industries"]
        seen += [each["code"] for each in page["nodes"]]
        assert page["totalCount"] == 8
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    assert seen == [
        "construction",
        "education",
        "finance",
        "healthcare",
        "manufacturing",
        "professional-services",
        "retail",
        "tech",
    ]


async def test_the_users_of_a_module_are_paged(platform: Platform) -> None:
    code = await register(platform, unique("used"))
    users = [await sign_up(platform) for _ in range(3)]
    for user in users:
        await assign(platform, user, code)
    query = """query($code: String!, $after: String) { module(code: $code) { assignments(first: 2, after: $after) {
      nodes { organization { id } } totalCount pageInfo { hasNextPage endCursor } } } }"""
    first = (await platform.data(query, {"code": code}))["module"]["assignments"]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"]) == (3, True)
    after = first["pageInfo"]["endCursor"]
    second = (await platform.data(query, {"code": code, "after": after}))["module"]["assignments"]
    assert (second["totalCount"], second["pageInfo"]["hasNextPage"]) == (3, False)
    assert [each["organization"]["id"] for each in [*first["nodes"], *second["nodes"]]] == sorted(users)
    member = token(Role.MEMBER, organization=users[0])
    assert await platform.code(query, {"code": code}, token=member) == "FORBIDDEN"


@pytest.mark.parametrize("connection", CONNECTIONS)
async def test_a_page_has_1_to_200_items(platform: Platform, connection: str) -> None:
    await sign_up(platform)
    for first in (0, -1, 201, 100_000, 2**31 - 1):
        assert await platform.code(connection % f"first: {first}") == "BAD_USER_INPUT"
    for first in (1, 200):
        await platform.data(connection % f"first: {first}")


NO_CURSORS = ("garbage", "", "%%%", "a", "k1:crm", "v2:1", "v1:-1", "azI6Y3Jt", "ä")


@pytest.mark.parametrize("connection", CONNECTIONS)
async def test_what_is_no_cursor_is_refused(platform: Platform, connection: str) -> None:
    await sign_up(platform)
    for after in NO_CURSORS:
        assert await platform.code(connection % f'after: "{after}"') == "BAD_USER_INPUT"


@pytest.mark.parametrize("connection", [CONNECTIONS[2], CONNECTIONS[3], CONNECTIONS[5], CONNECTIONS[6]])
async def test_a_cursor_of_another_list_is_refused(platform: Platform, connection: str) -> None:
    """Where the key is an id or a revision; a code may stand between any two codes."""
    await sign_up(platform)
    found = await platform.data("{ modules(first: 1) { pageInfo { endCursor } } }")
    cursor = found["modules"]["pageInfo"]["endCursor"]
    assert await platform.code(connection % f'after: "{cursor}"') == "BAD_USER_INPUT"


async def test_a_bad_cursor_spoils_its_own_page_only(platform: Platform) -> None:
    code = await register(platform, unique("paged"))
    query = (
        f'{{ bad: module(code: "{code}") {{ assignments(after: "nonsense") {{ nodes {{ version }} }} }}'
        f' good: module(code: "{code}") {{ assignments(first: 1) {{ nodes {{ version }} }} }} }}'
    )
    for _ in range(5):
        answer = (await platform.post(query)).json()
        assert answer["data"] == {"bad": None, "good": {"assignments": {"nodes": []}}}
        assert [error["path"] for error in answer["errors"]] == [["bad", "assignments"]]
