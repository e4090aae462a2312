"""`predict --file` on millions of short rows, and its memory on the way: `python benchmarks/stream.py MODEL`.

Two kinds of rows: a few texts that come back in other order (a block's repeated texts are worked out once,
so this is about rows), and texts that are all different (about the model). A run that is not done in time
is ended, and what it had written counts.
"""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from common import Results, code_version, parser, say, scratch_folder
from load import resident_mb
from section import Line, Section, each, model_of
from serve import sample_texts

REPEATING = 20  # texts
WORDS = 12
SAMPLES = 10  # of the memory, told


def write_rows(file: Path, rows: int, kind: str) -> None:
    """A table with a number, a text of the kind, and a column to be kept."""
    rng = random.Random(0)
    texts = [" ".join(text.split()[:WORDS]) for text in sample_texts()]
    few = texts[:REPEATING]
    with file.open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        table.writerow(["id", "message", "kept"])
        for number in range(rows):
            text = rng.choice(few) if kind == "repeating" else f"{rng.choice(texts)} {number}"
            table.writerow([number, text, "as it was"])


def measure(model: Path, rows: int, kind: str, minutes: float) -> dict[str, Any]:
    """Rows written in the time, and the process's memory in MB at about each percent of them."""
    with scratch_folder() as folder:
        write_rows(folder / "in.csv", rows, kind)
        say(f"{rows:,} {kind} rows, {(folder / 'in.csv').stat().st_size / 1e6:,.0f} MB")
        command = [sys.executable, "-m", "plaintune", "predict", str(model), "--text", "message", "--quiet"]
        started, memory = time.monotonic(), list[tuple[int, float]]()
        process = subprocess.Popen([*command, "--file", "in.csv", "--out", "out.csv"], cwd=folder)
        journal = folder / ".out.csv.part.json"
        while process.poll() is None and time.monotonic() < started + 60 * minutes:
            time.sleep(0.5)
            done = json.loads(journal.read_text())["rows"] if journal.exists() else 0
            if not memory or done > memory[-1][0] + rows / 100:
                memory.append((done, resident_mb(process.pid)))
        seconds = time.monotonic() - started
        finished = process.poll() == 0
        process.kill()
        process.wait()
        written = rows if finished else memory[-1][0]
        if finished:
            with (folder / "out.csv").open("rb") as out:
                assert sum(1 for _ in out) == rows + 1
    return {"finished": finished, "rows": written, "seconds": seconds, "memory": memory}


def row(line: Line) -> list[str]:
    """One size and kind."""
    key, found = line["key"], line["figures"]
    picked = np.linspace(0, len(found["memory"]) - 1, SAMPLES).astype(int)
    shown = " ".join(f"{found['memory'][at][1]:.0f}" for at in picked)
    of = "" if found["finished"] else f" of {key['rows']:,}"
    return [f"{found['rows']:,}{of} {key['kind']}", f"{found['seconds']:.0f} s", shown]


SECTION = Section(
    "stream",
    "Files of any size",
    ("rows", "time", "memory, MB, from first to last row"),
    each(row),
    model_of,
)


def main() -> None:
    """Measure each size and kind that is not in the results yet."""
    options = parser(__doc__, "python benchmarks/stream.py demo-model")
    options.add_argument("model", type=Path, help="a model folder, such as the demo's")
    options.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    options.add_argument("--different", type=int, default=100_000, help="rows of which each is another")
    options.add_argument("--minutes", type=float, default=8.0, help="for one run, at most")
    asked = options.parse_args(sys.argv[1:])
    results = Results(asked.results, "stream", again=asked.again, any_code=asked.any_code)
    lines = []
    for rows, kind in [*((rows, "repeating") for rows in asked.rows), (asked.different, "different")]:
        key = {"model": asked.model.name, "rows": rows, "kind": kind, "minutes": asked.minutes}
        key["code"] = code_version()
        lines.append(results.line(key, partial(measure, asked.model, rows, kind, asked.minutes)))
    SECTION.show(lines)


if __name__ == "__main__":
    main()
