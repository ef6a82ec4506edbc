"""Every kind of fact there is: one table, from which topics, CloudEvents types and the API's enum follow."""

from enum import StrEnum

TOPIC_PREFIX = "tenant."
PARTITIONS = 3


class EventType(StrEnum):
    """Facts, past tense. The value is the aggregate type: the topic is `tenant.` and it."""

    ASSIGNED = "module.assigned"
    UNASSIGNED = "module.unassigned"
    BULK_ASSIGNED = "module.bulk_assigned"
    INDUSTRY_APPLIED = "module.industry_applied"
    CONFIG_UPDATED = "module.config_updated"
    STATE_CHANGED = "module.state_changed"
    REGISTERED = "module.registered"
    UPDATED = "module.updated"
    ACTIVATED = "module.activated"
    DEACTIVATED = "module.deactivated"
    DELETED = "module.deleted"
    INDUSTRY_CREATED = "module.industry_created"
    INDUSTRY_UPDATED = "module.industry_updated"
    INDUSTRY_DELETED = "module.industry_deleted"
    ORGANIZATION_CREATED = "module.organization_created"
    ORGANIZATION_UPDATED = "module.organization_updated"
    COMPANY_CREATED = "module.company_created"
    SUBGRAPH_CHANGED = "module.subgraph_changed"
    SUPERGRAPH_PUBLISHED = "module.supergraph_published"

    @property
    def topic(self) -> str:
        return TOPIC_PREFIX + self.value

    @property
    def cloud_event_type(self) -> str:
        """Type and version: a breaking change of the body is a new version beside the old one."""
        return f"{self.topic}.v1"


TOPICS = tuple(sorted(kind.topic for kind in EventType))

# Where the consumer puts what it could not apply. Not among TOPICS: nobody here reads it.
DLQ_TOPIC = TOPIC_PREFIX + "module.dlq"
