"""Does twice the data bring what the learning curve promises? `python benchmarks/learning_curve.py`.

From some rows of a set the product predicts what twice as many would bring. Then other rows of the set are
added, the same cheap models learn from once and from twice as many, and all remaining rows judge.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common import Results, code_version, load_set, parser, print_table, sample, say

if TYPE_CHECKING:
    from plaintune.learn.evidence import Evidence
    from plaintune.learn.learner import Learner

SETS = ("trec-coarse", "banking77", "imdb")
SIZES = (500, 1000, 2000)
DRAWS = 3  # of the added rows, whose mean is what really happens


@cache
def learner() -> Learner:
    """The pre-trained model, ready to read."""
    from plaintune.core.events import silent
    from plaintune.core.settings import Settings
    from plaintune.learn.learner import prepare

    return prepare(Settings(), silent)


@cache
def known(name: str, data: Path) -> Evidence:
    """What cheap models say of all rows of a set, of at most 10,000."""
    from plaintune.core.events import silent
    from plaintune.data.read import read_examples
    from plaintune.learn import evidence

    say(f"reading {name}")
    evidence.AUDIT_ROWS = 10_000
    whole = sample(load_set(name, data), evidence.AUDIT_ROWS, seed=0)
    examples = read_examples(list(whole.texts), list(whole.labels), keep_lone=True)
    return evidence.gather(examples, whole.groups, learner(), seed=0, listener=silent)


def measure(name: str, rows: int, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """The promise from ``rows`` rows and what really happened, in accuracy."""
    from plaintune.core.events import silent
    from plaintune.learn.curve import error_of, learning_curve
    from plaintune.learn.evidence import gather

    whole = known(name, options.data)
    order = np.random.default_rng(seed).permutation(len(whole.labels))
    had, others = order[:rows], order[rows:]
    mine, clusters = whole.examples.take(had), whole.clusters[had]
    seen = gather(mine, clusters, learner(), seed=seed, listener=silent)
    curve = learning_curve(seen, rows=rows, seed=seed)
    if curve is None:
        sys.exit(f"{name}: {rows} rows are too few for a learning curve.")
    whole = replace(whole, blend=seen.blend)  # the same models as promised
    rng = np.random.default_rng(seed + 1000)
    gains = []
    for _ in range(DRAWS):
        mixed = rng.permutation(others)
        more, judges = np.concatenate([had, mixed[:rows]]), mixed[rows:]
        gains.append(error_of(whole, had, judges, seed) - error_of(whole, more, judges, seed))
    low, high = curve.gain_interval
    return {"promised": curve.gain, "low": low, "high": high, "happened": float(np.mean(gains))}


def main() -> None:
    """Measure each set, size and seed that is not in the results yet."""
    options = parser(__doc__, "python benchmarks/learning_curve.py --sets trec-coarse --seeds 1")
    options.add_argument("--sets", nargs="+", default=list(SETS), help="names or files")
    options.add_argument("--rows", nargs="+", type=int, default=list(SIZES), help="how many one has")
    options.add_argument("--seeds", type=int, default=3, help="how many draws")
    asked = options.parse_args(sys.argv[1:])
    results = Results(asked.results, "learning-curve", again=asked.again, any_code=asked.any_code)
    table, inside = [], []
    for name in asked.sets:
        for rows in asked.rows:
            found = []
            for seed in range(asked.seeds):
                key = {"data": name, "rows": rows, "seed": seed, "code": code_version()}
                found.append(results.figures(key, partial(measure, name, rows, seed, asked)))
            held = [f["low"] <= f["happened"] <= f["high"] for f in found]
            inside += held
            mean = {what: 100 * float(np.mean([f[what] for f in found])) for what in found[0]}
            table.append(
                [name, f"{rows:,}", f"{mean['promised']:.1f} ({mean['low']:.1f} to {mean['high']:.1f})",
                 f"{mean['happened']:.1f}", f"{sum(held)} of {len(held)}"]
            )  # fmt: skip
    print_table(("data", "rows", "promised, points", "happened", "within"), table)
    print(f"\nWithin the interval, which should hold nine of ten: {sum(inside)} of {len(inside)}.")


if __name__ == "__main__":
    main()
