"""What errors show, and what they never show."""

import logging

import pytest
from strawberry.types.execution import ExecutionResult

from graph.limits import Limits
from tests.transport.probe import SECRET, Actor, Context, Log, make_schema

pytestmark = pytest.mark.asyncio


def context() -> Context:
    return Context(actor=Actor("alice"), number=1, log=Log())


async def run(text: str, **variables: object) -> list[dict[str, object]]:
    result = await make_schema(Limits()).execute(text, variable_values=variables, context_value=context())
    return [dict(error.formatted) for error in result.errors or ()]


async def test_a_fault_is_masked_and_logged_under_the_same_id(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="graph.masking"):
        (error,) = await run("{ fails }")
    extensions = error["extensions"]
    assert isinstance(extensions, dict)
    assert (error["message"], error["path"], extensions["code"]) == ("Internal error", ["fails"], "INTERNAL")
    (record,) = [record for record in caplog.records if record.name == "graph.masking"]
    assert extensions["correlationId"] in record.getMessage()
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == SECRET


@pytest.mark.parametrize("field", ["fails", "failsNullable", "badNumber"])
async def test_no_secret_is_told(field: str) -> None:
    assert SECRET not in str(await run(f"{{ {field} }}"))
    assert (await run(f"{{ {field} }}"))[0]["message"] == "Internal error"


async def test_an_api_error_keeps_its_message_code_and_extensions() -> None:
    (error,) = await run("{ refuses }")
    assert (error["message"], error["extensions"]) == ("Too much.", {"code": "QUOTA", "retryAfter": 3})


@pytest.mark.parametrize(
    ("text", "variables", "code"),
    [
        ("{", {}, "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("query($n: Int!, $m: Int!) { things(first: $n) { name } }", {"n": 1, "m": 1}, "GRAPHQL_VALIDATION_FAILED"),
        ("query($n: Int!) { things(first: $n) { name } }", {"n": "x"}, "BAD_USER_INPUT"),
        ("query($n: Int!) { things(first: $n) { name } }", {}, "BAD_USER_INPUT"),
        ("query($n: Int = 1) { things(first: $n) { name } }", {"n": None}, "BAD_USER_INPUT"),
        ("{ things(first: 99999999999) { name } }", {}, "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_every_error_has_a_code(text: str, variables: dict[str, object], code: str) -> None:
    (error,) = await run(text, **variables)
    assert error["extensions"] == {"code": code}


async def test_errors_inside_a_subscription_are_masked() -> None:
    stream = await make_schema(Limits()).stream("subscription { breaks }", context_value=context())
    results = [result async for result in stream]
    assert [type(result) for result in results] == [ExecutionResult, ExecutionResult]
    first, last = (result for result in results if isinstance(result, ExecutionResult))
    assert first.data == {"breaks": 1}
    (error,) = last.errors or []
    assert (error.message, (error.extensions or {})["code"]) == ("Internal error", "INTERNAL")
