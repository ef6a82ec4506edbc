"""The names and shapes that the API has promised: each is there, as promised. There may be more, never less.

The tables say each type's fields (arguments and defaults with them), inputs and enum values. They only grow.
"""

import re

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    Undefined,
    ast_from_value,
    get_named_type,
    print_ast,
)

from graph.schema import schema

OBJECTS = """
Module | code: String!; name: String!; description: String!; category: String!; tags: [String!]!; tier: ModuleTier!;
    visibility: ModuleVisibility!; isActive: Boolean!; serviceName: String; apiEndpoint: String; metadata: JSON!;
    revision: Int!; latestVersion: ModuleVersion; versions(first: Int, after: String): ModuleVersionConnection!;
    dependencies(transitive: Boolean = false): [ModuleDependency!]!; dependents(transitive: Boolean = false):
    [Module!]!; assignments(first: Int, after: String): ModuleAssignmentConnection!; createdAt: DateTime!; updatedAt:
    DateTime!
ModuleVersion | module: Module!; number: String!; manifest: JSON!; configSchema: JSON; defaultConfig: JSON!;
    permissions: [String!]!; features: [String!]!; publishedAt: DateTime!
ModuleDependency | module: Module!; range: String!; optional: Boolean!
Industry | code: String!; name: String!; description: String!; isActive: Boolean!; revision: Int!; modules:
    [IndustryModule!]!
IndustryModule | module: Module!; isRequired: Boolean!; defaultConfig: JSON!; displayOrder: Int!
Organization | id: ID!; name: String!; industry: Industry; plan: String!; revision: Int!; modules(states:
    [AssignmentState!]): [ModuleAssignment!]!; module(code: String!): ModuleAssignment; companies(first: Int, after:
    String): CompanyConnection!; effectiveConfig(module: String!, companyId: ID): EffectiveConfig;
    effectiveConfigs(companyId: ID): [EffectiveConfig!]!
Company | id: ID!; name: String!; organization: Organization!; effectiveConfig(module: String!): EffectiveConfig;
    effectiveConfigs: [EffectiveConfig!]!
ModuleAssignment | organization: Organization!; module: Module!; version: String!; state: AssignmentState!;
    isRequired: Boolean!; dependencyOf: [Module!]!; config: JSON!; enabledFeatures: [String!]!; disabledFeatures:
    [String!]!; revision: Int!; assignedAt: DateTime!; assignedBy: String!
EffectiveConfig | module: Module!; organization: Organization!; company: Company; values: JSON!; value(pointer:
    String!): JSON; leaves(pointerPrefix: String): [ConfigLeaf!]!; revision: Int!
ConfigLeaf | pointer: String!; value: JSON; layer: ConfigLayer!; revision: Int; setBy: String; setAt: DateTime;
    reason: String; shadowed: [ShadowedValue!]!
ShadowedValue | layer: ConfigLayer!; value: JSON
ModuleEvent | id: ID!; type: ModuleEventType!; organizationId: ID; organization: Organization; moduleCode: String;
    module: Module; companyId: ID; revision: Int!; cursor: String!; actor: String!; occurredAt: DateTime!; payload:
    JSON!
Operation | id: ID!; kind: String!; status: OperationStatus!; done: Int!; total: Int!; startedAt: DateTime;
    finishedAt: DateTime; errors: [UserError!]!
Query | viewer: Viewer!; module(code: String!): Module; modules(filter: ModuleFilter, first: Int = 50, after: String):
    ModuleConnection!; industry(code: String!): Industry; industries(first: Int = 50, after: String):
    IndustryConnection!; organization(id: ID!): Organization; organizations(filter: OrganizationFilter, first: Int =
    50, after: String): OrganizationConnection!; company(id: ID!): Company; effectiveConfig(organizationId: ID!,
    module: String!, companyId: ID): EffectiveConfig; events(organizationId: ID, types: [ModuleEventType!],
    moduleCode: String, first: Int = 50, after: String): ModuleEventConnection!; operation(id: ID!): Operation
Viewer | subject: String!; roles: [String!]!; organization: Organization; company: Company
Mutation | registerModule(input: RegisterModuleInput!): ModulePayload!; updateModule(input: UpdateModuleInput!):
    ModulePayload!; activateModule(input: ModuleRefInput!): ModulePayload!; deactivateModule(input: ModuleRefInput!):
    ModulePayload!; deleteModule(input: ModuleRefInput!): ModulePayload!; createIndustry(input: CreateIndustryInput!):
    IndustryPayload!; updateIndustry(input: UpdateIndustryInput!): IndustryPayload!; deleteIndustry(input:
    IndustryRefInput!): IndustryPayload!; signUpOrganization(input: SignUpOrganizationInput!): OrganizationPayload!;
    updateOrganization(input: UpdateOrganizationInput!): OrganizationPayload!; createCompany(input:
    CreateCompanyInput!): CompanyPayload!; assignModule(input: AssignModuleInput!): AssignmentsPayload!;
    unassignModule(input: UnassignModuleInput!): AssignmentsPayload!; applyIndustryTemplate(input:
    ApplyIndustryTemplateInput!): AssignmentsPayload!; bulkAssignModules(input: BulkAssignModulesInput!):
    OperationPayload!; setOrganizationConfig(input: SetOrganizationConfigInput!): ConfigPayload!;
    setCompanyConfig(input: SetCompanyConfigInput!): ConfigPayload!
UserError | message: String!; code: String!; path: [String!]!; pointer: String
Payload | errors: [UserError!]!; revision: Int
ModulePayload | module: Module; affected: [Change!]!; errors: [UserError!]!; revision: Int
IndustryPayload | industry: Industry; errors: [UserError!]!; revision: Int
OrganizationPayload | organization: Organization; errors: [UserError!]!; revision: Int
CompanyPayload | company: Company; errors: [UserError!]!; revision: Int
AssignmentsPayload | assignments: [ModuleAssignment!]!; affected: [Change!]!; errors: [UserError!]!; revision: Int
ConfigPayload | effectiveConfig: EffectiveConfig; errors: [UserError!]!; revision: Int
OperationPayload | operation: Operation; errors: [UserError!]!; revision: Int
Change | action: ChangeAction!; module: String!; organizationId: ID; cause: String!
Subscription | moduleEvents(organizationId: ID, moduleCode: String, types: [ModuleEventType!], after: String):
    ModuleEvent!; operationProgress(id: ID!): Operation!
"""
INPUTS = """
ModuleFilter | search: String; category: String; tag: String; tier: ModuleTier; isActive: Boolean
OrganizationFilter | search: String; industryCode: String; moduleCode: String; plan: String
RegisterModuleInput | manifest: JSON!; visibility: ModuleVisibility; tier: ModuleTier; idempotencyKey: String
UpdateModuleInput | code: String!; name: String; description: String; category: String; tags: [String!]; metadata:
    JSON; visibility: ModuleVisibility; expectedRevision: Int; idempotencyKey: String
ModuleRefInput | code: String!; cascade: Cascade = REFUSE; dryRun: Boolean = false; expectedRevision: Int;
    idempotencyKey: String
IndustryModuleInput | module: String!; isRequired: Boolean = false; defaultConfig: JSON; displayOrder: Int
CreateIndustryInput | code: String!; name: String!; description: String; modules: [IndustryModuleInput!]!;
    idempotencyKey: String
UpdateIndustryInput | code: String!; name: String; description: String; isActive: Boolean; modules:
    [IndustryModuleInput!]; expectedRevision: Int; idempotencyKey: String
IndustryRefInput | code: String!; expectedRevision: Int; idempotencyKey: String
SignUpOrganizationInput | name: String!; industryCode: String; plan: String; idempotencyKey: String
UpdateOrganizationInput | organizationId: ID!; name: String; plan: String; expectedRevision: Int; idempotencyKey:
    String
CreateCompanyInput | organizationId: ID!; name: String!; idempotencyKey: String
AssignModuleInput | organizationId: ID!; module: String!; version: String; config: JSON; activate: Boolean = true;
    dryRun: Boolean = false; expectedRevision: Int; idempotencyKey: String
UnassignModuleInput | organizationId: ID!; module: String!; cascade: Cascade = AUTO; dryRun: Boolean = false;
    expectedRevision: Int; idempotencyKey: String
ApplyIndustryTemplateInput | organizationId: ID!; industryCode: String!; dryRun: Boolean = false; idempotencyKey:
    String
BulkAssignModulesInput | organizationIds: [ID!]; organizationFilter: OrganizationFilter; modules: [String!]!;
    idempotencyKey: String
SetOrganizationConfigInput | organizationId: ID!; module: String!; write: ConfigWrite = MERGE_PATCH; value: JSON!;
    reason: String; dryRun: Boolean = false; expectedRevision: Int; idempotencyKey: String
SetCompanyConfigInput | companyId: ID!; module: String!; write: ConfigWrite = MERGE_PATCH; value: JSON!; reason:
    String; dryRun: Boolean = false; expectedRevision: Int; idempotencyKey: String
"""
ENUMS = """
ModuleTier | CORE OPTIONAL INTERNAL
ModuleVisibility | PUBLIC SHARED PRIVATE
AssignmentState | INSTALLED ACTIVE SUSPENDED UPDATING FAILED
ConfigLayer | MODULE INDUSTRY ORGANIZATION COMPANY
ModuleEventType | ASSIGNED UNASSIGNED BULK_ASSIGNED INDUSTRY_APPLIED CONFIG_UPDATED STATE_CHANGED REGISTERED UPDATED
    ACTIVATED DEACTIVATED DELETED
OperationStatus | PENDING RUNNING SUCCEEDED PARTIALLY_SUCCEEDED FAILED CANCELLED
Cascade | AUTO REFUSE
ConfigWrite | REPLACE MERGE_PATCH JSON_PATCH
ChangeAction | ASSIGN UNASSIGN ACTIVATE DEACTIVATE UPDATE DELETE
"""
# Every refusal is one of these.
ERRORS = """NotFoundError AlreadyExistsError InvalidInputError InvalidManifestError ConfigValidationError
DependencyError RevisionConflictError IdempotencyConflictError EntitlementError
StateTransitionError CoreModuleError LockedError QuotaError"""
FIELD = re.compile(r"(?P<name>\w+)(?:\((?P<arguments>.*)\))?: (?P<type>\S+)")
ARGUMENT = re.compile(r"(?P<name>\w+): (?P<type>\S+)(?: = (?P<default>\S+))?")
TYPES = schema._schema.type_map


def table(text: str) -> list[tuple[str, str]]:
    """Each type's name and what the table says of it; a line that starts with a blank goes on with the last."""
    joined = re.sub(r"\n +", " ", text).strip()
    return [(name, rest) for line in joined.splitlines() for name, rest in [line.split(" | ", 1)]]


Arguments = dict[str, GraphQLArgument] | dict[str, GraphQLInputField]


def check_arguments(where: str, promised: str, there: Arguments) -> None:
    """Each one promised takes the same values and means the same when it is left out; new ones can be left out."""
    names = set()
    for text in filter(None, re.split(r"[,;] ", promised)):
        found = ARGUMENT.fullmatch(text)
        assert found, text
        names.add(found["name"])
        argument = there[found["name"]]
        assert str(argument.type) == found["type"], f"{where}.{text}"
        node = None if argument.default_value is None else ast_from_value(argument.default_value, argument.type)
        default = None if node is None else print_ast(node)
        assert default == found["default"], f"{where}.{text}"
    for name in there.keys() - names:
        more = there[name]
        assert not (isinstance(more.type, GraphQLNonNull) and more.default_value is Undefined), f"{where}.{name}"


@pytest.mark.parametrize(("name", "fields"), table(OBJECTS), ids=lambda value: value.split("; ")[0])
def test_a_type_has_the_fields_that_were_promised(name: str, fields: str) -> None:
    there = TYPES[name]
    assert isinstance(there, GraphQLObjectType | GraphQLInterfaceType)
    for text in fields.split("; "):
        found = FIELD.fullmatch(text)
        assert found, text
        field = there.fields[found["name"]]
        assert str(field.type) == found["type"], f"{name}.{text}"
        check_arguments(f"{name}.{found['name']}", found["arguments"] or "", field.args)


@pytest.mark.parametrize(("name", "fields"), table(INPUTS), ids=lambda value: value.split("; ")[0])
def test_an_input_takes_what_was_promised(name: str, fields: str) -> None:
    there = TYPES[name]
    assert isinstance(there, GraphQLInputObjectType)
    check_arguments(name, fields, there.fields)


@pytest.mark.parametrize(("name", "values"), table(ENUMS))
def test_an_enum_has_the_values_that_were_promised(name: str, values: str) -> None:
    there = TYPES[name]
    assert isinstance(there, GraphQLEnumType)
    assert set(values.split()) <= set(there.values)


def test_every_refusal_is_a_user_error() -> None:
    interface = TYPES["UserError"]
    assert isinstance(interface, GraphQLInterfaceType)
    shown = {each.name for each in schema._schema.get_possible_types(interface)}
    assert set(ERRORS.split()) <= shown


def test_every_mutation_takes_one_input_and_answers_with_a_payload() -> None:
    mutation = schema._schema.mutation_type
    payload = TYPES["Payload"]
    assert mutation
    assert isinstance(payload, GraphQLInterfaceType)
    payloads = {each.name for each in schema._schema.get_possible_types(payload)}
    for name, field in mutation.fields.items():
        assert list(field.args) == ["input"], name
        assert get_named_type(field.type).name in payloads, name
        wanted = get_named_type(field.args["input"].type)
        assert isinstance(wanted, GraphQLInputObjectType)
        # what an instance says of itself is the same however often it says it
        assert ("idempotencyKey" in wanted.fields) != name.endswith("ModuleInstance"), name


def test_every_connection_is_one_that_relay_clients_know() -> None:
    connections = [each for name, each in TYPES.items() if name.endswith("Connection")]
    assert len(connections) >= 6
    for connection in connections:
        assert isinstance(connection, GraphQLObjectType)
        node = connection.name.removesuffix("Connection")
        shapes = {name: str(field.type) for name, field in connection.fields.items()}
        assert shapes == {
            "edges": f"[{node}Edge!]!",
            "nodes": f"[{node}!]!",
            "pageInfo": "PageInfo!",
            "totalCount": "Int",
        }
