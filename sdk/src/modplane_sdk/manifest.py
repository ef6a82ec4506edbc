"""Is a manifest.json in order? The same published JSON Schema that the platform asks, without the platform.

Never holds what only the registry knows: whether the modules it needs exist, or which platform runs.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import semantic_version
from jsonschema_rs import Draft202012Validator

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
SCHEMA_FILE = "manifest.schema.json"


@dataclass(frozen=True)
class ManifestProblem:
    """`pointer` is the place (RFC 6901); empty for the whole."""

    pointer: str
    message: str

    def __str__(self) -> str:
        return f"{self.pointer or 'manifest'}: {self.message}"


class InvalidManifest(Exception):
    """Everything that is wrong with it."""

    def __init__(self, problems: list[ManifestProblem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


def check_manifest(document: object) -> list[ManifestProblem]:
    """Empty when it is in order."""
    try:
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:  # NaN, half a surrogate pair, a date, a thousand levels
        return [ManifestProblem("", f"is no JSON: {error}")]
    wrong_shape = [
        ManifestProblem("".join(f"/{_escaped(part)}" for part in error.instance_path), error.message)
        for error in _validator().iter_errors(document)
    ]
    if wrong_shape or not isinstance(document, dict):
        return wrong_shape
    return list(_content_problems(document))


def _content_problems(document: Mapping[str, Any]) -> Iterator[ManifestProblem]:
    """What the schema cannot say, of a manifest that has its shape."""
    code = document["name"]
    if not semantic_version.validate(document["version"]):
        yield ManifestProblem("/version", f"{document['version']!r} is not a version as SemVer 2.0.0 has it.")
    for index, permission in enumerate(document.get("permissions", ())):
        if not permission.startswith(f"{code}:") or permission == f"{code}:":
            message = f"A permission of {code} begins with '{code}:', not {permission!r}."
            yield ManifestProblem(f"/permissions/{index}", message)
    if document.get("is_core") and document.get("is_internal"):
        yield ManifestProblem("/is_internal", "A module is core or internal, not both.")


@cache
def _validator() -> Draft202012Validator:
    schema = json.loads(files("modplane_sdk").joinpath(SCHEMA_FILE).read_text())
    return Draft202012Validator(schema, offline=True)


def _escaped(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
