"""JSON Schemas of modules as documents: which are small and plain enough to run, and what is left of one for one layer.

Never holds: running a schema (config_schema.py).
"""

from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

from rules.json_values import InvalidPointerError, JsonValue, PointerNotFoundError, pointer_of, resolve_pointer

Schema = dict[str, JsonValue]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SUBSCHEMAS_MAX = 256
PATTERNS_MAX = 64
# With every reference written out. A hundred definitions that each refer twice to the next are 2^100 checks of one
# value; counting what the references unfold to is what bounds the time of a check.
UNFOLDED_MAX = 2_000
UNFOLDED_DEPTH_MAX = 64
# linear time whatever the pattern; the limit is of the compiled program's bytes
LINEAR = "that runs in linear time: no look-around, no back-references, not too large"
REGEX = RegexOptions(size_limit=256 * 1024, dfa_size_limit=1024 * 1024)

HOLDS_SCHEMA = {
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
}
HOLDS_LIST = {"allOf", "anyOf", "oneOf", "prefixItems"}
HOLDS_MAP = {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
DEFINITIONS = {"$defs", "definitions"}
# what has nothing to be applied to in an object: lists are whole in every layer
OF_LISTS_AND_NAMES = {"contains", "contentSchema", "items", "prefixItems", "propertyNames"}
# places by name or at run time would need a second reading of "#..."; generators of schemas do not write them
UNSUPPORTED = (
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
    "dependencies",
)
# what a schema that refers to nothing need not say
OF_REFERENCES = {"$ref", "$id", "$schema"} | DEFINITIONS

# What an object with fewer members may break although the whole one keeps it. The last two hang on what the dropped
# ones would have looked at.
UNSAFE_IN_PART = {
    "required",
    "minProperties",
    "dependentRequired",
    "not",
    "if",
    "then",
    "else",
    "unevaluatedProperties",
    "unevaluatedItems",
}


def _places(schema: Schema) -> dict[str, Schema | bool]:
    """The schema and all below it by pointer, at the places of keywords only: data is never taken for a schema."""
    places: dict[str, Schema | bool] = {}
    waiting: list[tuple[str, JsonValue]] = [("", schema)]
    while waiting:
        place, found = waiting.pop()
        if isinstance(found, (dict, bool)):
            places[place] = found
            waiting.extend((place + pointer_of(*path), child) for path, child in _children(found))
    return places


def _children(schema: Schema | bool) -> Iterator[tuple[tuple[str | int, ...], JsonValue]]:
    if isinstance(schema, bool):
        return
    for keyword, value in schema.items():
        if keyword in HOLDS_SCHEMA:
            yield (keyword,), value
        elif keyword in HOLDS_LIST and isinstance(value, list):
            yield from (((keyword, index), child) for index, child in enumerate(value))
        elif keyword in HOLDS_MAP and isinstance(value, dict):
            yield from (((keyword, name), child) for name, child in value.items())


def check_document(schema: Schema) -> list[tuple[str, str]]:
    """What is wrong with a schema that its meta-schema takes: too large, too clever, or not of an object."""
    places = _places(schema)
    objects = {place: found for place, found in places.items() if isinstance(found, dict)}
    patterns = sum(("pattern" in found) + len(_patterns(found)) for found in objects.values())
    problems: list[tuple[str, str]] = []
    if schema.get("type") != "object":
        problems.append(("/type", 'must be "object": a configuration is an object'))
    if len(places) > SUBSCHEMAS_MAX:
        problems.append(("", f"has {len(places)} subschemas; {SUBSCHEMAS_MAX} are allowed"))
    if patterns > PATTERNS_MAX:
        problems.append(("", f"has {patterns} regular expressions; {PATTERNS_MAX} are allowed"))
    for place, found in objects.items():
        problems.extend(_check_words(place, found, places))
        problems.extend(_check_patterns(place, found))
    return problems or _check_unfolded(places)


def _patterns(schema: Schema) -> Schema:
    patterns = schema.get("patternProperties")
    return patterns if isinstance(patterns, dict) else {}


def _check_words(place: str, schema: Schema, places: Mapping[str, Schema | bool]) -> Iterator[tuple[str, str]]:
    yield from ((f"{place}/{word}", "is not supported here") for word in UNSUPPORTED if word in schema)
    if schema.get("$schema", DIALECT) not in (DIALECT, DIALECT + "#"):
        yield f"{place}/$schema", f"must be {DIALECT}"
    if place and "$id" in schema:
        yield f"{place}/$id", "may only be given at the top"
    if "$ref" in schema:
        reference = str(schema["$ref"])
        if not reference.startswith("#"):
            yield f"{place}/$ref", "must lead to a place in this schema, like #/$defs/address"
        elif _target(reference) not in places:
            yield f"{place}/$ref", "leads to no schema in this document"


def _check_patterns(place: str, schema: Schema) -> Iterator[tuple[str, str]]:
    patterns = [("pattern", schema["pattern"])] if "pattern" in schema else []
    for path, pattern in (*patterns, *((f"patternProperties{pointer_of(name)}", name) for name in _patterns(schema))):
        try:
            Draft202012Validator({"pattern": pattern}, offline=True, pattern_options=REGEX)
        except ValidationError:
            yield f"{place}/{path}", f"must be a regular expression {LINEAR}"


def _target(reference: str) -> str:
    return unquote(reference[1:])


def _check_unfolded(places: Mapping[str, Schema | bool]) -> list[tuple[str, str]]:
    """Follow every reference to its end, counting; without recursion, so that a long chain is only a number."""
    count = 0
    waiting: list[tuple[str, tuple[str, ...]]] = [("", ())]
    while waiting:
        place, through = waiting.pop()
        count += 1
        found = places.get(place, True)  # what is no schema is refused by the meta-schema
        steps = [place + pointer_of(*path) for path, _ in _children(found) if path[0] not in DEFINITIONS]
        if len(through) > UNFOLDED_DEPTH_MAX or count + len(waiting) + len(steps) > UNFOLDED_MAX:
            limits = f"{UNFOLDED_MAX} subschemas, {UNFOLDED_DEPTH_MAX} deep"
            return [(place, f"is too large when its references are written out ({limits} are allowed)")]
        waiting.extend((step, (*through, place)) for step in steps)
        if isinstance(found, dict) and "$ref" in found:
            target = _target(str(found["$ref"]))
            if target == place or target in through:
                return [(f"{place}/$ref", "leads back to itself; the schema of a configuration may not be recursive")]
            waiting.append((target, (*through, place)))
    return []


def partial_document(schema: Schema) -> Schema:
    """The schema for one layer alone. Every part of a valid configuration satisfies it, so that no layer is refused
    for what another one adds.

    A part is the configuration with any members of any objects left out; lists are never merged and so stay whole.
    Whatever leaving out a member could break is dropped wherever a merged object may stand (`required`,
    `minProperties`, `dependentRequired`, `not`, `if`, `unevaluatedProperties`, and `const` and `enum` of objects).
    `oneOf` becomes `anyOf`: a part may fit several alternatives. Below a list, and where the type rules objects out,
    the schema stays as it is. References are written out, because what they lead to may stand in places of both kinds.
    """
    return _as_schema(_in_part(schema, schema))


def _in_part(schema: JsonValue, root: Schema) -> JsonValue:
    if not isinstance(schema, dict):
        return schema  # true or false
    if not _may_be_object(schema):
        return _written_out(schema, root)
    partial: Schema = {}
    alternatives: list[JsonValue] = []  # schemas that must all be satisfied besides
    for keyword, value in schema.items():
        if keyword in UNSAFE_IN_PART | OF_REFERENCES or _pins_an_object(keyword, value):
            continue
        if keyword == "oneOf" and isinstance(value, list):
            alternatives.append({"anyOf": [_in_part(child, root) for child in value]})
        elif keyword in OF_LISTS_AND_NAMES:
            partial |= _as_schema(_written_out({keyword: value}, root))
        else:
            partial[keyword] = _mapped(keyword, value, change=lambda child: _in_part(child, root))
    if "$ref" in schema:
        alternatives.append(_in_part(_referred(schema, root), root))
    return _with_all_of(partial, alternatives)


def _may_be_object(schema: Schema) -> bool:
    types = schema.get("type", "object")
    return types == "object" or (isinstance(types, list) and "object" in types)


def _pins_an_object(keyword: str, value: JsonValue) -> bool:
    options = value if keyword == "enum" and isinstance(value, list) else [value] if keyword == "const" else []
    return any(isinstance(option, dict) and option for option in options)


def _written_out(schema: JsonValue, root: Schema) -> JsonValue:
    """The same schema without references."""
    if not isinstance(schema, dict):
        return schema
    whole = {
        keyword: _mapped(keyword, value, change=lambda child: _written_out(child, root))
        for keyword, value in schema.items()
        if keyword not in OF_REFERENCES
    }
    return _with_all_of(whole, [_written_out(_referred(schema, root), root)] if "$ref" in schema else [])


def _mapped(keyword: str, value: JsonValue, *, change: Callable[[JsonValue], JsonValue]) -> JsonValue:
    """A keyword's value with the schemas in it changed."""
    if keyword in HOLDS_SCHEMA:
        return change(value)
    if keyword in HOLDS_LIST and isinstance(value, list):
        return [change(child) for child in value]
    if keyword in HOLDS_MAP and isinstance(value, dict):
        return {name: change(child) for name, child in value.items()}
    return value


def _with_all_of(schema: Schema, besides: list[JsonValue]) -> Schema:
    if not besides:
        return schema
    already = schema.get("allOf")
    return {**schema, "allOf": [*(already if isinstance(already, list) else []), *besides]}


def _referred(schema: Schema, root: Schema) -> JsonValue:
    try:
        return resolve_pointer(root, _target(str(schema["$ref"])))
    except (InvalidPointerError, PointerNotFoundError):
        raise AssertionError("a schema that was not checked") from None


def _as_schema(schema: JsonValue) -> Schema:
    if isinstance(schema, dict):
        return schema
    raise AssertionError("the top of a schema and a single keyword are objects")
