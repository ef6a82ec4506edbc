"""What a subgraph's team is told before anything is kept, and what has to be approved anew."""

import pytest

from rules.subgraph import breaks_anew

Change = dict[str, object]


def change(code: str, path: str, message: str, *, criticality: str = "BREAKING") -> Change:
    return {"criticality": criticality, "code": code, "path": path, "message": message}


FIELD = change("FIELD_CHANGED_KIND", "A.b", "Field A.b changed type from Int! to Int.")
OTHER_FIELD = change("FIELD_CHANGED_KIND", "A.b", "Field A.b changed type from String! to Int.")
MEMBER = change("TYPE_REMOVED_FROM_UNION", "U", "A was removed from union type U.")
OTHER_MEMBER = change("TYPE_REMOVED_FROM_UNION", "U", "B was removed from union type U.")
ADDED = change("FIELD_ADDED", "A.c", "Field A.c was added.", criticality="SAFE")


@pytest.mark.parametrize(
    ("known", "found", "expected"),
    [
        ([], [], False),
        ([], [ADDED], False),
        ([], [FIELD], True),
        ([FIELD], [], False),
        ([FIELD, MEMBER], [MEMBER, ADDED], False),
        ([FIELD], [OTHER_FIELD], True),
        ([MEMBER], [MEMBER, OTHER_MEMBER], True),
        ([{**FIELD, "criticality": "SAFE"}], [FIELD], True),
    ],
)
def test_what_nobody_was_shown_breaks_anew(known: list[Change], found: list[Change], expected: bool) -> None:
    assert breaks_anew(known, found) is expected
