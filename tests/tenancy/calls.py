"""Calls made from the schema itself, so that a new field is called without anybody remembering to."""

from typing import Any
from uuid import UUID

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    get_named_type,
    is_composite_type,
    is_required_argument,
    is_required_input_field,
)

from graph.schema import schema
from tests.support.platform import Platform

SCHEMA = schema._schema
ROOTS = {"Query": SCHEMA.query_type, "Mutation": SCHEMA.mutation_type, "Subscription": SCHEMA.subscription_type}
# Who may call these is decided elsewhere: _service is the schema itself, _entities asks the policy of each lookup.
FEDERATION = {"Query._entities", "Query._service"}
NOBODY = str(UUID("018f0000-0000-7000-8000-000000000000"))
SCALARS = {"String": "sample", "ID": NOBODY, "Int": 1, "Boolean": False, "JSON": {}, "_Any": {}}
STREAM_SECONDS = 10
# The first is refused. The second is a page of nothing, which makes other pages dearer than a document may be.
NOT_FOR_TENANTS = {"Module.assignments", "Module.subgraphs"}


def root_fields() -> list[str]:
    """Every field of every root that auth/policy.py decides on, `Query.modules` say."""
    names = {f"{root}.{name}" for root, type_ in ROOTS.items() if type_ for name in type_.fields}
    return sorted(names - FEDERATION)


def id_arguments() -> set[str]:
    """Every place where a caller can name a thing by id: `Mutation.assignModule.input.organizationId` say."""
    found: set[str] = set()
    for type_ in SCHEMA.type_map.values():
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__"):
            for name, field in type_.fields.items():
                for argument, definition in field.args.items():
                    found |= _ids_of(f"{type_.name}.{name}.{argument}", definition.type)
    return found


def _ids_of(where: str, type_: GraphQLInputType) -> set[str]:
    named = get_named_type(type_)
    if isinstance(named, GraphQLInputObjectType):
        return set().union(*(_ids_of(f"{where}.{name}", field.type) for name, field in named.fields.items()))
    return {where} if named.name == "ID" else set()


def call(field: str, arguments: dict[str, Any] | None = None, *, depth: int = 1) -> tuple[str, dict[str, Any]]:
    """A document that calls a root field, and its variables: the given arguments, samples for what else is required."""
    root, name = field.split(".")
    type_ = ROOTS[root]
    assert type_
    definition = type_.fields[name]
    variables = {
        argument: sample(each.type) for argument, each in definition.args.items() if is_required_argument(each)
    } | (arguments or {})
    declared = ", ".join(f"${argument}: {definition.args[argument].type}" for argument in variables)
    passed = ", ".join(f"{argument}: ${argument}" for argument in variables)
    head = f"{root.lower()}({declared})" if declared else root.lower()
    inner = f"{name}({passed})" if passed else name
    return f"{head} {{ {inner}{selection(definition.type, depth)} }}", variables


def sample(type_: GraphQLInputType) -> Any:
    """Some value of the type, with no more than it must have."""
    if isinstance(type_, GraphQLNonNull):
        return sample(type_.of_type)
    if isinstance(type_, GraphQLList):
        return [sample(type_.of_type)]
    if isinstance(type_, GraphQLInputObjectType):
        return {name: sample(field.type) for name, field in type_.fields.items() if is_required_input_field(field)}
    if isinstance(type_, GraphQLEnumType):
        return next(iter(type_.values))
    return SCALARS[type_.name]


def selection(type_: GraphQLOutputType, depth: int) -> str:
    """All fields that need no argument, `depth` levels of objects deep; without those for administrators only."""
    named = get_named_type(type_)
    if not is_composite_type(named):
        return ""
    names = ["__typename"]
    if isinstance(named, GraphQLObjectType | GraphQLInterfaceType):
        for name, field in named.fields.items():
            is_callable = not any(is_required_argument(each) for each in field.args.values())
            if not is_callable or f"{named.name}.{name}" in NOT_FOR_TENANTS:
                continue
            if not is_composite_type(get_named_type(field.type)):
                names.append(name)
            elif depth > 0:
                # a page and its edges are no level of their own
                is_page = get_named_type(field.type).name.endswith(("Connection", "Edge", "PageInfo"))
                names.append(name + selection(field.type, depth if is_page else depth - 1))
    return " { " + " ".join(dict.fromkeys(names)) + " }"


async def answer(platform: Platform, field: str, arguments: dict[str, Any] | None, **more: Any) -> bytes:
    """The body of the answer; of a subscription the first message."""
    depth, token = more.pop("depth", 1), more.pop("token")
    query, variables = call(field, arguments, depth=depth)
    if not field.startswith("Subscription."):
        response = await platform.post(query, variables, token=token)
        assert response.status_code < 500, response.text
        return response.content
    return await first_message(platform, query, variables, token)


async def first_message(platform: Platform, query: str, variables: dict[str, Any], token: str | None) -> bytes:
    headers = {"accept": "text/event-stream"} | ({} if token is None else {"authorization": f"Bearer {token}"})
    body = {"query": query, "variables": variables}
    stream = platform.client.stream("POST", platform.url, json=body, headers=headers, timeout=STREAM_SECONDS)
    async with stream as response:
        async for line in response.aiter_lines():
            if line.startswith("data:") and line != "data:":
                return line.removeprefix("data:").strip().encode()
            if line.startswith("{"):  # refused before there was a stream
                return line.encode()
    raise AssertionError("the stream ended without a message")


def codes(body: dict[str, Any]) -> list[str]:
    """The codes of the top-level errors."""
    return [error["extensions"]["code"] for error in body.get("errors", [])]
