"""A module's process: what begins when, what is begun again, what it is told by its environment."""

import asyncio
import dataclasses
import threading
from pathlib import Path

import pytest
from modplane_sdk.lifecycle import HookCall, Hooks, Veto
from modplane_sdk.manifest import InvalidManifest
from modplane_sdk.running import run
from modplane_sdk.service import create_app
from modplane_sdk.settings import MissingSetting, ModuleSettings
from modplane_sdk.testing import LocalPlatform, served

from tests.sdk.modules import billing

PLATFORM = LocalPlatform("billing")
SECONDS = 10


def test_what_runs_beside_it_begins_when_it_has_started() -> None:
    """Joining a platform is such a task: the service is asked for its SDL then, and has to be able to answer."""
    hooks, told, has_begun = Hooks(), [], threading.Event()

    @hooks.on("on_startup")
    async def on_startup(call: HookCall) -> Veto | None:
        await asyncio.sleep(0.1)
        told.append(f"started {call.version}")
        return None

    async def beside() -> None:
        told.append("beside")
        has_begun.set()

    with served(create_app(dataclasses.replace(billing, hooks=hooks), PLATFORM, beside={"beside": beside})):
        assert has_begun.wait(SECONDS)
    assert told == ["started 1.0.0", "beside"]


def test_what_runs_beside_it_is_begun_again_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modplane_sdk.service.AGAIN_SECONDS", 0.01)
    faults: list[BaseException] = [RuntimeError("once"), asyncio.CancelledError("of something that it waited for")]
    has_recovered, has_ended = threading.Event(), threading.Event()

    async def beside() -> None:
        if faults:
            raise faults.pop()
        has_recovered.set()
        try:
            await asyncio.Event().wait()
        finally:
            has_ended.set()

    with served(create_app(billing, PLATFORM, beside={"beside": beside})):
        assert has_recovered.wait(SECONDS)
        assert not has_ended.is_set()
    assert has_ended.is_set()


def test_a_module_that_cannot_be_registered_is_not_served() -> None:
    wrong = dataclasses.replace(billing, definition=dataclasses.replace(billing.definition, permissions=("hr:read",)))
    with pytest.raises(InvalidManifest, match="begins with 'billing:'"):
        run(wrong, ModuleSettings(api_key="mpk_x"))


def test_a_health_path_that_is_none_is_not_served() -> None:
    wrong = dataclasses.replace(billing, definition=dataclasses.replace(billing.definition, health_check="/graphql"))
    with pytest.raises(ValueError, match="health_check"):
        create_app(wrong, PLATFORM)


def test_a_key_is_taken_without_the_line_feed_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(" mpk_file\n")
    monkeypatch.setenv("MODPLANE_API_KEY_FILE", str(tmp_path / "key"))
    assert ModuleSettings().read_api_key() == "mpk_file"
    monkeypatch.setenv("MODPLANE_API_KEY", "mpk_secret\n")
    assert ModuleSettings().read_api_key() == "mpk_secret"


@pytest.mark.parametrize(("name", "value"), [("KEY", " "), ("KEY_FILE", "empty"), ("KEY_FILE", "not-there")])
def test_an_empty_key_is_none(name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv(f"MODPLANE_API_{name}", value)
    with pytest.raises(MissingSetting, match="createModuleApiKey"):
        ModuleSettings().read_api_key()
