"""A process that keeps embedded servers until its standard input ends: `host.py DATA_DIR`. Made to be killed."""

import dataclasses
import json
import sys
from pathlib import Path

from app.embedded.supervisor import Supervisor

if __name__ == "__main__":
    supervisor = Supervisor(Path(sys.argv[1]))
    print(json.dumps(dataclasses.asdict(supervisor.start())), flush=True)
    sys.stdin.read()
    supervisor.stop()
