"""Run a command and write what it cost: `python -S measure.py COST.json -- COMMAND…`.

Started as a small process of its own on purpose: on Linux a child's peak memory is never told as less than
what its parent held at the fork, and the benchmark that wants the figure may hold a data set.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    """Run the command, pass its exit code on, and write seconds and peak memory."""
    cost_file, command = sys.argv[1], sys.argv[3:]
    started = time.monotonic()
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    bytes_per_unit = 1 if sys.platform == "darwin" else 1024
    cost = {
        "wall_seconds": time.monotonic() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_gib": usage.ru_maxrss * bytes_per_unit / 2**30,
        "exit_code": os.waitstatus_to_exitcode(status),
    }
    with open(cost_file, "w", encoding="utf-8") as out:
        json.dump(cost, out)
    sys.exit(0)


if __name__ == "__main__":
    main()
