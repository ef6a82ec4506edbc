"""The whole suite in two sessions at once: much of it waits for processes to start, die and take over.

Each session has servers of its own. What the second one prints is shown when it has ended. `make test` runs this; one
file or folder is tried by pytest itself.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
# What waits more than it computes. Everything else, folders that are new included, is the other session's.
WAITING = ("brokers", "embedded", "live", "process")
PYTEST = (sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider")


def main() -> int:
    """Arguments are pytest's, for both sessions. TEST_SESSIONS=1: one after the other, so that nothing is by chance."""
    waiting = [str(HERE / each) for each in WAITING]
    session = [*PYTEST, *sys.argv[1:]]
    computing = [*session, str(HERE), *(f"--ignore={each}" for each in waiting)]
    began = time.monotonic()
    if os.environ.get("TEST_SESSIONS") == "1":
        codes = [subprocess.call(computing), subprocess.call([*session, *waiting])]
    else:
        codes = _at_once(computing, [*session, *waiting])
    print(f"both sessions: exit codes {codes[0]} and {codes[1]} in {time.monotonic() - began:.0f}s", flush=True)
    return max(1 if code else 0 for code in codes)


def _at_once(ahead: list[str], behind: list[str]) -> list[int]:
    with tempfile.TemporaryFile() as printed:
        second = subprocess.Popen(behind, stdout=printed, stderr=subprocess.STDOUT)
        try:
            codes = [subprocess.call(ahead), second.wait()]
        except BaseException:
            second.terminate()
            second.wait()
            raise
        printed.seek(0)
        print(f"\n{', '.join(WAITING)}:", flush=True)
        sys.stdout.buffer.write(printed.read())
        sys.stdout.flush()
    return codes


if __name__ == "__main__":
    sys.exit(main())
