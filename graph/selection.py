"""What a caller has asked for: reading back what nobody looks at is not done."""

from collections.abc import Iterable

from strawberry.types.nodes import SelectedField, Selection

from graph.context import Info


def is_selected(info: Info, name: str) -> bool:
    """Whether the answer's field `name` is in the selection, through fragments too.

    One that a directive leaves out counts as well: it is read for nothing, and the answer is the same.
    """
    return any(_is_in(field.selections, name) for field in info.selected_fields)


def _is_in(selections: Iterable[Selection], name: str) -> bool:
    return any(
        each.name == name if isinstance(each, SelectedField) else _is_in(each.selections, name) for each in selections
    )
