"""Answers to texts that `plaintune label` chooses, beside random ones: `python benchmarks/labelling.py`.

The answers are those of the set. What counts is a linear model on the frozen encoder, right on other rows.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import Results, TextSet, code_version, load_set, parser, print_table, sample, say

SETS = ("imdb", "trec-coarse")
CHECKED = 1500  # rows the models are scored on


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


def measure(
    features: NDArray[np.float32], labels: NDArray[np.int64], answers: int, seed: int
) -> dict[str, Any]:
    """Accuracies after ``answers`` answers chosen by the product, and drawn at random."""
    from sklearn.linear_model import LogisticRegression

    from plaintune.learn.active import next_text

    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    checked, pool = order[:CHECKED], order[CHECKED:]
    asked: list[int] = []
    while len(asked) < answers:
        asked.append(next_text(features[pool], asked, labels[pool[asked]].tolist(), rng))
    drawn = rng.choice(len(pool), answers, replace=False)

    def right(rows: Any) -> float:
        model = LogisticRegression(C=10.0, max_iter=300).fit(features[pool[rows]], labels[pool[rows]])
        return float(model.score(features[checked], labels[checked]))

    return {"chosen": right(asked), "random": right(drawn)}


def main() -> None:
    """Measure each set and seed that is not in the results yet."""
    options = parser(__doc__, "python benchmarks/labelling.py --sets trec-coarse --seeds 1")
    options.add_argument("--sets", nargs="+", default=list(SETS), help="names or files")
    options.add_argument("--seeds", type=int, default=5, help="how many draws")
    options.add_argument("--answers", type=int, default=200, help="how many are given")
    asked = options.parse_args(sys.argv[1:])
    results = Results(asked.results, "labelling", again=asked.again, any_code=asked.any_code)
    table = []
    for name in asked.sets:
        whole, features, found = None, None, []
        for seed in range(asked.seeds):
            key = {"data": name, "seed": seed, "answers": asked.answers, "code": code_version()}
            figures = results.find(key)
            if figures is None:
                if whole is None or features is None:
                    say(f"reading {name}")
                    whole = sample(load_set(name, asked.data), 5000, seed=0)
                    features = features_of(whole)
                labels = np.unique(np.array(whole.labels), return_inverse=True)[1]
                figures = measure(features, labels, asked.answers, seed)
                results.add(key, figures)
            found.append(figures)
        chosen, drawn = ([f[what] for f in found] for what in ("chosen", "random"))
        ahead = sum(c > d for c, d in zip(chosen, drawn, strict=True))
        table.append([name, f"{np.mean(chosen):.1%}", f"{np.mean(drawn):.1%}", f"{ahead} of {len(found)}"])
    print_table(("data", f"{asked.answers} chosen", f"{asked.answers} random", "seeds ahead"), table)


if __name__ == "__main__":
    main()
