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

from common import CACHE, Results, code_version, load_set, parser, sample, say
from section import Line, Section, grouped, means, sound

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plaintune.data.examples import Examples

SETS = ("trec-coarse", "banking77", "imdb")
SIZES = (500, 1000, 2000)
MOST_ROWS = 8_000  # of a set
DRAWS = 3  # of the added rows, whose mean is what really happens


@cache
def known(name: str, data: Path) -> tuple[Examples, NDArray[np.int64], NDArray[np.float32]]:
    """At most `MOST_ROWS` rows of a set: examples, groups, and what the pre-trained model makes of them."""
    from plaintune.core.events import silent
    from plaintune.core.settings import Settings
    from plaintune.data.read import read_examples
    from plaintune.learn.evidence import read_with
    from plaintune.learn.learner import prepare

    whole = sample(load_set(name, data), MOST_ROWS, seed=0)
    examples = read_examples(list(whole.texts), list(whole.labels), keep_lone=True)
    kept = CACHE / f"features-{Path(name).name}-{len(whole)}.npy"  # reading takes minutes, the rest seconds
    if not kept.exists():
        say(f"reading {name}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        learner = prepare(Settings(), silent)
        np.save(kept, read_with(learner, learner.network(examples, sentence=True), examples))
    return examples, whole.groups, np.load(kept)


def measure(name: str, rows: int, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """The promise from ``rows`` rows and what really happened, in accuracy."""
    from plaintune.learn.curve import error_of, learning_curve
    from plaintune.learn.evidence import ask

    examples, groups, features = known(name, options.data)
    order = np.random.default_rng(seed).permutation(len(examples))
    had, others = order[:rows], order[rows:]
    seen = ask(examples.take(had), groups[had], features[had], seed=seed)
    curve = learning_curve(seen, rows=rows, seed=seed)
    if curve is None:
        sys.exit(f"{name}: {rows} rows are too few for a learning curve.")
    whole = replace(seen, examples=examples, clusters=groups, features=features)
    rng = np.random.default_rng(seed + 1000)
    gains = []
    for _ in range(DRAWS):
        mixed = rng.permutation(others)
        more, judges = np.concatenate([had, mixed[:rows]]), mixed[rows:]
        gains.append(error_of(whole, had, judges, seed) - error_of(whole, more, judges, seed))
    low, high = curve.gain_interval
    return {"promised": curve.gain, "low": low, "high": high, "happened": float(np.mean(gains))}


def within(run: dict[str, Any]) -> bool:
    """Whether what happened was promised."""
    return bool(run["low"] <= run["happened"] <= run["high"])


def rows_of(lines: list[Line]) -> list[list[str]]:
    """A row per set and size, means over the draws."""
    table = []
    for (name, rows), found in grouped(lines, "data", "rows").items():
        points = {what: 100 * mean for what, mean in means(found).items()}
        promised = f"{points['promised']:.1f} ({points['low']:.1f} to {points['high']:.1f})"
        held = f"{sum(map(within, found))} of {len(found)}"
        table.append([name, f"{rows:,}", promised, f"{points['happened']:.1f}", held])
    return table


def closing(lines: list[Line]) -> str:
    """Of how many draws the interval held what came."""
    held = [within(run) for run in sound(lines)]
    return f"Within the interval, which should hold nine of ten: {sum(held)} of {len(held)}."


SECTION = Section(
    "learning_curve",
    "What twice the data bring",
    ("data", "rows", "promised, points", "happened", "within"),
    rows_of,
    closing=closing,
)


def main() -> None:
    """Measure each set, size and seed that is not in the results yet."""
    options = parser(__doc__, "python benchmarks/learning_curve.py --sets trec-coarse --seeds 1")
    options.add_argument("--sets", nargs="+", default=list(SETS), help="names or files")
    options.add_argument("--rows", nargs="+", type=int, default=list(SIZES), help="how many one has")
    options.add_argument("--seeds", type=int, default=3, help="how many draws")
    asked = options.parse_args(sys.argv[1:])
    results = Results(asked.results, "learning_curve", again=asked.again, any_code=asked.any_code)
    lines = []
    for name in asked.sets:
        for rows in asked.rows:
            for seed in range(asked.seeds):
                key = {"data": name, "rows": rows, "seed": seed, "code": code_version()}
                lines.append(results.line(key, partial(measure, name, rows, seed, asked)))
    SECTION.show(lines)


if __name__ == "__main__":
    main()
