"""A module's service by its name, `package.module:name`, as a command line has it."""

import importlib
import os
import sys

from modplane_sdk.service import ModuleService


class NoService(Exception):
    """The text says what was found in its place."""


def find_service(name: str) -> ModuleService:
    """From the current folder, or whatever is installed. Raises NoService."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise NoService(f"{name}: {error}") from error
    if not isinstance(found, ModuleService):
        raise NoService(f"{name} is a {type(found).__name__}, not a ModuleService")
    return found
