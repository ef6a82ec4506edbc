"""The four operations that are compared, and their requests as bytes. Never holds: who answers them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

LIST, NESTED, THREE_TIER, ASSIGN = "list", "nested", "three-tier", "assign"
READS = (LIST, NESTED, THREE_TIER)
OPERATIONS = (*READS, ASSIGN)

DOCUMENTS = {
    LIST: "query { modules(first: 20) { nodes { code name category tier } } }",
    NESTED: "query($id: ID!) { organization(id: $id) { id name plan revision industry { code name }"
    " modules { version state config module { code name } } } }",
    THREE_TIER: "query($id: ID!) { organization(id: $id) { id companies(first: 3) { nodes { id name"
    " effectiveConfigs { module { code } values } } } } }",
    ASSIGN: "mutation($input: AssignModuleInput!) { assignModule(input: $input) { revision errors { code message }"
    " assignments { version state config module { code name } } } }",
}
SAYS = {
    LIST: "20 modules of the registry",
    NESTED: "an organization with its industry, its 10 modules and their own configurations",
    THREE_TIER: "the effective configuration of 10 modules for each of 3 companies",
    ASSIGN: "a module assigned, with its event, outbox row and rev",
}
ASSIGNED_CONFIG = {"limits": {"daily": 250}, "general": {"title": "Assigned by the benchmark"}}


@dataclass(frozen=True)
class Tenant:
    """An organization and its administrator's token. `header`: the Authorization line, ended."""

    id: str
    header: bytes


def variables_of(operation: str, organization: str, module: str = "") -> dict[str, Any]:
    if operation == LIST:
        return {}
    if operation == ASSIGN:
        return {"input": {"organizationId": organization, "module": module, "config": ASSIGNED_CONFIG}}
    return {"id": organization}


def request_of(operation: str, tenant: Tenant, *, has_token: bool, module: str = "") -> bytes:
    """A whole HTTP request. Peers verify no tokens, and are sent none."""
    body = body_of(DOCUMENTS[operation], variables_of(operation, tenant.id, module))
    return post("/graphql", body, tenant.header if has_token else b"")


def body_of(document: str, variables: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"query": document, "variables": variables})


def post(path: str, body: bytes, header: bytes = b"") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\n" + header + b"\r\n" + body
