"""SDL of any kind is read within limits, or refused with the place."""

import pytest

from federation.check import inspect
from federation.finding import Finding
from federation.sdl import BYTES_MAX, DEPTH_MAX, TOKENS_MAX, coordinate_at, outline, parse_sdl, positions
from tests.federation.subgraphs import PLATFORM_SDL, candidate, seen

BAD = {
    "nothing": ("", "SYNTAX_ERROR", 1, 1),
    "no SDL": ("<!doctype html>", "SYNTAX_ERROR", 1, 1),
    "an open brace": ("type Query {\n  a: Int\n", "SYNTAX_ERROR", 3, 1),
    "a string without an end": ('type Query {\n  "abc\n', "SYNTAX_ERROR", 2, 7),
    "a character that is none": ("type Query { a: Int \x00 }", "SYNTAX_ERROR", 1, 21),
    "half a surrogate pair": ("type Query { a: Int } # \ud800", "SYNTAX_ERROR", 1, 25),
    "a NUL in a description": ('type Query {\n  "\\u0000" a: Int\n}', "CONTROL_CHARACTER", 2, 3),
    "a bell in a block string": ('"""\na\n\x07"""\ntype Query { a: Int }', "CONTROL_CHARACTER", 1, 1),
    "5 MB": ("#" * 5_000_000, "SDL_TOO_LARGE", 1, 1),
    "many bytes in few characters": ("#" + "é" * (BYTES_MAX // 2), "SDL_TOO_LARGE", 1, 1),
    "many tokens": ("type Query {" + "a" * 9 + " b" * TOKENS_MAX, "SDL_TOO_LARGE", 1, 200_015),
    "a deep type": (f"type Query {{ a: {'[' * 50_000}Int{']' * 50_000} }}", "SDL_TOO_DEEP", 1, 17 + DEPTH_MAX - 1),
    "a deep default": (f"input A {{\n  a: B = {'{a: ' * 20_000}", "SDL_TOO_DEEP", 2, 10 + 4 * (DEPTH_MAX - 1)),
}


@pytest.mark.parametrize(("sdl", "code", "line", "column"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_read_is_one_finding(sdl: str, code: str, line: int, column: int) -> None:
    found = parse_sdl(sdl)
    assert isinstance(found, Finding)
    assert (found.code, found.line, found.column) == (code, line, column)


def test_what_cannot_be_read_is_not_stamped() -> None:
    findings, stamped = inspect(candidate("type Query {"), PLATFORM_SDL)
    assert seen(findings) == [("SYNTAX_ERROR", 2, 13, None)]
    assert stamped is None


def test_the_largest_that_is_allowed_is_read() -> None:
    sdl = "type Query {" + " a(b: Int): Int" * ((TOKENS_MAX - 4) // 8)
    assert not isinstance(parse_sdl(sdl + "}" + "#" * (BYTES_MAX - len(sdl) - 1)), Finding)


def test_what_is_written_in_lines_is_no_control_character() -> None:
    assert not isinstance(parse_sdl('"""\ta\r\n\nb\u2028é"""\ntype Query { "\\t\\n" a: Int }'), Finding)


def test_everything_knows_where_it_stands() -> None:
    document = parse_sdl('type A {\n  "says"\n  b(c: Int): Int\n}\nenum D {\n  E\n}\nextend type A {\n  f: Int\n}')
    assert not isinstance(document, Finding)
    where = positions(document)
    assert where == {"A": (1, 6), "A.b": (3, 3), "A.b(c:)": (3, 5), "D": (5, 6), "D.E": (6, 3), "A.f": (9, 3)}
    assert {name: coordinate_at(document, *place) for name, place in where.items()} == {name: name for name in where}
    assert coordinate_at(document, 100, 1) is None


def test_key_fields_are_the_outermost_names() -> None:
    document = parse_sdl('type A @key(fields: "id, owner { id\\nof { x } } b") @key(fields: "c") { id: ID! }')
    assert not isinstance(document, Finding)
    assert outline(document)["A"].keys == ("id owner { id of { x } } b", "c")
    assert outline(document)["A"].key_fields == {"id", "owner", "b", "c"}
