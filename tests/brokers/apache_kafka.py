"""A real Apache Kafka broker for tests: its jars by Maven, one process, KRaft, loopback only.

Never holds: the embedded broker (tansu.py).
"""

import asyncio
import fcntl
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from app.embedded.data_dir import DataDir, claim, load_ports, release, save_ports, write_config
from app.embedded.errors import EmbeddedServerError
from app.embedded.ports import choose_port, is_free
from app.embedded.process import end, log_tail, run, spawn

POM = Path(__file__).with_name("pom.xml")
CACHE = POM.parents[2] / "target"  # ignored by git
JAVA_OLDEST = 17
NAME = "apache-kafka"
MAVEN_SECONDS_MAX = 600.0
READY_SECONDS_MAX = 90.0
PORT_TRIES_MAX = 3
STOP_LADDER = ((signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0))

JVM_FLAGS = (
    *("-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


def available() -> str | None:
    """Why Apache Kafka cannot run here; None when it can."""
    if shutil.which("mvn") is None:
        return "Apache Kafka needs Maven (mvn), which is not on PATH"
    java = _find_java()
    if java is None:
        return f"Apache Kafka needs Java {JAVA_OLDEST} or newer, and there is no java on PATH"
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    version = re.search(r'version "(\d+)', shown)
    if version is None or int(version[1]) < JAVA_OLDEST:
        return f"Apache Kafka needs Java {JAVA_OLDEST} or newer; this is {shown.partition(chr(10))[0]}"
    return None


@dataclass(frozen=True)
class Proxied:
    """A second listener: whoever asks it for the broker is sent to another port, where a proxy stands."""

    listens: int
    advertised: int


@contextmanager
def apache_kafka(directory: Path, *, proxied: Proxied | None = None) -> Iterator[str]:
    """The bootstrap address of a broker that lives as long as this context; not to be entered inside an event loop.

    The same directory gives the same topics and, if nobody has taken it, the same port.
    """
    if (reason := available()) is not None:
        raise EmbeddedServerError(reason)
    jars = _copy_jars()
    claimed = claim(directory)
    try:
        process, port = _start(claimed, jars, proxied)
        try:
            yield f"127.0.0.1:{port}"
        finally:
            end(process, STOP_LADDER)
    finally:
        release(claimed)


def _find_java() -> str | None:
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")


def _copy_jars() -> Path:
    """The directory with the broker's jars, filled once per version; test runs side by side wait for each other."""
    version = ElementTree.parse(POM).findtext(".//{*}dependency/{*}version")  # the broker's, the first one
    jars = CACHE / f"{NAME}-{version}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.exists():
            draft = jars.with_name(jars.name + ".new")
            shutil.rmtree(draft, ignore_errors=True)
            maven = subprocess.run(
                ["mvn", "-q", "-B", "-f", POM, "dependency:copy-dependencies", f"-DoutputDirectory={draft}"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=MAVEN_SECONDS_MAX,
                check=False,
            )
            if maven.returncode != 0:
                raise EmbeddedServerError(f"Maven could not copy Apache Kafka:\n{maven.stdout[-2000:]}")
            draft.rename(jars)
    return jars


def _start(directory: DataDir, jars: Path, proxied: Proxied | None) -> tuple[subprocess.Popen[bytes], int]:
    java = [_find_java() or "java", *JVM_FLAGS, "-cp", f"{jars}/*"]
    properties = directory.path / "server.properties"
    wishes = load_ports(directory)
    for tries in range(1, PORT_TRIES_MAX + 1):
        port = choose_port(wishes.get("broker"), taken=())
        controller_port = choose_port(wishes.get("controller"), taken=(port,))
        directory.log(NAME).write_bytes(b"")
        described = _properties(directory.path, port=port, controller_port=controller_port, proxied=proxied)
        write_config(properties, described)
        if not (directory.path / "data" / "meta.properties").exists():
            _format(directory, java, properties=properties)
        process = spawn(
            [*java, "kafka.Kafka", properties],
            directory=directory,
            log_name=NAME,
            death_signal=signal.SIGKILL,
            cwd=directory.path,
            may_be_root=True,  # and must: Java asks access(2), which knows no capabilities, before it reads a file
        )
        try:
            is_ready = _wait_until_ready(process, port)
        except BaseException:
            end(process, STOP_LADDER)
            raise
        if is_ready:
            save_ports(directory, {"broker": port, "controller": controller_port})
            return process, port
        end(process, STOP_LADDER)
        # Somebody else may have taken a port between the choice and the bind: that is worth another try.
        if tries == PORT_TRIES_MAX or (is_free(port) and is_free(controller_port)):
            break
    raise EmbeddedServerError(f"Apache Kafka did not start.{log_tail(directory, NAME)}")


def _format(directory: DataDir, java: list[str], *, properties: Path) -> None:
    # A fixed cluster id: a format that was killed halfway can be done again over what it left.
    run(
        [
            *(*java, "kafka.tools.StorageTool", "format", "--ignore-formatted"),
            *("--cluster-id", "bW9kcGxhbmUtdGVzdHMtMQ", "--config", properties),
        ],
        directory=directory,
        log_name=NAME,
        seconds_max=READY_SECONDS_MAX,
        may_be_root=True,
    )


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while process.poll() is None and time.monotonic() < deadline:
        if not is_free(port) and asyncio.run(_is_answering(port)):
            return process.poll() is None
        time.sleep(0.1)
    return False


async def _is_answering(port: int) -> bool:
    admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}", request_timeout_ms=5000)
    try:
        await admin.start()
        return bool((await admin.describe_cluster())["brokers"])
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()


def _properties(directory: Path, *, port: int, controller_port: int, proxied: Proxied | None) -> str:
    listeners = {"PLAINTEXT": (port, port), "CONTROLLER": (controller_port, controller_port)}
    if proxied is not None:
        listeners["PROXIED"] = (proxied.listens, proxied.advertised)
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": ",".join(f"{name}://127.0.0.1:{listens}" for name, (listens, _) in listeners.items()),
        "advertised.listeners": ",".join(
            f"{name}://127.0.0.1:{advertised}" for name, (_, advertised) in listeners.items() if name != "CONTROLLER"
        ),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(directory / "data").replace("\\", "\\\\"),
        # Topics are made on purpose; a typing error must not make one.
        "auto.create.topics.enable": "false",
        # One broker stands for all replicas.
        "offsets.topic.num.partitions": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # Quick groups for quick tests.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # Small: the cleaner's buffer alone is 128 MB by default.
        "num.network.threads": "1",
        "num.io.threads": "2",
        "background.threads": "2",
        "log.cleaner.threads": "1",
        "log.cleaner.dedupe.buffer.size": "8388608",
        "log.cleaner.backoff.ms": "500",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())
