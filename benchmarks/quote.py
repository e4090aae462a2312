"""Does a run take what was quoted, and get as good? `python benchmarks/quote.py --ways quick`.

`plaintune quote` on a file, then the commands that it gives: minutes and score beside what it said. Only an
otherwise idle machine gives figures that mean something.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from functools import partial
from itertools import product
from typing import Any

from common import (
    Results,
    code_version,
    load_set,
    parser,
    run_child,
    sample,
    say,
    scratch_folder,
)
from section import Line, Section, each, sound

SETS = ("sms", "trec-coarse", "banking77", "imdb")
ROWS = 5000
NEAR, WIDEST = 0.25, 0.04  # of the quoted time; of the accuracy


def quoted_and_run(name: str, way: str, draw: int, options: argparse.Namespace) -> dict[str, Any]:
    """The quote for one set, and what its command took and reached; the nearest way where there are fewer."""
    say(f"{name}, draw {draw}, {way}")
    rows = sample(load_set(name, options.data), options.rows, seed=draw)
    with scratch_folder() as folder:
        rows.write_csv(folder / "rows.csv")
        plaintune = [sys.executable, "-m", "plaintune"]
        child = run_child(
            [*plaintune, "quote", "rows.csv", "--json", "--quiet"], folder=folder, limit_minutes=5
        )
        if child.problem:
            return {"problem": child.problem}
        ways = {told["name"]: told for told in child.told["ways"]}
        told = ways.get(way) or ways["thorough"]
        command = [*plaintune, *shlex.split(told["command"])[1:], "--json", "--quiet", "--yes"]
        run = run_child(command, folder=folder, limit_minutes=told["minutes"] + 20)
        if run.problem:
            return {"problem": run.problem}
    return {
        "quote_seconds": child.wall_seconds,
        "asked_minutes": told["minutes"],
        "quoted_minutes": told["expected_minutes"],
        "took_minutes": run.wall_seconds / 60,
        "low": told["low"],
        "high": told["high"],
        "reached": run.told["score"],
    }


def row(line: Line) -> list[str]:
    """One set and way."""
    name, way, found = line["key"]["data"], line["key"]["way"], line["figures"]
    if draw := line["key"].get("draw", 0):
        name += f", draw {draw}"
    if "problem" in found:
        return [name, way, found["problem"].splitlines()[0], "", "", "", ""]
    said = "none"
    if found["low"] is not None:
        narrow = found["high"] - found["low"] <= WIDEST + 1e-9
        said = f"{found['low']:.1%} to {found['high']:.1%}{'' if narrow else ' (wide)'}"
    minutes = [f"{found[what]:.1f}" for what in ("quoted_minutes", "took_minutes")]
    return [
        name, f"{way} ({found['asked_minutes']})", *minutes, f"{found['quote_seconds']:.0f} s", said,
        f"{found['reached']:.1%}",
    ]  # fmt: skip


def closing(lines: list[Line]) -> str:
    """How many times and scores were as quoted."""
    runs = sound(lines)
    near = [abs(run["took_minutes"] / run["quoted_minutes"] - 1) <= NEAR for run in runs]
    within = [run["low"] <= run["reached"] <= run["high"] for run in runs if run["low"] is not None]
    said = f"score within what was said: {sum(within)} of {len(within)}"
    return f"Time within a quarter: {sum(near)} of {len(near)}; {said}."


SECTION = Section(
    "quote",
    "What was quoted, and what came",
    ("data", "way (--minutes)", "quoted, min", "took, min", "the quote took", "quoted score", "reached"),
    each(row),
    closing=closing,
)


def main() -> None:
    """Measure each set and way that is not in the results yet."""
    options = parser(__doc__, "python benchmarks/quote.py --sets trec-coarse --ways quick")
    options.add_argument("--sets", nargs="+", default=list(SETS), help="names or files")
    options.add_argument("--ways", nargs="+", default=["quick", "standard", "thorough"])
    options.add_argument("--rows", type=int, default=ROWS, help="of each set, at most")
    options.add_argument("--draws", type=int, nargs="+", default=[0], help="of these rows, by number")
    asked = options.parse_args(sys.argv[1:])
    results = Results(asked.results, "quote", again=asked.again, any_code=asked.any_code)
    lines = []
    for name, draw, way in product(asked.sets, asked.draws, asked.ways):
        further = {"draw": draw} if draw else {}
        key = {"data": name, "way": way, "rows": asked.rows, **further, "code": code_version()}
        lines.append(results.line(key, partial(quoted_and_run, name, way, draw, asked)))
    SECTION.show(lines)


if __name__ == "__main__":
    main()
