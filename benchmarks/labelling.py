"""Answers to texts that `plaintune label` chooses, beside random ones: `python benchmarks/labelling.py`.

The answers are those of the set. What counts is a linear model on the frozen encoder, right on other rows.
"""

from __future__ import annotations

import argparse
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import Results, TextSet, code_version, load_set, parser, sample, say
from section import Line, Section, grouped, means

SETS = ("imdb", "trec-coarse")
CHECKED = 1500  # rows the models are scored on


@cache
def prepared(name: str, data: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What the frozen encoder makes of the texts of a set (rows, hidden), and their labels (rows,)."""
    say(f"reading {name}")
    whole = sample(load_set(name, data), 5000, seed=0)
    return features_of(whole), np.unique(np.array(whole.labels), return_inverse=True)[1]


def features_of(whole: TextSet) -> NDArray[np.float32]:
    """What the frozen encoder makes of the texts. Shape (rows, hidden)."""
    from plaintune.core.events import silent
    from plaintune.core.settings import Settings
    from plaintune.learn.active import TOKENS
    from plaintune.learn.learner import prepare
    from plaintune.learn.network import load_network, text_features

    learner = prepare(Settings(), silent)
    network = load_network(learner.backbone, 1, learner.device, sentence=True)
    tokens = learner.tokens(np.array(whole.texts, dtype=object), TOKENS)
    return text_features(network, learner.device, tokens, pad_id=learner.backbone.pad_id)


def measure(name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Accuracies after answers chosen by the product, and as many drawn at random."""
    from sklearn.linear_model import LogisticRegression

    from plaintune.learn.active import next_text

    features, labels = prepared(name, options.data)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    checked, pool = order[:CHECKED], order[CHECKED:]
    asked: list[int] = []
    while len(asked) < options.answers:
        asked.append(next_text(features[pool], asked, labels[pool[asked]].tolist(), rng))
    drawn = rng.choice(len(pool), options.answers, replace=False)

    def right(rows: Any) -> float:
        model = LogisticRegression(C=10.0, max_iter=300).fit(features[pool[rows]], labels[pool[rows]])
        return float(model.score(features[checked], labels[checked]))

    return {"chosen": right(asked), "random": right(drawn)}


def rows_of(lines: list[Line]) -> list[list[str]]:
    """A row per set, means over the seeds."""
    table = []
    for (name,), found in grouped(lines, "data").items():
        mean, ahead = means(found), sum(run["chosen"] > run["random"] for run in found)
        table.append([name, f"{mean['chosen']:.1%}", f"{mean['random']:.1%}", f"{ahead} of {len(found)}"])
    return table


SECTION = Section(
    "labelling",
    "Which texts to label",
    ("data", "chosen", "random", "seeds ahead"),
    rows_of,
    lambda line: f"{line['key']['answers']} answers given",
)


def main() -> None:
    """Measure each set and seed that is not in the results yet."""
    options = parser(__doc__, "python benchmarks/labelling.py --sets trec-coarse --seeds 1")
    options.add_argument("--sets", nargs="+", default=list(SETS), help="names or files")
    options.add_argument("--seeds", type=int, default=5, help="how many draws")
    options.add_argument("--answers", type=int, default=200, help="how many are given")
    asked = options.parse_args(sys.argv[1:])
    results = Results(asked.results, "labelling", again=asked.again, any_code=asked.any_code)
    lines = []
    for name in asked.sets:
        for seed in range(asked.seeds):
            key = {"data": name, "seed": seed, "answers": asked.answers, "code": code_version()}
            lines.append(results.line(key, partial(measure, name, seed, asked)))
    SECTION.show(lines)


if __name__ == "__main__":
    main()
