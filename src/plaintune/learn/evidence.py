"""Cheap opinions about every row: what a frozen encoder and counted words say of rows they have not seen."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.blending import Blend
from ..core.events import Listener, stage
from ..core.features import split_words
from ..core.tasks import Task
from ..data.examples import Examples
from .blend import fit_blend
from .crossval import counted_in_turns, folds_of, in_turns, known_in_turns
from .learner import Learner, prior_of, seconds_to_count_one, standard_labels
from .network import Network, text_features
from .train import FROZEN_STRENGTH, fit_linear

AUDIT_ROWS = 5000
AUDIT_SECONDS = 120.0  # about, for all that cheap models are asked; fewer rows on a slow machine
FEWEST_ROWS, PILOT_ROWS = 400, 100  # asked about whatever it takes; read to tell how fast that is
LESSONS = 20  # times what it takes to learn a row once goes into folds, into the curve and into answers
AUDIT_TOKENS = 128
FOLDS = 5
FIRST_WORDS = 60


@dataclass(frozen=True)
class Evidence:
    """Out-of-fold opinions about a sample of rows."""

    examples: Examples  # the sample
    clusters: NDArray[np.int64]  # (rows,) shared by rows that belong together
    features: NDArray[np.float32]  # (rows, hidden) of the frozen encoder
    frozen_logits: NDArray[np.float32]  # (rows, answers)
    ngram_logits: NDArray[np.float32]  # (rows, answers)
    blend: Blend
    pieces_per_word: float = 1.0  # tokens of the pre-trained model; near 1 where it knows the words

    @property
    def task(self) -> Task:
        """What kind of answer the rows have."""
        return self.examples.task

    @property
    def labels(self) -> NDArray[Any]:
        """The answers as given, shaped as in `Task`."""
        return np.asarray(self.examples.labels)

    @property
    def prior(self) -> NDArray[np.float64]:
        """What is known without reading, as `score_outputs` takes it."""
        return prior_of(self.examples)

    @property
    def outputs(self) -> NDArray[Any]:
        """Both opinions blended and calibrated. Shape (rows, answers)."""
        return self.blend.outputs(self.frozen_logits, self.ngram_logits)

    @property
    def frozen_outputs(self) -> NDArray[Any]:
        """The frozen encoder alone. Shape (rows, answers)."""
        return replace(self.blend, network=1.0, ngrams=0.0).outputs(self.frozen_logits, self.ngram_logits)

    @property
    def ngram_outputs(self) -> NDArray[Any]:
        """Counted words alone. Shape (rows, answers)."""
        return self.blend.ngram_outputs(self.ngram_logits)


def gather(
    examples: Examples,
    clusters: NDArray[np.int64],
    learner: Learner,
    *,
    seconds: float | None = None,
    fewest: int = FEWEST_ROWS,
    counted_seconds: float | None = None,
    seed: int,
    listener: Listener,
) -> Evidence:
    """Ask both models about a sample of rows, each in folds that leave out the rows of its cluster.

    There are up to `AUDIT_ROWS`; where these would take longer than ``seconds`` (None: `AUDIT_SECONDS`),
    as many as fit, and not fewer than ``fewest``. ``counted_seconds`` is `seconds_to_count_one`, if known.
    """
    stage(listener, "Reading the texts with the pre-trained model")
    chosen = np.random.default_rng(seed).permutation(len(examples))
    network = learner.network(examples, sentence=True)
    if len(chosen) > fewest:
        pilot = examples.take(chosen[:PILOT_ROWS])
        each = _seconds_to_read_one(learner, network, pilot)
        each += LESSONS * (seconds_to_count_one(examples) if counted_seconds is None else counted_seconds)
        chosen = chosen[: min(AUDIT_ROWS, max(fewest, int((seconds or AUDIT_SECONDS) / each)))]
    other = np.flatnonzero(clusters != clusters[chosen[0]])
    if len(other) and (clusters[chosen] == clusters[chosen[0]]).all():
        chosen = np.append(chosen, other[0])  # rows of one cluster alone cannot be parted
    chosen = np.sort(chosen)
    sample, together = examples.take(chosen), clusters[chosen]
    features = read_with(learner, network, sample)
    stage(listener, "Asking cheap models about rows they have not seen")
    asked = ask(sample, together, features, seed=seed)
    return replace(asked, pieces_per_word=_pieces_per_word(learner, sample))


def _seconds_to_read_one(learner: Learner, network: Network, pilot: Examples) -> float:
    started = time.perf_counter()
    read_with(learner, network, pilot)
    return (time.perf_counter() - started) / len(pilot)


def read_with(
    learner: Learner, network: Network, sample: Examples, *, max_length: int = AUDIT_TOKENS
) -> NDArray[np.float32]:
    """What the pre-trained model, pooled for sentences, makes of each text. Shape (texts, hidden)."""
    tokens = learner.tokens(sample.texts, max_length)
    return text_features(network, learner.device, tokens, pad_id=learner.backbone.pad_id)


def ask(
    sample: Examples,
    together: NDArray[np.int64],
    features: NDArray[np.float32],
    *,
    seed: int,
) -> Evidence:
    """Both models' opinions of each row of ``sample``, in folds that leave out the rows of its cluster."""
    parts = folds_of(sample, together, FOLDS, seed)
    frozen = frozen_in_turns(sample, parts, features)
    counted = counted_in_turns(sample, parts, seed=seed)
    blend = fit_blend(
        sample.task, frozen, counted, sample.labels,
        prior=prior_of(sample), known=known_in_turns(sample, parts),
    )  # fmt: skip
    return Evidence(sample, together, features, frozen, counted, blend)


def _pieces_per_word(learner: Learner, sample: Examples) -> float:
    """Into how many tokens a word falls, by the beginnings of some texts."""
    words = [split_words(str(text))[:FIRST_WORDS] for text in sample.texts[:: max(1, len(sample) // 400)]]
    beginnings = np.array([" ".join(of_text) for of_text in words], dtype=object)
    marks = 2  # before and after each text
    pieces = learner.tokens(beginnings, learner.backbone.max_tokens).lengths - marks
    return float(pieces.sum()) / max(1, sum(map(len, words)))


def frozen_in_turns(
    sample: Examples, parts: list[NDArray[np.int64]], features: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What linear models on frozen features say of each of ``parts`` (row positions), fitted to the rest."""
    labels, answers = standard_labels(sample), sample.task.outputs(len(sample.classes))

    def opinion(rest: NDArray[np.int64], part: NDArray[np.int64]) -> NDArray[np.float32]:
        return frozen_opinion(sample.task, features[rest], labels[rest], features[part], answers=answers)

    return in_turns(sample, parts, opinion)


def frozen_opinion(
    task: Task, features: NDArray[np.float32], labels: NDArray[Any], of: NDArray[np.float32], *, answers: int
) -> NDArray[np.float32]:
    """Logits (rows of ``of``, answers) of a linear model on frozen features; labels in standard units."""
    fitted = fit_linear(task, features, labels, answers=answers, strength=FROZEN_STRENGTH)
    if fitted is None:
        same: NDArray[np.float32] = np.zeros((len(of), answers), dtype=np.float32)
        same[:, labels[0]] = 1.0
        return same
    weights, bias = fitted
    logits: NDArray[np.float32] = (of @ weights.T + bias).astype(np.float32)
    return logits
