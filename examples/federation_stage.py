"""What the federation demo plays on: Modplane, the gateway and two partners' services, each a process of its own.

Every process is started as its README says, in a folder that is gone afterwards, and ended by its pid.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS, END_SECONDS, POLL_SECONDS = 90.0, 30.0, 0.2
T = TypeVar("T")


class Untrue(Exception):
    """Something of the story does not hold; the text says what."""


def wait_for(what: str, ask: Callable[[], T | None], *, seconds: float = START_SECONDS) -> T:
    """What `ask` answers as soon as it answers something."""
    deadline = time.monotonic() + seconds
    while (found := ask()) is None:
        if time.monotonic() > deadline:
            raise Untrue(f"{what} did not come within {seconds:g} s")
        time.sleep(POLL_SECONDS)
    return found


@dataclass
class Stage:
    """The addresses of all, and who asks them. `log` names the files that processes write to."""

    folder: Path
    http: httpx.Client
    programs: ExitStack
    platform: str = ""  # without a path
    gateway: str = ""
    told: Mapping[str, str] = field(default_factory=dict)

    def ask(self, document: str, *, at: str = "", token: str = "", **variables: Any) -> dict[str, Any]:
        """A whole GraphQL answer, errors too. Of Modplane and as its administrator, unless said otherwise."""
        headers = {"authorization": f"Bearer {token or self.told['token']}"}
        body = {"query": document, "variables": variables}
        answer: dict[str, Any] = self.http.post(f"{at or self.platform}/graphql", json=body, headers=headers).json()
        return answer

    def data(self, document: str, *, at: str = "", token: str = "", **variables: Any) -> Any:
        """The one field of an operation; whatever is refused ends the demo."""
        answer = self.ask(document, at=at, token=token, **variables)
        value = next(iter((answer.get("data") or {}).values()), None)
        if answer.get("errors") or (isinstance(value, dict) and value.get("errors")):
            raise Untrue(f"refused: {json.dumps(answer)[:600]}")
        return value

    def change(self, mutation: str, shows: str = "revision", **values: Any) -> Any:
        document = (
            f"mutation($input: {mutation[0].upper()}{mutation[1:]}Input!)"
            f" {{ {mutation}(input: $input) {{ errors {{ code message }} {shows} }} }}"
        )
        return self.data(document, input=values)

    def token(self, role: str, organization: str) -> str:
        """As an operator makes one."""
        command = [_modplane(), "token", "--role", role, "--organization", organization]
        environment = {**os.environ, "MODPLANE_DATA_DIR": str(self.folder / "data")}
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()

    def start(self, name: str, command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        """A process that ends with the stage."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as file:
            process = subprocess.Popen(
                command, cwd=folder, env={**os.environ, **environment}, stdout=file, stderr=subprocess.STDOUT
            )
        self.programs.callback(_end, process)

    def key_of(self, module: str, manifest: Mapping[str, Any]) -> str:
        """An administrator registers a module, and makes a key for its service."""
        self.change("registerModule", manifest=manifest)
        made: str = self.change("createModuleApiKey", "secret", module=module, name="demo")["secret"]
        return made

    def is_up(self, url: str) -> bool | None:
        try:
            return True if self.http.get(url).status_code == 200 else None
        except httpx.HTTPError:
            return None


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Modplane and the gateway, on free ports."""
    with httpx.Client(timeout=30, trust_env=False) as http, ExitStack() as programs:
        made = Stage(folder, http, programs)
        port = free_port()
        environment = {
            "MODPLANE_PORT": str(port),
            "MODPLANE_DATA_DIR": str(folder / "data"),
            "MODPLANE_SEED_PACK": "erp",
        }
        made.start("modplane", [_modplane(), "dev"], ROOT, environment)
        told = folder / "data" / "dev.json"
        made.told = json.loads(wait_for("Modplane", lambda: told.read_text() if told.exists() else None))
        made.platform = f"http://127.0.0.1:{port}"
        _begin_gateway(made)
        yield made


def _begin_gateway(made: Stage) -> None:
    port = free_port()
    environment = {
        "MODPLANE_URL": made.platform,
        "MODPLANE_DATA_DIR": str(made.folder / "data"),
        "MODPLANE_GATEWAY_PORT": str(port),
        "MODPLANE_GATEWAY_POLL_SECONDS": "1",
    }
    made.start("gateway", ["node", "main.js"], ROOT / "gateway", environment)
    made.gateway = f"http://127.0.0.1:{port}"
    wait_for("the gateway", lambda: made.is_up(f"{made.gateway}/readiness"))


def begin_warehouse(made: Stage) -> str:
    """The warehouse's address: a service in Node that knows no SDK."""
    folder, port = ROOT / "examples" / "warehouse", free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "MODPLANE_URL": made.platform,
        "MODPLANE_MODULE_API_KEY": made.key_of("warehouse", json.loads((folder / "manifest.json").read_text())),
        "DATABASE_URL": made.told["postgres"],
        "WAREHOUSE_PORT": str(port),
        "WAREHOUSE_URL": url,
    }
    made.start("warehouse", ["node", "main.js"], folder, environment)
    wait_for("the warehouse", lambda: made.is_up(f"{url}/health"))
    return url


def begin_financial(made: Stage, *, key: str, folder: Path | None = None) -> str:
    """The address of an invoicing service that is written with the SDK; `folder`: of a changed one."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "MODPLANE_URL": made.platform,
        "MODPLANE_API_KEY": key,
        "MODPLANE_SERVICE_URL": url,
        "MODPLANE_KAFKA": made.told["kafka"],
        "FINANCIAL_DATABASE_URL": made.told["postgres"],
        "PYTHONPATH": str(ROOT / "sdk" / "src"),
    }
    command = [sys.executable, "-m", "modplane_sdk", "run", "financial.main:service"]
    made.start("financial", command, folder or ROOT / "examples" / "financial", environment)
    wait_for("the invoicing service", lambda: made.is_up(f"{url}/health"))
    return url


def changed_financial(made: Stage, version: str, *, replace: str, by: str) -> Path:
    """The partner's repository with another version of it, and one change of its schema."""
    folder = made.folder / f"financial-{version}"
    shutil.copytree(ROOT / "examples" / "financial", folder, ignore=shutil.ignore_patterns("__pycache__"))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "version": version}))
    schema = folder / "financial" / "schema.py"
    text = schema.read_text()
    if text.count(replace) != 1:
        raise Untrue(f"the example has changed: {replace!r} is not in it once")
    schema.write_text(text.replace(replace, by))
    return folder


def free_port() -> int:
    """Below those that the system hands out by itself."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def _modplane() -> str:
    return str(Path(sys.executable).with_name("modplane"))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
