"""PostgreSQL, Valkey and Apache Kafka of one chaos run, in a process of their own that restarts them when told to.

A process of its own because servers are bound to the thread that starts them, and starting one blocks. It speaks JSON,
a line each way: {"restart": "postgres" | "valkey" | "kafka"} is answered by {"restarted": …} when the server is ready.
"""

import json
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from app.embedded.ports import choose_port
from app.embedded.supervisor import Supervisor
from tests.brokers.apache_kafka import Proxied, apache_kafka
from tests.live.servers import pid_on, port_of

# PostgreSQL's own word for a crash: immediate shutdown. SIGKILL would leave its shared memory to be cleaned by hand.
CRASH = {"postgres": signal.SIGQUIT, "valkey": signal.SIGKILL}


class Broker:
    """Apache Kafka in one directory: it comes back on its port, with its log."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = ExitStack()
        listens = choose_port(None, taken=())
        self.proxied = Proxied(listens=listens, advertised=choose_port(None, taken=(listens,)))
        self.address = ""

    def start(self) -> None:
        self.address = self._stack.enter_context(apache_kafka(self._directory, proxied=self.proxied))

    def restart(self) -> None:
        os.kill(pid_on(port_of(self.address)), signal.SIGKILL)
        self._stack.close()
        known = self.address
        self.start()
        if self.address != known:
            raise RuntimeError(f"the broker's port {known} was taken while it was away")

    def stop(self) -> None:
        self._stack.close()


def main() -> None:
    directory = Path(sys.argv[1])
    supervisor, broker = Supervisor(directory / "data", kafka=False), Broker(directory / "kafka")
    try:
        endpoints = supervisor.start()
        broker.start()
        ports = {"listens": broker.proxied.listens, "advertised": broker.proxied.advertised}
        stores = {"postgres": endpoints.postgres, "redis": endpoints.redis, "kafka": broker.address}
        _tell({**stores, "kafka_proxied": ports})
        for line in sys.stdin:
            name = json.loads(line)["restart"]
            if name == "kafka":
                broker.restart()
            else:
                supervisor.restart(name, by=CRASH[name])
            _tell({"restarted": name})
    finally:
        broker.stop()
        supervisor.stop()


def _tell(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
