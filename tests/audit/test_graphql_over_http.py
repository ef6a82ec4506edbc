"""The reference audits of GraphQL over HTTP (npm graphql-http), against the real schema on the real server."""

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest

from tests.support.platform import Platform

HERE = Path(__file__).parent
INSTALLED = HERE.parent.parent / "target" / "audit"


async def _run(*command: str | Path, cwd: Path) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(100):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out


async def _install() -> None:
    INSTALLED.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", ".npmrc", "audit.mjs"):
        shutil.copy(HERE / name, INSTALLED / name)
    await _run("npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", cwd=INSTALLED)


async def test_every_audit_is_ok(platform: Platform) -> None:
    if shutil.which("npm") is None:
        if os.environ.get("REQUIRE_NODE") == "1":
            pytest.fail("REQUIRE_NODE=1, and there is no npm")
        pytest.skip("the reference audits need Node")
    await _install()
    results = json.loads(await _run("node", "audit.mjs", platform.url, cwd=INSTALLED))
    assert len(results) == 61
    assert [result for result in results if result["status"] != "ok"] == []
