"""Wrong labels found, beside cleanlab on the same probabilities: `python benchmarks/label_noise.py`.

One label in twenty is changed at random; the ranking of `plaintune check` is scored by average precision,
and what it shows by how much of it was changed. cleanlab (AGPL) runs in the peers' environment.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import KNOWN_SETS, Results, code_version, load_set, parser, peers_python, sample, say
from section import Line, Section, grouped, means

SETS = ("sms", "trec-coarse", "trec-fine", "banking77", "imdb")
HEAD = (
    "data", "seeds", "rows", "ours", "cleanlab, same probabilities", "cleanlab, tf-idf", "in the first 10%",
    "shown", "of these wrong",
)  # fmt: skip
CLEANLAB = """
import sys, numpy as np
from cleanlab.rank import get_label_quality_scores as quality
found = np.load(sys.argv[1])
scores = {f"{p}-{m}": quality(found["labels"], found[p], method=m)
          for p in ("both", "counted") for m in ("self_confidence", "normalized_margin")}
np.savez(sys.argv[2], **scores)
"""


def flipped(labels: NDArray[np.int64], classes: int, share: float, *, seed: int) -> NDArray[np.int64]:
    """The labels with ``share`` of them changed to another class, each as likely."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(labels)) < share
    return np.where(wrong, (labels + rng.integers(1, classes, len(labels))) % classes, labels)


def cleanlab_scores(
    labels: NDArray[np.int64], both: NDArray[np.float32], counted: NDArray[np.float32]
) -> dict[str, NDArray[np.float64]]:
    """Label quality by cleanlab's methods on each of the two probabilities. By "probabilities-method"."""
    with tempfile.TemporaryDirectory() as folder:
        given, told = Path(folder) / "given.npz", Path(folder) / "told.npz"
        np.savez(given, labels=labels, both=both, counted=counted)
        subprocess.run([peers_python(), "-c", CLEANLAB, given, told], check=True)
        return dict(np.load(told))


def measure(name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Figures for one set with labels changed by ``seed``."""
    from sklearn.metrics import average_precision_score

    from plaintune.core.events import silent
    from plaintune.core.metrics import softmax
    from plaintune.core.settings import Settings
    from plaintune.core.tasks import Task
    from plaintune.data.read import read_examples
    from plaintune.data.repeats import find_repeats
    from plaintune.learn.evidence import gather
    from plaintune.learn.learner import prepare
    from plaintune.learn.suspects import find_suspects

    say(f"{name}, seed {seed}")
    whole = sample(load_set(name, options.data), options.rows, seed=0)
    truth = np.unique(np.array(whole.labels), return_inverse=True)[1]
    labels = flipped(truth, len(whole.classes), options.share, seed=seed)
    names = [whole.classes[label] for label in labels]
    examples = read_examples(list(whole.texts), names, keep_lone=True)
    evidence = gather(
        examples, find_repeats(examples).clusters, prepare(Settings(), silent), seed=seed, listener=silent
    )
    wrong = np.array([whole.classes[truth[row - 1]] for row in evidence.examples.rows]) != np.array(
        [evidence.examples.classes[label] for label in evidence.labels]
    )
    suspects = find_suspects(Task.SINGLE, evidence.outputs, evidence.labels)
    theirs = cleanlab_scores(evidence.labels, evidence.outputs, softmax(evidence.ngram_logits))
    first = np.argsort(-suspects.doubt, kind="stable")[: len(wrong) // 10]
    shown = suspects.shown

    def best(which: str) -> float:
        scores = [quality for name, quality in theirs.items() if name.startswith(which)]
        return float(max(average_precision_score(wrong, -quality) for quality in scores))

    return {
        "rows": len(wrong),
        "ours": float(average_precision_score(wrong, suspects.doubt)),
        "cleanlab": best("both"),
        "cleanlab_tfidf": best("counted"),
        "in_first_tenth": float(wrong[first].sum() / wrong.sum()),
        "shown": len(shown),
        "shown_wrong": float(wrong[shown].mean()) if len(shown) else 1.0,
        "noise": suspects.noise,
    }


def rows_of(lines: list[Line]) -> list[list[str]]:
    """A row per set, means over the seeds."""
    table = []
    for (name,), found in grouped(lines, "data").items():
        mean = means(found)
        table.append([
            name, str(len(found)), f"{mean['rows']:,.0f}", f"{mean['ours']:.3f}", f"{mean['cleanlab']:.3f}",
            f"{mean['cleanlab_tfidf']:.3f}", f"{mean['in_first_tenth']:.0%}", f"{mean['shown']:.0f}",
            f"{mean['shown_wrong']:.0%}",
        ])  # fmt: skip
    return table


SECTION = Section(
    "label_noise",
    "Wrong labels found",
    HEAD,
    rows_of,
    lambda line: f"{line['key']['share']:.0%} of the labels changed, average precision",
)


def main() -> None:
    """Measure each set and seed that is not in the results yet; print a line for each set."""
    options = parser(__doc__, "python benchmarks/label_noise.py --sets sms --seeds 1")
    options.add_argument("--sets", nargs="+", default=list(SETS), help=f"{', '.join(KNOWN_SETS)}, or files")
    options.add_argument("--seeds", type=int, default=3, help="how often labels are changed anew")
    options.add_argument("--rows", type=int, default=5000, help="of a set, at most")
    options.add_argument("--share", type=float, default=0.05, help="of the labels are changed")
    asked = options.parse_args(sys.argv[1:])
    results = Results(asked.results, "label_noise", again=asked.again, any_code=asked.any_code)
    lines = []
    for name in asked.sets:
        for seed in range(asked.seeds):
            key = {
                "data": name,
                "seed": seed,
                "rows": asked.rows,
                "share": asked.share,
                "code": code_version(),
            }
            lines.append(results.line(key, partial(measure, name, seed, asked)))
    SECTION.show(lines)


if __name__ == "__main__":
    main()
