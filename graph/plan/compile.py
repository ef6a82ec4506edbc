"""From a valid document to a plan. Which fields an object is asked for is graphql-core's to say: it collects them.

@include and @skip are decided here, so a plan is good for one set of answers to them: see graph/plan/kept.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLBoolean,
    GraphQLID,
    GraphQLIncludeDirective,
    GraphQLInterfaceType,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLSkipDirective,
    GraphQLString,
    GraphQLUnionType,
    OperationDefinitionNode,
    OperationType,
    is_leaf_type,
)
from graphql.execution.collect_fields import (
    FieldDetailsList,
    FragmentDetails,
    GroupedFieldSet,
    collect_fields,
    collect_subfields,
)
from graphql.execution.values import VariableValues
from strawberry.scalars import JSON
from strawberry.schema import Schema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.schema.types.scalar import DEFAULT_SCALAR_REGISTRY
from strawberry.types.scalar import ScalarDefinition

from graph.plan.plan import Place, Plan, PlannedField, Selection, Shape, UncoveredError
from graph.plan.reading import TypeName, reading_of
from graph.plan.shape import AbstractOf, Leaf, ListOf, ObjectOf

TYPE_NAME = "__typename"
CONDITIONS = frozenset({GraphQLIncludeDirective.name, GraphQLSkipDirective.name})
# What these scalars make of a value of this very type is the value.
JSON_DEFINITION = DEFAULT_SCALAR_REGISTRY[JSON]
JSON_TYPES: frozenset[type] = frozenset({dict, list, str, int, float, bool})
WRITTEN_AS_IS: Mapping[object, frozenset[type]] = {
    GraphQLString: frozenset({str}),
    GraphQLID: frozenset({str}),
    GraphQLBoolean: frozenset({bool}),
}


def compile_plan(
    schema: Schema, document: DocumentNode, operation: OperationDefinitionNode, variables: VariableValues
) -> Plan:
    """Plan a query, or a mutation of one field: several run one after the other, and each sees what the others did.

    The document is valid; of the variables only those that conditions ask for have a say. Raises UncoveredError for
    what plans do not cover.
    """
    graphql_schema = schema._schema  # where Strawberry's own extensions read it
    root_type = graphql_schema.get_root_type(operation.operation)
    if root_type is None:
        raise UncoveredError
    fragments = {
        each.name.value: FragmentDetails(each)
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    compiling = _Compiling(schema, graphql_schema, operation, fragments, variables)
    collected = collect_fields(graphql_schema, fragments, variables, root_type, operation)
    if operation.operation is OperationType.MUTATION and len(collected.grouped_field_set) != 1:
        raise UncoveredError
    root = compiling.selection(root_type, collected.grouped_field_set)
    return Plan(
        schema=graphql_schema,
        operation=operation,
        fragments={name: each.definition for name, each in fragments.items()},
        root=root,
        size=compiling.size,
    )


def _written_as_is(leaf: GraphQLLeafType) -> frozenset[type]:
    definition = leaf.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if isinstance(definition, ScalarDefinition) and definition.serialize is JSON_DEFINITION.serialize:
        return JSON_TYPES
    return WRITTEN_AS_IS.get(leaf, frozenset())


@dataclass(slots=True)
class _Compiling:
    schema: Schema
    graphql_schema: GraphQLSchema
    operation: OperationDefinitionNode
    fragments: dict[str, FragmentDetails]
    variables: VariableValues
    size: int = 0  # fields planned so far

    def selection(self, parent: GraphQLObjectType, fields: GroupedFieldSet) -> Selection:
        planned = tuple(self._field(parent, key, details) for key, details in fields.items())
        self.size += len(planned)
        return Selection.of(planned)

    def _field(self, parent: GraphQLObjectType, key: str, details: FieldDetailsList) -> PlannedField:
        nodes = [each.node for each in details]
        name = nodes[0].name.value
        if any(directive.name.value not in CONDITIONS for node in nodes for directive in node.directives or ()):
            raise UncoveredError
        if name == TYPE_NAME:
            written = Leaf(is_nullable=False, leaf=GraphQLString, written_as_is=WRITTEN_AS_IS[GraphQLString])
            return PlannedField(key=key, reading=TypeName(parent.name), shape=written)
        definition = parent.fields.get(name)
        if definition is None:
            raise UncoveredError  # introspection
        place = Place(field_name=name, parent_type=parent, return_type=definition.type, field_nodes=nodes)
        return PlannedField(
            key=key,
            reading=reading_of(self.schema, place, definition),
            shape=self._shape(definition.type, place, details),
        )

    def _shape(self, type_: GraphQLOutputType, place: Place, details: FieldDetailsList) -> Shape:
        is_nullable = not isinstance(type_, GraphQLNonNull)
        bare = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
        if isinstance(bare, GraphQLList):
            return ListOf(is_nullable=is_nullable, items=self._shape(bare.of_type, place, details))
        if isinstance(bare, GraphQLObjectType):
            return self._object(bare, place, details, is_nullable=is_nullable)
        if isinstance(bare, GraphQLInterfaceType | GraphQLUnionType):
            if bare.resolve_type is None:
                raise UncoveredError
            objects = {
                each.name: self._object(each, place, details, is_nullable=False)
                for each in self.graphql_schema.get_possible_types(bare)
            }
            return AbstractOf(
                is_nullable=is_nullable, place=place, abstract=bare, resolve_type=bare.resolve_type, objects=objects
            )
        if not is_leaf_type(bare):
            raise UncoveredError
        return Leaf(is_nullable=is_nullable, leaf=bare, written_as_is=_written_as_is(bare))

    def _object(
        self, type_: GraphQLObjectType, place: Place, details: FieldDetailsList, *, is_nullable: bool
    ) -> ObjectOf:
        collected = collect_subfields(
            self.graphql_schema, self.fragments, self.variables, self.operation, type_, details
        )
        selection = self.selection(type_, collected.grouped_field_set)
        return ObjectOf(is_nullable=is_nullable, place=place, selection=selection, is_type_of=type_.is_type_of)
