"""What a user starts: `modplane dev --gateway`, and the story of federation."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.embedded.ports import choose_port
from tests.federation.install import require_composer, require_installed
from tests.gateway.node import GATEWAY, ROOT, WAREHOUSE
from tests.process.programs import is_alive, running_dev, wait_until

STORY_SECONDS = 240


def free_port() -> int:
    return choose_port(None, taken=())


@pytest.mark.timeout(180)
def test_dev_starts_a_gateway_and_takes_it_along(tmp_path: Path) -> None:
    require_composer()
    require_installed(GATEWAY)
    gateway_port = free_port()
    given, log = {"MODPLANE_GATEWAY_PORT": str(gateway_port)}, tmp_path / "log"
    with running_dev(tmp_path / "data", port=free_port(), log=log, options=("--gateway",), **given) as dev:
        url = dev.told["gateway"]
        assert url == f"http://127.0.0.1:{gateway_port}/graphql"
        assert f"Gateway   {url}" in log.read_text()
        wait_until(lambda: is_ready(url), seconds=60)
        answer = httpx.post(url, json={"query": "{ viewer { subject } }"}, headers=bearer(dev.told["token"]))
        assert answer.json() == {"data": {"viewer": {"subject": "dev"}}}
        (pid,) = (int(each) for each in listeners(gateway_port))
    wait_until(lambda: not is_alive(pid), seconds=10)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def is_ready(url: str) -> bool:
    try:
        return httpx.get(url.replace("/graphql", "/readiness"), timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def listeners(port: int) -> set[str]:
    """The processes that listen there, by the system's own tables."""
    inodes = {
        fields[9]
        for fields in (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        if fields[3] == "0A" and int(fields[1].partition(":")[2], 16) == port
    }
    wanted, found = {f"socket:[{inode}]" for inode in inodes}, set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) in wanted:
                found.add(link.parts[2])
        except OSError:
            continue
    return found


@pytest.mark.timeout(STORY_SECONDS + 30)
def test_the_story_of_federation_is_true() -> None:
    """Of six scenes and four processes beside Modplane; it fails by itself when one is not as told."""
    require_composer()
    for folder in (GATEWAY, WAREHOUSE):
        require_installed(folder)
    command = [sys.executable, "-m", "examples.demo_federation"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=STORY_SECONDS, check=False)
    assert told.returncode == 0, told.stdout[-6000:] + told.stderr[-2000:]
    assert told.stdout.count("✓") == 10
    assert "All of it held." in told.stdout
