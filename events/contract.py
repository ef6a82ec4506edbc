"""What an event says, as a promise: one JSON Schema per type and version, and one AsyncAPI 3 document over them.

Within a version only optional members are added; anything else is a new version beside the old one. Consumers ignore
what they do not know: no schema forbids further members.
"""

from typing import Any

from events.envelope import SCHEMA_BASE
from events.types import PARTITIONS, EventType

Schema = dict[str, Any]

UUID: Schema = {"type": "string", "format": "uuid"}
TEXT: Schema = {"type": "string"}
CODE: Schema = {"type": "string", "pattern": "^[a-z][a-z0-9-]{1,62}$"}
REVISION: Schema = {"type": "integer", "minimum": 1}
BOOLEAN: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
TEXTS: Schema = {"type": "array", "items": TEXT}
CODES: Schema = {"type": "array", "items": CODE}
TIME: Schema = {"type": "string", "format": "date-time"}


def _maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(description: str, required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": {**required, **(optional or {})},
        "required": sorted(required),
    }


MODULE = _object(
    "The module as the registry has it.",
    {
        "code": CODE,
        "name": TEXT,
        "description": TEXT,
        "category": TEXT,
        "tags": TEXTS,
        "tier": {"enum": ["CORE", "OPTIONAL", "INTERNAL"]},
        "visibility": {"enum": ["PUBLIC", "SHARED", "PRIVATE"]},
        "is_active": BOOLEAN,
        "is_deleted": BOOLEAN,
        "service_name": _maybe(TEXT),
        "api_endpoint": _maybe(TEXT),
        "version": TEXT,
        "metadata": OBJECT,
        "revision": REVISION,
    },
)
VERSION = _object("The version registered.", {"number": TEXT, "manifest": OBJECT, "content_sha256": TEXT})
INDUSTRY = _object(
    "The industry with its template.",
    {
        "code": CODE,
        "name": TEXT,
        "description": TEXT,
        "is_active": BOOLEAN,
        "is_deleted": BOOLEAN,
        "revision": REVISION,
        "modules": {
            "type": "array",
            "items": _object(
                "A module of the template.",
                {
                    "module": CODE,
                    "is_required": BOOLEAN,
                    "default_config": OBJECT,
                    "display_order": {"type": "integer"},
                },
            ),
        },
    },
)
ORGANIZATION = _object(
    "The organization.",
    {
        "id": UUID,
        "name": TEXT,
        "industry_code": _maybe(TEXT),
        "industry_name": _maybe(TEXT),
        "plan": {"enum": ["free", "standard", "premium", "enterprise"]},
        "revision": REVISION,
    },
)
COMPANY = _object("The company.", {"id": UUID, "organization_id": UUID, "name": TEXT, "revision": REVISION})
ASSIGNMENT = _object(
    "The organization's module, with its own layer of configuration.",
    {
        "module": CODE,
        "tier": {"enum": ["CORE", "OPTIONAL", "INTERNAL"]},
        "version": TEXT,
        "state": {"enum": ["INSTALLED", "ACTIVE", "SUSPENDED", "UPDATING", "FAILED"]},
        "is_required": BOOLEAN,
        "is_requested": BOOLEAN,
        "industry_code": _maybe(TEXT),
        "industry_config": OBJECT,
        "config": OBJECT,
        "enabled_features": TEXTS,
        "disabled_features": TEXTS,
        "revision": REVISION,
        "assigned_at": TIME,
        "assigned_by": TEXT,
    },
)
COMPANY_MODULE = _object(
    "What the company overrides.",
    {
        "module": CODE,
        "company_id": UUID,
        "is_enabled": BOOLEAN,
        "config": OBJECT,
        "enabled_features": TEXTS,
        "disabled_features": TEXTS,
        "revision": REVISION,
    },
)
ASSIGNMENTS: Schema = {"type": "array", "items": ASSIGNMENT}
COUNT: Schema = {"type": "integer", "minimum": 0}
SUBGRAPH = _object(
    "What a version of a module brings into the graph; its SDL is read over GraphQL.",
    {
        "id": UUID,
        "module": CODE,
        "version": TEXT,
        # a state may be added: whoever does not know it has nothing to do for it
        "state": {**TEXT, "description": "CHECKING, FAILED, NEEDS_APPROVAL, CHECKED, ACTIVATING, ACTIVE, …"},
        "sdl_sha256": TEXT,
        "routing_url": TEXT,
        "errors": COUNT,
        "breaking_changes": COUNT,
        "requested_by": TEXT,
        "approved_by": _maybe(TEXT),
        "asked_by": {**TEXT, "description": "Who asked for the last change of its state."},
        "revision": REVISION,
    },
)
SUPERGRAPH = _object(
    "The graph that is served from now on; its SDL is fetched from /artifacts/v1/current/supergraph.",
    {
        "version": REVISION,
        "sha256": TEXT,
        "composer": TEXT,
        "created_by": TEXT,
        "inputs": {
            "type": "array",
            "items": _object(
                "A subgraph in it; the platform's own has neither an id nor a version.",
                {"name": TEXT, "subgraph_id": _maybe(UUID), "version": _maybe(TEXT), "url": TEXT, "sha256": TEXT},
            ),
        },
    },
)

_ONE_ASSIGNMENT = {"assignment": ASSIGNMENT, "is_assigned": BOOLEAN}
PAYLOADS: dict[EventType, Schema] = {
    EventType.ASSIGNED: _object("A module was given to the organization.", _ONE_ASSIGNMENT),
    EventType.UNASSIGNED: _object("A module was taken away; the assignment as it was.", _ONE_ASSIGNMENT),
    EventType.STATE_CHANGED: _object(
        "An assignment changed its state, or its module was switched on or off for everybody.",
        _ONE_ASSIGNMENT,
        {"is_available": BOOLEAN},
    ),
    EventType.BULK_ASSIGNED: _object(
        "Modules were given to the organization by a bulk operation.",
        {"assignments": ASSIGNMENTS, "modules": CODES},
    ),
    EventType.INDUSTRY_APPLIED: _object(
        "An industry's template was applied; the assignments it made or changed.",
        {"industry": CODE, "organization": ORGANIZATION, "assignments": ASSIGNMENTS, "modules": CODES},
    ),
    EventType.CONFIG_UPDATED: _object(
        "A layer of a module's configuration was written; `effective` is the merged result for its owner.",
        {"layer": {"enum": ["ORGANIZATION", "COMPANY"]}, "assignment": ASSIGNMENT, "effective": OBJECT},
        {"company_id": UUID, "company_module": COMPANY_MODULE},
    ),
    EventType.REGISTERED: _object(
        "A module, or a version of it, was registered.", {"module": MODULE, "version": VERSION}
    ),
    EventType.UPDATED: _object("What the registry says of a module changed.", {"module": MODULE}),
    EventType.ACTIVATED: _object("A module was switched on for everybody.", {"module": MODULE}),
    EventType.DEACTIVATED: _object("A module was switched off for everybody.", {"module": MODULE}),
    EventType.DELETED: _object("A module was deleted.", {"module": MODULE}),
    EventType.INDUSTRY_CREATED: _object("An industry was created.", {"industry": INDUSTRY}),
    EventType.INDUSTRY_UPDATED: _object("An industry changed.", {"industry": INDUSTRY}),
    EventType.INDUSTRY_DELETED: _object("An industry was deleted.", {"industry": INDUSTRY}),
    EventType.ORGANIZATION_CREATED: _object("An organization signed up.", {"organization": ORGANIZATION}),
    EventType.ORGANIZATION_UPDATED: _object("An organization changed.", {"organization": ORGANIZATION}),
    EventType.COMPANY_CREATED: _object("A company was created.", {"company": COMPANY, "company_id": UUID}),
    EventType.SUBGRAPH_CHANGED: _object(
        "The subgraph of a module's version was registered, checked, approved, put into the graph or taken out.",
        {"subgraph": SUBGRAPH},
    ),
    EventType.SUPERGRAPH_PUBLISHED: _object(
        "Another graph is served: a new one, or an earlier one again.",
        {"supergraph": SUPERGRAPH, "moved_by": TEXT},
    ),
}


def body_schema(kind: EventType) -> Schema:
    """The JSON Schema (2020-12) of an event's body: the four fields that the documents fix."""
    body = _object(
        PAYLOADS[kind]["description"],
        {
            "organization_id": {**_maybe(UUID), "description": "Null on the platform's stream."},
            "module_id": {**_maybe(CODE), "description": "Null when the event is about several modules or none."},
            "user_id": {**TEXT, "description": "Who did it."},
            "payload": PAYLOADS[kind],
        },
    )
    name = kind.cloud_event_type
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{SCHEMA_BASE}/{name}.json",
        "title": name,
        **body,
    }


HEADERS = _object(
    "CloudEvents 1.0 attributes in Kafka's binary mode.",
    {
        "id": {**UUID, "description": "The same as ce_id, under the name that Debezium's event router gives it."},
        "ce_specversion": {"const": "1.0"},
        "ce_id": UUID,
        "ce_source": {**TEXT, "description": "/organizations/{organization}"},
        "ce_type": TEXT,
        "ce_time": TIME,
        "ce_dataschema": {"type": "string", "format": "uri"},
        "ce_organizationid": {**UUID, "description": "The nil UUID is the platform's stream."},
        "ce_rev": {"type": "string", "pattern": "^[1-9][0-9]*$", "description": "Gapless per organization."},
        "ce_partitionkey": TEXT,
        "ce_subject": {
            **TEXT,
            "description": "A module's code, else an industry's, else a company's id, else the organization's.",
        },
        "ce_actorid": {**TEXT, "description": "Who did it."},
        "ce_traceparent": {
            "type": "string",
            "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
            "description": "W3C trace context: the caller's, or one that began with the change.",
        },
        "content-type": {"const": "application/json"},
    },
)


def asyncapi(version: str) -> Schema:
    """The AsyncAPI 3 document of everything that Modplane publishes."""
    channels, operations, messages = {}, {}, {}
    for kind in EventType:
        name = kind.value.replace(".", "_")
        messages[name] = {
            "name": kind.cloud_event_type,
            "contentType": "application/json",
            "headers": {"$ref": "#/components/schemas/Headers"},
            "payload": {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": body_schema(kind)},
            "bindings": {"kafka": {"key": UUID, "bindingVersion": "0.5.0"}},
        }
        channels[name] = {
            "address": kind.topic,
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
            "bindings": {"kafka": {"topic": kind.topic, "partitions": PARTITIONS, "bindingVersion": "0.5.0"}},
        }
        operations[f"publish_{name}"] = {"action": "send", "channel": {"$ref": f"#/channels/{name}"}}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Modplane events",
            "version": version,
            "description": "At least once; the key is the organization's id, and ce_rev numbers its events without"
            " gaps. Topics are ordered among themselves by ce_rev only.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": {"Headers": HEADERS}},
    }
