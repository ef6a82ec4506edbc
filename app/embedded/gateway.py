"""`modplane dev --gateway`: the gateway beside everything else, as a process that ends with this one."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.embedded.errors import EmbeddedServerError
from app.embedded.process import end

FOLDER = Path(__file__).resolve().parents[2] / "gateway"
NODE_OLDEST = 20
STOP_LADDER = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))


@contextmanager
def running_gateway(node: str | None, *, port: int, platform_url: str, data_dir: Path) -> Iterator[str | None]:
    """The gateway's address; it answers once Modplane does. None without `node`: there is none then."""
    if node is None:
        yield None
        return
    environment = {
        **os.environ,
        "MODPLANE_URL": platform_url,
        "MODPLANE_DATA_DIR": str(data_dir.resolve()),
        "MODPLANE_GATEWAY_PORT": str(port),
    }
    launch = Path(__file__).with_name("launch.py")
    # Linux ends it when this process dies, however it dies; elsewhere it outlives a kill -9.
    tied = (sys.executable, "-I", "-S", launch, str(os.getpid()), str(int(signal.SIGTERM)), "")
    command = [*(tied if sys.platform == "linux" else ()), node, "main.js"]
    log_path = data_dir / "gateway.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(command, cwd=FOLDER, env=environment, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
    try:
        yield f"http://127.0.0.1:{port}/graphql"
    finally:
        end(process, STOP_LADDER)


def find_node() -> str:
    """The program. Raises EmbeddedServerError with what is missing."""
    node = shutil.which("node")
    if node is None:
        raise EmbeddedServerError(f"the gateway needs Node {NODE_OLDEST} or newer, and there is no node on PATH")
    shown = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout  # noqa: S603
    major = shown.removeprefix("v").partition(".")[0]
    if not major.isdigit() or int(major) < NODE_OLDEST:
        raise EmbeddedServerError(f"the gateway needs Node {NODE_OLDEST} or newer; this is {shown.strip() or 'none'}")
    if not (FOLDER / "node_modules").is_dir():
        raise EmbeddedServerError(f"the gateway is not installed: npm ci in {FOLDER}, which `make gateway` does")
    return node
