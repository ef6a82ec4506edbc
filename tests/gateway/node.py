"""Node programs for tests: started as a user starts them, ended by their pid."""

import asyncio
import os
import random
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GATEWAY, WAREHOUSE = ROOT / "gateway", ROOT / "examples" / "warehouse"
START_SECONDS, END_SECONDS = 30, 10


def free_port() -> int:
    """A port below those that the system hands out by itself: nobody takes it between this and its use."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


@dataclass
class Program:
    """A running Node program, and the lines that it has said."""

    process: asyncio.subprocess.Process
    lines: list[str]

    async def said(self, beginning: str, *, seconds: float = START_SECONDS) -> str:
        """Wait for a line that begins so; answers the rest of it."""
        async with asyncio.timeout(seconds):
            while True:
                for line in self.lines:
                    if line.startswith(beginning):
                        return line.removeprefix(beginning)
                has_ended = self.process.returncode is not None
                await asyncio.sleep(0.02)  # its last words may still be on their way
                assert not has_ended, (self.process.returncode, self.lines)

    async def end(self) -> int:
        """In order, as by Ctrl-C; answers the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(END_SECONDS):
            return await self.process.wait()


@asynccontextmanager
async def running(folder: Path, environment: dict[str, str]) -> AsyncIterator[Program]:
    """`node main.js` in the folder; killed at the end if it has not ended by then."""
    process = await asyncio.create_subprocess_exec(
        "node",
        "main.js",
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    program = Program(process, [])
    reading = asyncio.create_task(_read(program))
    try:
        yield program
    finally:
        try:
            await program.end()
        except TimeoutError:
            process.kill()
            await process.wait()
        await reading


async def _read(program: Program) -> None:
    assert program.process.stdout is not None
    async for line in program.process.stdout:
        program.lines.append(line.decode(errors="replace").rstrip())
