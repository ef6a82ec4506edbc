"""`pytest --modplane-module app.main:service` adds the contract suite (contract.py) to whatever else is run."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # wherever the SDK is installed pytest loads this file: it has to cost nothing
    from modplane_sdk.service import ModuleService

OPTION = "--modplane-module"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("modplane")
    group.addoption(OPTION, metavar="package.module:name", help="the ModuleService that the contract suite tries")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption(OPTION):
        config.args.append(str(Path(__file__).with_name("contract.py")))


@pytest.fixture(scope="session")
def modplane_service(request: pytest.FixtureRequest) -> "ModuleService":
    from modplane_sdk.service_name import NoService, find_service  # noqa: PLC0415

    try:
        return find_service(request.config.getoption(OPTION))
    except NoService as error:
        raise pytest.UsageError(f"{OPTION} {error}") from error
