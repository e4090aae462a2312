"""Explanations beside LIME's, faithfulness and time: `python benchmarks/explain.py --texts 200 MODEL=DATA …`.

DATA are labelled texts in any form that train takes; texts the model learned from are left out. LIME is not a
dependency of plaintune: `pip install lime` where this runs (BSD-2-Clause). Words are left out by their weight
towards the answer given (DeYoung et al. 2020, ERASER, section 4): comprehensiveness is what the probability
loses without the top 1, 5, 10, 20 and 50% of the words (more is better), sufficiency what it loses with these
alone (less is better).

Both weigh the same words on one core. LIME asks the model about 1,000 variants of a text, not its default of
5,000, which would take five times as long (`--lime-samples 5000` shows what that adds): a tenth
of the time is the harder to keep.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import Results, code_version, parser, say
from section import Line, Section, grouped

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
LIME_SAMPLES = 1000


def texts_of(model: Any, data: str, most: int, *, label: str | None) -> list[str]:
    """Texts the model has not learned from, at random, without HTML line breaks."""
    from plaintune.core.features import LINE_BREAK_TAG, text_hashes
    from plaintune.data.read import read_examples

    texts = read_examples(data, label=label).texts
    new = np.flatnonzero(~np.isin(text_hashes(texts), model.manifest.training_text_hashes))
    drawn = np.random.default_rng(0).permutation(new)
    cleaned = (LINE_BREAK_TAG.sub(" ", str(texts[at])) for at in drawn)
    return [text for text in cleaned if len(text.split()) >= 5][:most]


def faithfulness(
    model: Any, text: str, code: int, spans: list[tuple[int, int]], weights: NDArray[np.float64]
) -> tuple[float, float]:
    """(comprehensiveness, sufficiency) of the words at ``spans`` ordered by ``weights``."""
    order = np.argsort(-weights, kind="stable")
    asked = [text]
    for share in SHARES:
        top = np.isin(np.arange(len(spans)), order[: max(1, round(share * len(spans)))])
        asked += [_without(text, spans, top), _without(text, spans, ~top)]
    chance = model.outputs(asked)[:, code]
    return float((chance[0] - chance[1::2]).mean()), float((chance[0] - chance[2::2]).mean())


def _without(text: str, spans: list[tuple[int, int]], dropped: NDArray[np.bool_]) -> str:
    kept, at = [], 0
    for (start, end), gone in zip(spans, dropped, strict=True):
        if gone:
            kept.append(text[at:start])
            at = end
    return "".join([*kept, text[at:]])


def ours(model: Any, text: str, spans: list[tuple[int, int]], code: int) -> NDArray[np.float64]:
    """The weight of each word by `plaintune explain`."""
    from plaintune.model.explain import explain

    weight = {piece.start: piece.weight for piece in explain(model, text, answer=model.classes[code]).pieces}
    return np.array([weight.get(start, 0.0) for start, _ in spans])


def limes(
    model: Any, text: str, spans: list[tuple[int, int]], code: int, *, samples: int
) -> NDArray[np.float64]:
    """The weight of each word by LIME, from ``samples`` variants of the text, else as it comes."""
    from lime.lime_text import LimeTextExplainer

    from plaintune.core.features import WORD

    explainer = LimeTextExplainer(
        class_names=list(model.classes), split_expression=WORD.findall, random_state=0
    )
    found = explainer.explain_instance(
        text, model.outputs, labels=(code,), num_features=len(spans), num_samples=samples
    )
    weight = dict(found.as_list(label=code))
    return np.array([weight.get(text[start:end], 0.0) for start, end in spans])


def weighed(model: Any, text: str, weigh: Callable[..., NDArray[np.float64]]) -> dict[str, Any]:
    """How faithful the weights by ``weigh`` are, and how long they took."""
    from plaintune.core.features import WORD

    answer = int(model.outputs([text])[0].argmax())
    spans = [found.span() for found in WORD.finditer(text)]
    started = time.perf_counter()
    weights = weigh(model, text, spans, answer)
    seconds = time.perf_counter() - started
    comprehensive, sufficient = faithfulness(model, text, answer, spans, weights)
    return {"words": len(spans), "figures": [comprehensive, sufficient, seconds]}


def measure(model: Any, texts: list[str], results: Results, name: str, *, samples: int) -> Iterator[Line]:
    """A line for each text by either, put by as they come; LIME's outlive changes of our code."""
    contestants: dict[str, tuple[Callable[..., NDArray[np.float64]], dict[str, Any]]] = {
        "plaintune": (ours, {"code": code_version()}),
        f"LIME, {samples:,}": (partial(limes, samples=samples), {"samples": samples}),
    }
    graph = model.manifest.files["model.onnx"]["sha256"][:12]
    for number, text in enumerate(texts):
        for who, (weigh, further) in contestants.items():
            key = {"model": name, "graph": graph, "text": number, "by": who, **further}
            yield results.line(key, partial(weighed, model, text, weigh))
        say(f"{name} {number + 1}/{len(texts)}")


def rows_of(lines: list[Line]) -> list[list[str]]:
    """A row per trained model and contestant, means over the texts."""
    table = []
    for (model, _, who), found in grouped(lines, "model", "graph", "by").items():
        figures = np.array([row["figures"] for row in found])
        comprehensive, sufficient, seconds = figures.mean(axis=0)
        words = np.median([row["words"] for row in found])
        table.append([
            model, str(len(found)), f"{words:.0f}", who, f"{comprehensive:.3f}", f"{sufficient:.3f}",
            f"{seconds:.2f}", f"{np.median(figures[:, 2]):.2f}",
        ])  # fmt: skip
    return table


SECTION = Section(
    "explain",
    "Which words decided",
    ("model", "texts", "words", "by", "comprehensiveness", "sufficiency", "mean s", "median s"),
    rows_of,
)


def main() -> int:
    options = arguments()
    os.sched_setaffinity(0, {options.core})  # before ONNX Runtime counts the cores
    from plaintune.model.predict import Model

    results = Results(options.results, "explain", again=options.again, any_code=options.any_code)
    lines: list[Line] = []
    for pair in options.pairs:
        folder, _, data = pair.partition("=")
        model = Model.load(Path(folder))
        texts = texts_of(model, data, options.texts, label=options.label)
        lines += measure(model, texts, results, Path(folder).name, samples=options.lime_samples)
    SECTION.show(lines)
    return 0


def arguments() -> argparse.Namespace:
    made = parser(__doc__, "python benchmarks/explain.py --texts 50 sms-model=sms-spam.tsv")
    made.add_argument("pairs", nargs="+", metavar="MODEL=DATA")
    made.add_argument("--texts", type=int, default=200)
    made.add_argument("--label", help="column of the answers in DATA")
    made.add_argument(
        "--lime-samples", type=int, default=LIME_SAMPLES, help="variants of a text LIME asks of"
    )
    made.add_argument("--core", type=int, default=0, help="the one to run on")
    return made.parse_args()


if __name__ == "__main__":
    sys.exit(main())
