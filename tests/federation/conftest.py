"""One composer for all tests that do nothing bad to it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from federation.composer import Composer
from tests.federation.install import require_composer


@pytest.fixture(scope="session")
def installed() -> None:
    require_composer()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def composer(installed: None) -> AsyncIterator[Composer]:
    composer = Composer()
    yield composer
    await composer.aclose()
