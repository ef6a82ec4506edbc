"""What a plan covers comes out as graphql-core has it; what it does not, or what goes wrong, graphql-core answers."""

import asyncio
from typing import Any

import orjson
import pytest
from strawberry.schema.exceptions import InvalidOperationTypeError
from strawberry.types.graphql import OperationType

from app.transport.execution import encode, payload
from graph.plan.batch import batched
from graph.plan.kept import PLANS_MAX
from graph.store import DocumentStore, Runs
from tests.graph.plan.shapes import Item, make_schema

BY_PLAN, ABNORMAL, UNPLANNED = Runs(by_plan=2), Runs(abnormal=2), Runs(unplanned=2)


async def both(query: str, variables: dict[str, Any] | None = None) -> tuple[bytes, Runs]:
    """The answer, the same by plan, by graphql-core and by plan again, once the document is known; and how they came
    by it."""
    store = DocumentStore()
    first, expected, second = [
        encode(
            payload(
                await make_schema(store, is_planning=is_planning).execute(
                    query, variable_values=variables, context_value={"ended": []}
                )
            )
        )
        for is_planning in (True, False, True)
    ]
    assert first == expected == second
    return first, store.runs


@pytest.mark.parametrize(
    ("query", "data"),
    [
        ("{ items { number } }", {"items": [{"number": 0}, {"number": 1}, {"number": 2}]}),
        ("{ items(count: 0) { number doubled } }", {"items": []}),
        ("{ items { doubled(by: 3) d: doubled } }", {"items": [{"doubled": 3 * n, "d": 2 * n} for n in range(3)]}),
        ("{ maybeItems { number } }", {"maybeItems": [{"number": 0}, None, {"number": 2}]}),
        ("{ grid }", {"grid": [[1, None], [], [2**31 - 1, -(2**31)]]}),
        ("{ awaitedItems { number } }", {"awaitedItems": [{"number": 1}, None, {"number": 5}]}),
        ("{ numberAsText truth }", {"numberAsText": "7", "truth": True}),
        (
            "{ b: __typename pets { ... on Named { name } ... on Cat { lives } ... on Dog { friend { __typename } } }}",
            {
                "b": "Query",
                "pets": [
                    {"name": "Tom", "lives": 9},
                    {"name": "Rex", "friend": {"__typename": "Cat"}},
                    {"name": "Kit", "lives": 1},
                ],
            },
        ),
        (
            "{ named { __typename ...N } } fragment N on Named { name ... on Dog { color } ... on Cat { name lives } }",
            {
                "named": [
                    {"__typename": "Dog", "name": "Rex", "color": "BLUE"},
                    {"__typename": "Cat", "name": "Tom", "lives": 9},
                ]
            },
        ),
        (
            "{ items(count: 1) { number } ...F items(count: 1) { d: doubled } } fragment F on Query { truth }",
            {"items": [{"number": 0, "d": 0}], "truth": True},
        ),
        (
            "{ wishes(wish: {colors: [RED]}, more: [{name: \"me\"}, {colors: null}]) }",
            {"wishes": ["nobody [<Color.RED: 'red'>]", "me None", "nobody None"]},
        ),
        ("{ items @skip(if: true) { number } }", {}),
    ],
)  # fmt: skip
async def test_covered(query: str, data: dict[str, Any]) -> None:
    answer, runs = await both(query)
    assert orjson.loads(answer) == {"data": data}
    assert runs == BY_PLAN


@pytest.mark.parametrize(
    ("query", "data", "paths"),
    [
        ("{ items { failsAt(number: 1) } }", None, [["items", 1, "failsAt"]]),
        ("{ maybeItems { failsAt(number: 2) } }", {"maybeItems": [{"failsAt": 0}, None, None]}, [["maybeItems", 2]]),
        (
            "{ maybeItems { nothingAt(number: 0) } }",
            {"maybeItems": [None, None, {"nothingAt": 2}]},
            [["maybeItems", 0]],
        ),
        ("{ tooLarge }", {"tooLarge": [1, None, 3]}, [["tooLarge", 1]]),
        ("{ errorsAsValues }", {"errorsAsValues": ["a", None, "c"]}, [["errorsAsValues", 1]]),
        ("{ wrongPet { __typename } }", {"wrongPet": None}, [["wrongPet"]]),
        ("{ truth refusedAtOnce soon }", {"truth": True, "refusedAtOnce": None, "soon": "soon"}, [["refusedAtOnce"]]),
        # no errors: only other ways than a plan's
        ("{ h: here }", {"h": ["h"]}, []),
        ("{ generated }", {"generated": [0, 1, 2]}, []),
        ("{ items { brokenBatch } }", {"items": [{"brokenBatch": number} for number in range(3)]}, []),
        ("{ items { failingBatch } }", {"items": [{"failingBatch": number} for number in range(3)]}, []),
    ],
)
async def test_abnormal(query: str, data: Any, paths: list[list[Any]]) -> None:
    answer, runs = await both(query)
    found = orjson.loads(answer)
    assert found["data"] == data
    assert [error["path"][: len(path)] for error, path in zip(found.get("errors", []), paths, strict=True)] == paths
    assert runs == ABNORMAL


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ __schema { queryType { name } } truth }", {}),
        ('{ __type(name: "Item") { name } }', {}),
        ("mutation { a: count { number } b: count { number } }", {}),
        ("query($count: Int!) { items(count: $count) { number } }", {"count": "many"}),
        ("query($count: Int!) { items(count: $count) { number } }", {}),
    ],
)
async def test_unplanned(query: str, variables: dict[str, Any]) -> None:
    _, runs = await both(query, variables)
    assert runs == UNPLANNED


async def test_resolvers_are_told_the_same() -> None:
    """All but the path, which each object has its own of."""
    query = "query($n: Int = 3) { told items(count: $n) { number } ...F } fragment F on Query { t: told }"
    answer, runs = await both(query)
    assert runs == BY_PLAN
    told = orjson.loads(answer)["data"]["told"]
    assert (told["name"], told["variables"], len(told["selected"])) == ("told", {"n": 3}, 1)


async def test_variables_are_not_part_of_a_plan() -> None:
    store = DocumentStore()
    schema = make_schema(store, is_planning=True)
    query = "query($n: Int = 1, $with: Boolean!) { items(count: $n) { number @include(if: $with) doubled(by: $n) } }"
    for given, expected in (
        ({"n": 2, "with": True}, [{"number": 0, "doubled": 0}, {"number": 1, "doubled": 2}]),
        ({"with": True}, [{"number": 0, "doubled": 0}]),
        ({"n": 2, "with": False}, [{"doubled": 0}, {"doubled": 2}]),
        ({"n": 1, "with": True}, [{"number": 0, "doubled": 0}]),
    ):
        result = await schema.execute(query, variable_values=given)
        assert (result.data, result.errors) == ({"items": expected}, None)
    assert store.runs == Runs(by_plan=4)
    (document,) = store.entries.values()
    assert document.plans.size == 3 + 2


async def test_plans_of_a_document_are_bounded() -> None:
    store = DocumentStore()
    schema = make_schema(store, is_planning=True)
    names = "abcd"
    fields = " ".join(f"{name}: truth @skip(if: ${name})" for name in names)
    query = f"query({', '.join(f'${name}: Boolean!' for name in names)}) {{ {fields} grid }}"
    for number in range(2 ** len(names)):
        given = {name: bool(number & 1 << place) for place, name in enumerate(names)}
        result = await schema.execute(query, variable_values=given)
        assert result.data is not None
        assert set(result.data) == {name for name in names if not given[name]} | {"grid"}
    assert store.runs == Runs(by_plan=PLANS_MAX, unplanned=2 ** len(names) - PLANS_MAX)


async def test_plans_count_in_the_store() -> None:
    store = DocumentStore()
    schema = make_schema(store, is_planning=True)
    await schema.execute("{ truth }")
    await schema.execute("{ grid truth }")
    assert store.chars == sum(len(text) + each.planned_chars for text, each in store.entries.items())
    assert [each.plans.size for each in store.entries.values()] == [1, 2]
    store.chars_max = 45
    await schema.execute("{ truth numberAsText }")
    assert list(store.entries) == ["{ truth numberAsText }"]
    # evicted while it ran
    gone = next(iter(store.entries.values()))
    store.entries.clear()
    store.chars = 0
    store.add_planned("{ truth numberAsText }", gone, 20)
    assert store.chars == 0


def test_siblings_have_ended_before_graphql_core_begins() -> None:
    """The abnormal field is known at once; what was begun beside it is awaited all the same."""
    ended: list[str] = []

    async def run() -> None:
        schema = make_schema(DocumentStore(), is_planning=True)
        result = await schema.execute("{ refusedAtOnce soon }", context_value={"ended": ended})
        assert result.data == {"refusedAtOnce": None, "soon": "soon"}
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
    assert ended == ["soon", "soon"]


@pytest.mark.parametrize("query", ["{ slow }", "{ slow soon items { number } }"])
def test_a_deadline_ends_all_of_it(query: str) -> None:
    """In a loop of its own: nobody else's tasks come and go in it."""
    ended: list[str] = []
    store = DocumentStore()
    schema = make_schema(store, is_planning=True)

    async def run() -> None:
        begun = asyncio.Event()

        async def strike(deadline: asyncio.Timeout) -> None:
            """When all that ends by itself has ended, and the slow one goes on."""
            await begun.wait()
            while "soon" in query and not ended:
                await asyncio.sleep(0.005)
            deadline.reschedule(asyncio.get_running_loop().time())

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as deadline:
                striking = asyncio.create_task(strike(deadline))
                await schema.execute(query, context_value={"ended": ended, "begun": begun})
        await striking
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
    assert sorted(ended) == sorted({"slow", *query.split()} & {"slow", "soon"})
    assert store.runs == Runs()


@pytest.mark.parametrize(
    ("text", "ended", "runs"),
    [
        ("mutation { count { number doubled } }", ["count"], BY_PLAN),
        ("mutation { c: count { n: number ... on Item { doubled(by: 5) } } }", ["count"], BY_PLAN),
        ("mutation { count { failsAt(number: 1) } }", ["count"], ABNORMAL),
        ("mutation { count { number failsAt(number: 1) } }", ["count"], ABNORMAL),
        ("mutation { refused { number } }", ["refused"], ABNORMAL),
        ("mutation { nothing { number } }", ["nothing"], ABNORMAL),
        ("mutation { __typename }", [], BY_PLAN),
        ("mutation { count { number } other: count { number } }", ["count", "count"], UNPLANNED),
    ],
)
async def test_a_mutation_runs_once_whatever_comes_of_it(text: str, ended: list[str], runs: Runs) -> None:
    store = DocumentStore()
    answers = []
    for is_planning in (True, False, True):
        schema, done = make_schema(store, is_planning=is_planning), list[str]()
        answers.append(encode(payload(await schema.execute(text, context_value={"ended": done}))))
        assert done == ended
    assert answers[0] == answers[1] == answers[2]
    assert store.runs == runs


async def test_a_mutation_by_get_is_refused_before_it_runs() -> None:
    store, ended = DocumentStore(), list[str]()
    schema = make_schema(store, is_planning=True)
    for _ in range(2):
        with pytest.raises(InvalidOperationTypeError):
            await schema.execute(
                "mutation { count { number } }",
                context_value={"ended": ended},
                allowed_operation_types=[OperationType.QUERY],
            )
    await schema.execute("mutation { count { number } }", context_value={"ended": ended})
    with pytest.raises(InvalidOperationTypeError):
        await schema.execute(
            "mutation { count { number } }",
            context_value={"ended": ended},
            allowed_operation_types=[OperationType.QUERY],
        )
    assert ended == ["count"]


def test_a_field_has_one_batch() -> None:
    with pytest.raises(ValueError, match="has a batch resolver already"):
        batched(Item.doubled)(lambda items, info: [])
