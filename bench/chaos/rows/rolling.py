"""Row 28: every process is replaced in order, again and again, under load, and no client notices."""

import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.chaos.report import Result
from bench.chaos.world import World
from tests.process.programs import end, start
from tests.process.programs import run as run_program
from tests.process.rolling_restart import Member, restart_under_load

APIS = REACTIONS = 2
GRACE_SECONDS = "1"  # as long as a balancer that asks ten times a second needs to notice


@dataclass(frozen=True)
class Scale:
    rounds: int


FULL, SHORT = Scale(rounds=10), Scale(rounds=1)


async def run(world: World, scale: Scale, *, seed: int) -> Result:
    directory = world.directory / f"rolling-{seed}"
    directory.mkdir()
    data_dir = str(directory / "data")
    given = {
        "DATABASE_URL": world.owner.set(drivername="postgresql").render_as_string(hide_password=False),
        "REDIS_URL": world.redis,
        "KAFKA_BOOTSTRAP_SERVERS": world.kafka,
        "MODPLANE_DRAIN_GRACE_SECONDS": GRACE_SECONDS,
        "data_dir": data_dir,
    }
    bearer = run_program("token", "--role", "SUPER_ADMIN", data_dir=directory / "data").stdout.strip()
    with ExitStack() as stack:
        relay = _member(stack, world, directory, "relay", given)
        apis = [_member(stack, world, directory, "api", given, number=number) for number in range(APIS)]
        reactions = [_member(stack, world, directory, "reactions", given, number=number) for number in range(REACTIONS)]
        for each in (relay, *apis, *reactions):
            await each.up()
        tally = await restart_under_load([*apis, *reactions], bearer, rounds=scale.rounds)
    restarts = len(tally.exit_codes)
    unclean = sum(code != 0 for code in tally.exit_codes)
    return Result(
        row=28,
        promise="a rolling restart is noticed by nobody",
        target=f"{APIS} API and {REACTIONS} reactions processes, {scale.rounds} rounds: 0 failed, 0 lost",
        measured=(
            f"{restarts} restarts ({unclean} unclean, each within {max(tally.ended_in):.1f} s), {len(tally.failed)} of"
            f" {tally.requests} requests failed, {tally.events} events heard over {tally.connections} connections,"
            f" {len(tally.wrong)} wrong"
        ),
        holds=not tally.failed and not tally.wrong and unclean == 0,
        figures={
            "restarts": restarts,
            "requests": tally.requests,
            "failed": len(tally.failed),
            "events": tally.events,
            "connections": tally.connections,
            "ended_in_seconds": tally.ended_in,
        },
        wrong=[*tally.failed[:20], *tally.wrong[:20]],
    )


def _member(
    stack: ExitStack, world: World, directory: Path, role: str, given: Mapping[str, str], *, number: int = 0
) -> Member:
    """A process as operators start it, ended whatever happens."""
    port = world.free_port() if role == "api" else None
    log = directory / f"{role}-{number}.log"

    def start_anew() -> subprocess.Popen[bytes]:
        log.write_text("")
        return start("serve", "--roles", role, log=log, MODPLANE_PORT=str(port or 0), **given)

    member = Member(f"{role}-{number}", start_anew, lambda: "ready: " in log.read_text(), port)
    stack.callback(_end, member)
    return member


def _end(member: Member) -> None:
    if member.process is not None:
        end(member.process)
