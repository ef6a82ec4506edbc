"""Which subscriptions count as the same, and how a document says where to begin."""

import pytest

from app.api import rights_of
from app.transport.body import GraphQLRequest
from app.transport.sharing_key import After, begins_now, find_after, given_after, sharing_key
from auth.actor import Actor, Role
from graph.schema import schema
from models.ids import new_id

EVENTS = "subscription($o: ID, $a: String) { moduleEvents(organizationId: $o, after: $a) { id } }"
FRAGMENT = "subscription($a: String) { moduleEvents(after: $a) { ...F } } fragment F on ModuleEvent { id @x(a: $a) }"
TWO = "subscription A($x: String) { moduleEvents(after: $x) { id } } query B { viewer { subject } }"
FIXED = After(is_fixed=True)
MEMBER = Actor(subject="a", roles=frozenset({Role.MEMBER}), organization_id=new_id())


def asked(query: str = EVENTS, *, name: str | None = None, **variables: object) -> GraphQLRequest:
    return GraphQLRequest(query=query, variables=variables, operation_name=name, extensions=None)


@pytest.mark.parametrize(
    ("query", "name", "found"),
    [
        (EVENTS, None, After(variable="a")),
        ("subscription { moduleEvents { id } }", None, After()),
        ('subscription { moduleEvents(after: "v1:3") { id } }', None, FIXED),
        ("subscription($a: String = null) { moduleEvents(after: $a) { id } }", None, FIXED),
        ("subscription($a: String) { moduleEvents(after: $a, moduleCode: $a) { id } }", None, FIXED),
        (FRAGMENT, None, FIXED),
        ("subscription { ...F } fragment F on Subscription { moduleEvents { id } }", None, FIXED),
        ("subscription { moduleEvents { id } other: moduleEvents { id } }", None, FIXED),
        (f"{EVENTS} ", "Unknown", FIXED),
        (TWO, "B", FIXED),
        (TWO, "A", After(variable="x")),
        ("subscription A { moduleEvents { id } } subscription B { moduleEvents { id } }", None, FIXED),
        ("{ viewer { subject } }", None, FIXED),
        ("subscription {", None, FIXED),
        ("", None, FIXED),
        ("subscription { moduleEvents { " + "id " * 2_000 + "} }", None, FIXED),
    ],
)
def test_where_to_begin_is_read_from_the_document(query: str, name: str | None, found: After) -> None:
    assert find_after(query, name) == found


def test_after_is_no_part_of_what_is_asked_and_all_else_is() -> None:
    mine = sharing_key(asked(o="1", a="v1:1"), MEMBER)
    assert mine == sharing_key(asked(a="v1:9", o="1"), MEMBER)
    assert mine == sharing_key(asked(o="1"), MEMBER)
    assert mine != sharing_key(asked(o="2", a="v1:1"), MEMBER)
    assert mine != sharing_key(asked(o=1, a="v1:1"), MEMBER)
    assert mine != sharing_key(asked(EVENTS + " ", o="1", a="v1:1"), MEMBER)
    assert mine != sharing_key(asked(name="E", o="1", a="v1:1"), MEMBER)
    other = Actor(subject="a", roles=frozenset({Role.ORGANIZATION_ADMIN}), organization_id=MEMBER.organization_id)
    assert mine != sharing_key(asked(o="1", a="v1:1"), other)
    # a variable that filters too stays in
    filtering = "subscription($a: String) { moduleEvents(after: $a, moduleCode: $a) { id } }"
    assert sharing_key(asked(filtering, a="x"), MEMBER) != sharing_key(asked(filtering, a="y"), MEMBER)


def test_a_very_long_document_is_left_alone() -> None:
    assert sharing_key(asked(EVENTS.ljust(8_001)), MEMBER) is None
    assert sharing_key(asked(EVENTS.ljust(8_000)), MEMBER) is not None


def test_who_begins_now() -> None:
    assert begins_now(asked())
    assert begins_now(asked(a=None))
    assert not begins_now(asked(a="v1:1"))
    assert not begins_now(asked('subscription { moduleEvents(after: "v1:1") { id } }'))
    assert given_after(asked(a="v1:1")) == "v1:1"
    assert given_after(asked(a=5)) is None


def test_rights_are_roles_organization_and_company_and_nothing_else() -> None:
    organization, company = new_id(), new_id()
    actor = Actor(subject="a", roles=frozenset({Role.MEMBER}), organization_id=organization, expires_at=1.0)
    same = Actor(subject="b", roles=frozenset({Role.MEMBER}), organization_id=organization, expires_at=2.0)
    assert rights_of(actor) == rights_of(same)
    for other in (
        Actor(subject="a", roles=frozenset({Role.MODULE}), organization_id=organization),
        Actor(subject="a", roles=frozenset({Role.MEMBER, Role.MODULE}), organization_id=organization),
        Actor(subject="a", roles=frozenset({Role.MEMBER}), organization_id=new_id()),
        Actor(subject="a", roles=frozenset({Role.MEMBER}), organization_id=organization, company_id=company),
    ):
        assert rights_of(actor) != rights_of(other)


def test_no_subscription_can_ask_who_it_is() -> None:
    """Viewer is the only type that shows the caller, and shared executions have none."""
    seen: set[str] = set()
    graph = schema._schema
    waiting = [graph.type_map["Subscription"]]
    while waiting:
        found = waiting.pop()
        if found.name in seen:
            continue
        seen.add(found.name)
        for field in getattr(found, "fields", {}).values():
            named = field.type
            while hasattr(named, "of_type"):
                named = named.of_type
            waiting.append(named)
        waiting.extend(getattr(found, "types", ()))
    assert "ModuleEvent" in seen
    assert "Viewer" not in seen
