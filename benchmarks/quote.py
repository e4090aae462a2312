"""Does a run take what was quoted, and get as good? `python benchmarks/quote.py --ways quick`.

`plaintune quote` on a file, then the commands that it gives: minutes and score beside what it said. Only an
otherwise idle machine gives figures that mean something.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from functools import partial
from typing import Any

import numpy as np

from common import (
    Results,
    code_version,
    load_set,
    parser,
    print_table,
    run_child,
    sample,
    say,
    scratch_folder,
)

SETS = ("sms", "trec-coarse", "banking77", "imdb")
ROWS = 5000
NEAR, WIDEST = 0.25, 0.04  # of the quoted time; of the accuracy


def quoted_and_run(name: str, way: str, options: argparse.Namespace) -> dict[str, Any]:
    """The quote for one set, and what its command took and reached; the nearest way where there are fewer."""
    say(f"{name}, {way}")
    rows = sample(load_set(name, options.data), options.rows, seed=0)
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


def main() -> None:
    """Measure each set and way that is not in the results yet."""
    options = parser(__doc__, "python benchmarks/quote.py --sets trec-coarse --ways quick")
    options.add_argument("--sets", nargs="+", default=list(SETS), help="names or files")
    options.add_argument("--ways", nargs="+", default=["quick", "standard", "thorough"])
    options.add_argument("--rows", type=int, default=ROWS, help="of each set, at most")
    asked = options.parse_args(sys.argv[1:])
    results = Results(asked.results, "quote", again=asked.again, any_code=asked.any_code)
    table, near, within = [], [], []
    for name in asked.sets:
        for way in asked.ways:
            key = {"data": name, "way": way, "rows": asked.rows, "code": code_version()}
            found = results.figures(key, partial(quoted_and_run, name, way, asked))
            if "problem" in found:
                table.append([name, way, found["problem"], "", "", ""])
                continue
            near.append(abs(found["took_minutes"] / found["quoted_minutes"] - 1) <= NEAR)
            said = "none"
            if found["low"] is not None:
                narrow = found["high"] - found["low"] <= WIDEST + 1e-9
                within.append(found["low"] <= found["reached"] <= found["high"])
                said = f"{found['low']:.1%} to {found['high']:.1%}{'' if narrow else ' (wide)'}"
            table.append([
                name, f"{way} ({found['asked_minutes']})", f"{found['quoted_minutes']:.1f}",
                f"{found['took_minutes']:.1f}",
                said,
                f"{found['reached']:.1%}",
            ])  # fmt: skip
    print_table(("data", "way (--minutes)", "quoted, min", "took, min", "quoted score", "reached"), table)
    print(f"\nTime within a quarter: {np.sum(near):.0f} of {len(near)}; ", end="")
    print(f"score within what was said: {np.sum(within):.0f} of {len(within)}.")


if __name__ == "__main__":
    main()
