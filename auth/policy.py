"""Who may call what: one table, one row per root field. A field without a row does not start.

Which *things* a caller sees is decided where they are read: the tenant comes from the credential.
"""

from auth.actor import Actor, Role

EVERYBODY = frozenset(Role) - {Role.MODULE_SERVICE}
"""Any token. Anonymous callers hold no role at all."""
WITH_SERVICES = frozenset(Role)
"""Any token or API key: what belongs to no tenant."""
ADMINS = frozenset({Role.SUPER_ADMIN, Role.ORGANIZATION_ADMIN})
PLATFORM_ONLY = frozenset({Role.SUPER_ADMIN})
KEEPERS = frozenset({Role.SUPER_ADMIN, Role.MODULE_SERVICE})
"""Who keeps a module in the registry. Its service is told of another module what it is told of one there is not."""
COMPANY_WRITERS = frozenset({Role.SUPER_ADMIN, Role.ORGANIZATION_ADMIN, Role.COMPANY_ADMIN})

PUBLIC: frozenset[Role] = frozenset()
"""No token needed: what a signup page shows before anybody has signed up."""

POLICY: dict[str, frozenset[Role]] = {
    "Query.viewer": WITH_SERVICES,
    "Query.module": WITH_SERVICES,
    "Query.modules": WITH_SERVICES,
    "Query.discoverModule": KEEPERS,
    "Query.validateManifest": WITH_SERVICES,
    "Query.industry": PUBLIC,
    "Query.industries": PUBLIC,
    "Query.organization": EVERYBODY,
    "Query.organizations": PLATFORM_ONLY,
    "Query.company": EVERYBODY,
    "Query.effectiveConfig": EVERYBODY,
    "Query.events": EVERYBODY,
    "Query.operation": PLATFORM_ONLY,
    "Query.deadEvents": PLATFORM_ONLY,
    "Query.subgraph": KEEPERS,
    "Query.supergraph": PLATFORM_ONLY,
    "Query.supergraphs": PLATFORM_ONLY,
    "Mutation.registerModule": KEEPERS,
    "Mutation.updateModule": PLATFORM_ONLY,
    "Mutation.activateModule": PLATFORM_ONLY,
    "Mutation.deactivateModule": PLATFORM_ONLY,
    "Mutation.deleteModule": PLATFORM_ONLY,
    "Mutation.createModuleApiKey": PLATFORM_ONLY,
    "Mutation.revokeModuleApiKey": PLATFORM_ONLY,
    "Mutation.registerModuleInstance": KEEPERS,
    "Mutation.heartbeatModuleInstance": KEEPERS,
    "Mutation.deregisterModuleInstance": KEEPERS,
    "Mutation.registerSubgraph": KEEPERS,
    "Mutation.approveSubgraph": PLATFORM_ONLY,
    "Mutation.activateSubgraph": KEEPERS,
    "Mutation.deactivateSubgraph": KEEPERS,
    "Mutation.rollbackSupergraph": PLATFORM_ONLY,
    "Mutation.createIndustry": PLATFORM_ONLY,
    "Mutation.updateIndustry": PLATFORM_ONLY,
    "Mutation.deleteIndustry": PLATFORM_ONLY,
    "Mutation.signUpOrganization": PLATFORM_ONLY,
    "Mutation.updateOrganization": ADMINS,
    "Mutation.createCompany": ADMINS,
    "Mutation.assignModule": ADMINS,
    "Mutation.unassignModule": ADMINS,
    "Mutation.applyIndustryTemplate": ADMINS,
    "Mutation.bulkAssignModules": PLATFORM_ONLY,
    "Mutation.cancelOperation": PLATFORM_ONLY,
    "Mutation.setOrganizationConfig": ADMINS,
    "Mutation.setCompanyConfig": COMPANY_WRITERS,
    "Mutation.revokeTokens": ADMINS,
    "Mutation.replayDeadEvent": PLATFORM_ONLY,
    "Subscription.moduleEvents": EVERYBODY,
    "Subscription.effectiveConfigChanged": EVERYBODY,
    "Subscription.operationProgress": PLATFORM_ONLY,
}


def may_call(actor: Actor, field: str) -> bool:
    """Whether the caller's roles let it call a root field, `Query.modules` say."""
    allowed = POLICY[field]
    return allowed == PUBLIC or not allowed.isdisjoint(actor.roles)
