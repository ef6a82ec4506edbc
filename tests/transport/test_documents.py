"""Parsing, measuring and validating happen once per document, in every way Strawberry can run one."""

import pytest
from graphql import parse
from strawberry.types.execution import ExecutionResult

from graph.cost import document_cost
from graph.limits import Limits
from graph.store import DocumentStore, GoodDocument
from tests.transport.probe import Actor, Context, Log, make_schema

pytestmark = pytest.mark.asyncio
LIMITS = Limits()


def context() -> Context:
    return Context(actor=Actor("alice"), number=1, log=Log())


async def codes(text: str, limits: Limits = LIMITS, **variables: object) -> list[str]:
    result = await make_schema(limits).execute(text, variable_values=variables, context_value=context())
    return [(error.extensions or {}).get("rule") or (error.extensions or {})["code"] for error in result.errors or ()]


async def test_a_good_document_is_parsed_and_validated_once() -> None:
    store = DocumentStore()
    schema = make_schema(LIMITS, store)
    first = await schema.execute("{ hello }", context_value=context())
    kept = store.find("{ hello }")
    second = await schema.execute("{ hello }", context_value=context())
    assert first.data == second.data == {"hello": "world"}
    assert kept is not None
    assert store.find("{ hello }") is kept


@pytest.mark.parametrize("text", ["{ nothing }", "{", "{ hello " + "@a " * 6 + "}"])
async def test_bad_documents_are_not_kept(text: str) -> None:
    store = DocumentStore()
    schema = make_schema(LIMITS, store)
    for _ in range(2):
        assert (await schema.execute(text, context_value=context())).errors
    assert not store.entries


async def test_a_cached_document_is_not_validated_again() -> None:
    # A document validation would refuse, put in the store: if it runs, validation was skipped.
    store = DocumentStore()
    schema = make_schema(LIMITS, store)
    document = parse("{ hello nothing }")
    cost = document_cost(schema._schema, document, variables={}, page_default=50)
    store.keep("{ hello }", GoodDocument(document=document, cost=cost))
    result = await schema.execute("{ hello }", context_value=context())
    assert (result.data, result.errors) == ({"hello": "world"}, None)


async def test_the_store_is_bounded_and_forgets_the_least_recently_used() -> None:
    schema = make_schema(LIMITS)
    document = parse("{hello}")
    good = GoodDocument(document=document, cost=document_cost(schema._schema, document, variables={}, page_default=50))
    store = DocumentStore(entries_max=2, chars_max=10)
    store.keep("aaaa", good)
    store.keep("bbbb", good)
    assert store.find("aaaa") is good
    store.keep("cc", good)
    assert list(store.entries) == ["aaaa", "cc"]
    store.keep("ddddd", good)
    assert (list(store.entries), store.chars) == (["cc", "ddddd"], 7)
    store.keep("e" * 11, good)
    assert "e" * 11 not in store.entries


async def test_limits_hold_for_streams_and_subscriptions() -> None:
    schema = make_schema(Limits(depth=1, tokens=20))
    for text, rule in (("{thing{name}}", "depth"), ("subscription{" + "a " * 20 + "}", "tokens")):
        (result,) = [result async for result in await schema.stream(text, context_value=context())]
        assert isinstance(result, ExecutionResult)
        assert [(error.extensions or {})["rule"] for error in result.errors or ()] == [rule]


async def test_tokens_at_the_boundary() -> None:
    def spaced(count: int) -> str:
        return "{total(numbers:[" + "1 " * (count - 9) + "])}"

    roomy = Limits(tokens=100)
    assert await codes(spaced(100), roomy) == []
    assert await codes(spaced(101), roomy) == ["tokens"]
    assert await codes("{hello}" + "#\n" * 100, roomy) == ["tokens"]


async def test_characters_at_the_boundary() -> None:
    roomy = Limits(document_chars=100)
    assert await codes("{hello}".ljust(100), roomy) == []
    assert await codes("{hello}".ljust(101), roomy) == ["document_chars"]


async def test_deep_brackets_are_a_parse_error_not_a_fault() -> None:
    assert await codes("{a" * 400 + "}" * 400) == ["GRAPHQL_PARSE_FAILED"]
    assert await codes("{echo(value:" + "[" * 900 + "]" * 900 + ")}") == ["GRAPHQL_PARSE_FAILED"]


async def test_cost_is_the_product_of_page_sizes() -> None:
    # 100 + 100 * 99 = 10,000 and 100 + 100 * 100 = 10,100 objects.
    assert await codes("{things(first:100){things(first:99){name}}}") == []
    assert await codes("{things(first:100){things(first:100){name}}}") == ["cost"]
    assert await codes("{things(first:100){...F}} fragment F on Thing {things(first:100){name}}") == ["cost"]


async def test_cost_of_a_cached_document_follows_its_variables() -> None:
    store = DocumentStore()
    schema = make_schema(LIMITS, store)
    text = "query($n:Int!){things(first:100){things(first:$n){name}}}"
    for size, expected in ((1, 0), (100, 1), (1, 0)):
        result = await schema.execute(text, variable_values={"n": size}, context_value=context())
        assert len(result.errors or ()) == expected
    assert list(store.entries) == [text]


async def test_an_absent_page_size_costs_the_default_page() -> None:
    assert await codes("{things{things{things{name}}}}", Limits(cost=50 + 50**2 + 50**3)) == []
    assert await codes("{things{things{things{name}}}}", Limits(cost=50 + 50**2 + 50**3 - 1)) == ["cost"]


async def test_at_most_ten_errors_are_returned() -> None:
    text = "{thing{" + " ".join(f"nothing{i}" for i in range(40)) + "}}"
    assert await codes(text) == ["GRAPHQL_VALIDATION_FAILED"] * 10


async def test_documents_that_make_validation_quadratic_never_reach_it() -> None:
    # Validation would find these valid or wrong after seconds; its verdict would be another code.
    spread = "{thing{" + " ".join(f"...F{i}" for i in range(50)) + "}}"
    fields = " ".join(f"f{i}" for i in range(20))
    fragments = " ".join(f"fragment F{i} on Thing {{{fields}}}" for i in range(50))
    assert await codes("{thing{" + "name " * 1_900 + "}}") == ["same_name_pairs"]
    assert await codes(spread + fragments) == ["same_name_pairs"]
