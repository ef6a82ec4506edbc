"""The gateway's own tests: of what no subgraph here has, and no client here does."""

import asyncio

from tests.federation.install import require_installed
from tests.gateway.node import GATEWAY


async def test_the_tests_of_its_own_pass() -> None:
    require_installed(GATEWAY)
    async with asyncio.timeout(30):
        process = await asyncio.create_subprocess_exec(
            "node", "--test", cwd=GATEWAY, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert b"# pass 28" in output
