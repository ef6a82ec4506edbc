"""Composition by a Node process of our own, which may crash, hang or swell without harm to anybody.

Never holds: what is composed (check.py).
"""

import asyncio
import contextlib
import json
import logging
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from graphql import DocumentNode

from federation.finding import Finding, Severity
from federation.sdl import coordinate_at, parse_sdl
from federation.subgraph import PLATFORM, Composed, Subgraph

log = logging.getLogger("modplane.composer")

FOLDER = Path(__file__).parent / "composer"
SECONDS_MAX = 10.0
MEMORY_MB_MAX = 512
ANSWER_BYTES_MAX = 64 * 1024 * 1024
START_SECONDS = 20.0
END_SECONDS = 2.0
TRIES = 2  # a process may also have ended for reasons that are nobody's SDL

# How a process that has ended, or that was ended, shows itself.
LOST = (OSError, EOFError, ValueError)


class ComposerAway(Exception):
    """There is no Node, or the composer is not installed. The message says what to install."""


class Composer:
    """The composer of one process. Callers take turns; whatever a subgraph does to it is answered as findings."""

    def __init__(
        self, *, node: str = "node", seconds_max: float = SECONDS_MAX, memory_mb_max: int = MEMORY_MB_MAX
    ) -> None:
        self._node = node
        self._seconds_max = seconds_max
        self._memory_mb_max = memory_mb_max
        self._turn = asyncio.Lock()
        self._process: Process | None = None
        self._asked = 0
        self._version = ""

    @property
    def pid(self) -> int | None:
        """Of the Node process, while there is one."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def compose(self, subgraphs: Sequence[Subgraph]) -> Composed | tuple[Finding, ...]:
        """The graph, or why there is none. Raises ComposerAway."""
        answer = await self._ask("compose", subgraphs)
        if isinstance(answer, tuple):
            return answer
        return Composed(answer["supergraphSdl"], answer["publicSdl"], answer["composer"])

    async def contract(self, subgraphs: Sequence[Subgraph], exclude_tags: Collection[str]) -> str | tuple[Finding, ...]:
        """The public SDL without what carries one of these tags. Raises ComposerAway."""
        answer = await self._ask("contract", subgraphs, exclude=sorted(exclude_tags))
        if isinstance(answer, tuple):
            return answer
        public_sdl: str = answer["publicSdl"]
        return public_sdl

    async def version(self) -> str:
        """The composer's name and version. Raises ComposerAway."""
        async with self._turn:
            await self._running()
        return self._version

    async def aclose(self) -> None:
        """End the process, if there is one."""
        async with self._turn:
            await self._end()

    async def _ask(
        self, op: str, subgraphs: Sequence[Subgraph], **options: object
    ) -> Mapping[str, Any] | tuple[Finding, ...]:
        # the same order gives the same bytes, whatever order the database had
        ordered = sorted(subgraphs, key=lambda subgraph: (subgraph.name != PLATFORM, subgraph.name))
        services = [{"name": one.name, "url": one.url, "typeDefs": one.sdl} for one in ordered]
        async with self._turn:
            for _ in range(TRIES):
                try:
                    process = await self._running()
                    async with asyncio.timeout(self._seconds_max):
                        answer = await self._exchange(process, {"op": op, "subgraphs": services, **options})
                except TimeoutError:
                    why = f"The composer has not come to an end within {self._seconds_max:g} s."
                    return (Finding(Severity.ERROR, "COMPOSER_TIMEOUT", why),)
                except LOST as error:
                    log.warning("The composer has ended in the middle of its work: %r", error)
                    continue
                errors = answer.get("errors")
                return await asyncio.to_thread(_findings, errors, ordered) if errors else answer
        why = f"The composer has crashed over it, {TRIES} times; it may use {self._memory_mb_max} MB."
        return (Finding(Severity.ERROR, "COMPOSER_CRASHED", why),)

    async def _exchange(self, process: Process, request: Mapping[str, object]) -> dict[str, Any]:
        """One request and its answer. The process is ended unless both were whole: what comes after would not fit."""
        self._asked += 1
        try:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps({"id": self._asked, **request}).encode() + b"\n")
            await process.stdin.drain()
            line = await process.stdout.readuntil(b"\n")
            answer: dict[str, Any] = json.loads(line)
            if answer["id"] != self._asked:
                raise ValueError(f"an answer to {answer['id']}, not to {self._asked}")
        except BaseException:
            await self._end()
            raise
        return answer

    async def _running(self) -> Process:
        """The process, started when there is none. It has answered once: what goes wrong later is not the start's."""
        if self._process is not None and self._process.returncode is None:
            return self._process
        try:
            self._process = await self._start()
            async with asyncio.timeout(START_SECONDS):
                answer = await self._exchange(self._process, {"op": "version"})
        except (TimeoutError, *LOST) as error:
            raise ComposerAway("The composer does not start; run `make composer`, with Node 20 or newer.") from error
        self._version = answer["composer"]
        return self._process

    async def _start(self) -> Process:
        node = shutil.which(self._node)
        if node is None:
            raise ComposerAway("Composition needs Node 20 or newer; then run `make composer`.")
        if not (FOLDER / "node_modules").is_dir():
            raise ComposerAway("The composer is not installed; run `make composer`.")
        # It sees nothing of our environment, nor Ctrl-C in our terminal: it ends when its standard input does.
        return await asyncio.create_subprocess_exec(
            node,
            f"--max-old-space-size={self._memory_mb_max}",
            "composer.mjs",
            str(self._memory_mb_max),
            cwd=FOLDER,
            env={},
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            limit=ANSWER_BYTES_MAX,
            start_new_session=True,
        )

    async def _end(self) -> None:
        """At once: there is nothing in it that would have to be saved."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        async with asyncio.timeout(END_SECONDS):
            await process.wait()


def _findings(errors: Sequence[Mapping[str, Any]], subgraphs: Sequence[Subgraph]) -> tuple[Finding, ...]:
    """At coordinates, not at lines: the composer has seen the stamped SDL, which nobody has written."""
    named = {error["subgraph"] for error in errors if error["line"]}
    # once each, however many errors: it takes as long as the SDL is large
    documents = {subgraph.name: parse_sdl(subgraph.sdl) for subgraph in subgraphs if subgraph.name in named}
    found = []
    for error in errors:
        coordinate, document = None, documents.get(error["subgraph"])
        if isinstance(document, DocumentNode) and error["line"]:
            coordinate = coordinate_at(document, error["line"], error["column"])
        found.append(Finding(Severity.ERROR, error["code"], error["message"], coordinate=coordinate))
    return tuple(found)
