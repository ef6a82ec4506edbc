"""Plans in Modplane itself: what is declared for them is used, and a mutation's command runs once."""

from graphql import GraphQLObjectType
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from graph.plan.batch import _batches
from graph.schema import schema
from tests.support.platform import Platform
from tests.support.stories import assign, events_of, register, sign_up, unique


def test_every_batch_is_a_fields() -> None:
    fields = [
        field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
        for type_ in schema._schema.type_map.values()
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__")
        for field in type_.fields.values()
    ]
    resolvers = {
        field.base_resolver.wrapped_func
        for field in fields
        # an extension would be passed by
        if isinstance(field, StrawberryField) and field.base_resolver and not field.extensions
    }
    ours = {each for each in _batches if each.__module__.startswith("graph.types.")}
    assert len(ours) >= 10
    assert ours <= resolvers


async def test_a_mutation_runs_once_though_its_answer_fails(platform: Platform) -> None:
    module, organization = await register(platform, unique("module")), await sign_up(platform)
    assert (await assign(platform, organization, module))["errors"] == []
    before = await events_of(platform, organization)
    query = (
        "mutation($input: SetOrganizationConfigInput!) { setOrganizationConfig(input: $input) {"
        ' revision effectiveConfig { revision value(pointer: "no pointer") } } }'
    )
    variables = {"input": {"organizationId": organization, "module": module, "value": {"a": 1}}}
    answer = (await platform.post(query, variables)).json()
    assert [error["path"] for error in answer["errors"]] == [["setOrganizationConfig", "effectiveConfig", "value"]]
    revision = answer["data"]["setOrganizationConfig"]["revision"]
    assert answer["data"]["setOrganizationConfig"]["effectiveConfig"] == {"revision": revision, "value": None}
    added = (await events_of(platform, organization))[len(before) :]
    assert [(event["type"], event["revision"]) for event in added] == [("CONFIG_UPDATED", revision)]
