"""How much to trust the network and the n-gram model, and how sure to sound: fitted on validation data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logsumexp, softmax
from scipy.stats import t as student

from ..core.blending import COVERED, Blend
from ..core.events import Listener
from ..core.metrics import METRICS, main_metric, say_metric
from ..core.settings import Choice, choose
from ..core.tasks import Task

PRIOR = (0.8, 0.4)  # weights to fall back on where validation rows are few
PRIOR_OF_NUMBERS = (0.7, 0.3)
PRIOR_ROWS = 4.0  # how many validation rows the prior is worth: measured, docs/experiments.md
FEWEST_TO_WEIGH = 32  # rows; fewer tell how sure to sound, and not which of two models to trust
SURENESS = (0.05, 6.0)  # of the usual weights, where these alone are made larger or smaller
HALF_ROWS = 12.0  # the same for a threshold of a half
THRESHOLDS = np.arange(0.2, 0.65, 0.025)

Labels = NDArray[np.int64] | NDArray[np.float64]


def usual_blend(task: Task, prior: NDArray[np.float64]) -> Blend:
    """The weights that `fit_blend` begins with and is drawn to; ``prior`` is as in `score_outputs`."""
    if task is Task.NUMBER:
        return Blend(task, *PRIOR_OF_NUMBERS, centre=float(prior[0]), spread=float(prior[1]))
    return Blend(task, *PRIOR)


def fit_blend(
    task: Task,
    network_logits: NDArray[np.float32],
    ngram_logits: NDArray[np.float32],
    labels: Labels,
    *,
    prior: NDArray[np.float64],
    trainings: NDArray[np.int64] | None = None,
    known: NDArray[np.bool_] | None = None,
) -> Blend:
    """The two weights with the least loss on validation rows: logits (rows, answers), labels as in `Task`.

    A weight multiplies log probabilities, so that it is an inverse temperature as well (Guo et al. 2017):
    the blend's confidence is calibrated in the same fit. Where rows with one answer are very few, both
    weights are made larger or smaller together. ``prior`` is as in `score_outputs`; ``trainings`` (rows,)
    tells which one the network's answer is from, where there were several: intervals of numbers are wider
    then by how much these differ. Rows that are not ``known`` (rows,) have an answer that neither model had
    met, and tell nothing of how the two should be weighed: they are left out, unless there are no others.
    """
    if known is not None and known.any():
        network_logits, ngram_logits, labels = network_logits[known], ngram_logits[known], labels[known]
        trainings = None if trainings is None else trainings[known]
    usual = usual_blend(task, prior)
    weights_of_usual = np.array([usual.network, usual.ngrams])
    said: NDArray[np.float64] = np.stack([network_logits, ngram_logits]).astype(np.float64)
    truth: NDArray[Any] = labels
    if task is Task.SINGLE:
        said, truth = log_softmax(said, axis=2), np.eye(said.shape[2])[labels.astype(np.int64)]
    elif task is Task.NUMBER:
        truth = ((labels - usual.centre) / usual.spread)[:, None]

    def surprise(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """`loss_of` and its gradient, which float32 would drown in noise; there is no second minimum."""
        mixed = np.tensordot(weights, said, axes=1)
        if task is Task.SINGLE:
            off, loss = softmax(mixed, axis=1) - truth, logsumexp(mixed, axis=1).sum() - (mixed * truth).sum()
        elif task is Task.MULTI:
            off, loss = expit(mixed) - truth, (np.logaddexp(0.0, mixed) - mixed * truth).sum()
        else:
            off = mixed - truth
            loss = (off**2).sum() / 2
        away = weights - weights_of_usual
        gradient = np.tensordot(said, off, axes=2) + PRIOR_ROWS * away
        return float(loss + PRIOR_ROWS * (away @ away) / 2), gradient

    def of_sureness(times: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        loss, gradient = surprise(times * weights_of_usual)
        return loss, np.array([gradient @ weights_of_usual])

    if task is Task.SINGLE and len(labels) < FEWEST_TO_WEIGH:
        found = minimize(of_sureness, np.ones(1), jac=True, method="L-BFGS-B", bounds=[SURENESS])
        weights = found.x * weights_of_usual
    else:
        found = minimize(surprise, weights_of_usual, jac=True, method="L-BFGS-B", bounds=[(0.0, 5.0)] * 2)
        weights = found.x
    blend = replace(usual, network=float(weights[0]), ngrams=float(weights[1]))
    outputs = blend.outputs(network_logits, ngram_logits)
    if task is Task.MULTI:
        return replace(blend, threshold=_threshold(labels, outputs, prior))
    if task is Task.NUMBER:
        distances = np.abs(labels - outputs[:, 0])
        wider = 1 + (0.0 if trainings is None else _apart(distances, trainings))
        return replace(blend, half_width=wider * _half_width(distances))
    return blend


def are_met(task: Task, labels: Labels, learned: Labels) -> NDArray[np.bool_]:
    """Whether the answer of each row is among those ``learned``; (rows,).

    True where answers are sets or numbers, of which a model can give one that it has not met.
    """
    return np.isin(labels, learned) if task is Task.SINGLE else np.ones(len(labels), dtype=bool)


def loss_of(task: Task, labels: Labels, outputs: NDArray[np.float32], spread: float) -> float:
    """How surprised one is by the truth, summed over rows; ``spread`` is the unit of numbers."""
    return float(losses_of(task, labels, outputs, spread).sum())


def losses_of(
    task: Task, labels: Labels, outputs: NDArray[np.float32], spread: float
) -> NDArray[np.floating[Any]]:
    """`loss_of` row by row, (rows,)."""
    if task is Task.SINGLE:
        given = outputs[np.arange(len(labels)), labels.astype(np.int64)]
        return -np.log(np.clip(given, 1e-9, 1.0))
    if task is Task.MULTI:
        given = np.clip(np.where(labels == 1, outputs, 1 - outputs), 1e-9, 1.0)
        return np.asarray(-np.log(given).sum(axis=1))
    return np.asarray(((labels - outputs[:, 0]) / spread) ** 2 / 2)


def _threshold(labels: Labels, outputs: NDArray[np.float32], prior: NDArray[np.float64]) -> float:
    """The threshold with the best F1; `HALF_ROWS` rows' worth of belief in a half hold it back."""

    def worth(threshold: float) -> float:
        f1 = main_metric(Task.MULTI, labels, outputs, prior=prior, threshold=threshold)
        return f1 - abs(threshold - 0.5) * HALF_ROWS / (HALF_ROWS + len(labels))

    return float(max(THRESHOLDS, key=worth))


def threshold_alone(
    blend: Blend, ngram_logits: NDArray[np.float32], labels: Labels, prior: NDArray[np.float64]
) -> float:
    """The threshold for counted words alone: the blend's is for what both models say together."""
    if blend.task is not Task.MULTI:
        return blend.threshold
    return _threshold(labels, blend.ngram_outputs(ngram_logits), prior)


def _half_width(distances: NDArray[np.float64]) -> float:
    """Split conformal prediction (Lei et al. 2018): the rank that covers new rows, not only these."""
    rows = len(distances)
    rank = int(np.ceil((rows + 1) * COVERED))
    if rank > rows:  # the largest of so few covers less: Student's t, for errors that are about normal
        spread = float(np.sqrt((distances**2).mean() * (1 + 1 / rows)))
        return max(float(distances.max()), float(student.ppf((1 + COVERED) / 2, rows)) * spread)
    return float(np.sort(distances)[rank - 1])


def _apart(distances: NDArray[np.float64], trainings: NDArray[np.int64]) -> float:
    """How far trainings were from being equally good: the spread of their errors as a share of all errors.

    A rank covers new rows of the trainings that were checked; the finished model is another one, trained on
    all rows, and may be off by more or by less than these, as they are among each other.
    """
    means = [float(np.sqrt((distances[trainings == one] ** 2).mean())) for one in np.unique(trainings)]
    usual = float(np.sqrt((distances**2).mean()))
    return float(np.std(means, ddof=1)) / usual if len(means) > 1 and usual > 0 else 0.0


def weigh(
    task: Task,
    network_logits: NDArray[np.float32],
    ngram_logits: NDArray[np.float32],
    labels: Labels,
    *,
    prior: NDArray[np.float64],
    trainings: NDArray[np.int64] | None = None,
    known: NDArray[np.bool_] | None = None,
    listener: Listener,
) -> tuple[Blend, Choice]:
    """`fit_blend`, said aloud with how good each of the two and both together are."""
    blend = fit_blend(
        task, network_logits, ngram_logits, labels, prior=prior, trainings=trainings, known=known
    )

    def good(one: Blend) -> str:
        return say_score(task, labels, one.outputs(network_logits, ngram_logits), prior, one)

    alone = [replace(blend, network=1.0, ngrams=0.0), replace(blend, network=0.0, ngrams=1.0)]
    told = "right" if task is Task.SINGLE else METRICS[task].replace("_", "-")
    reason = (
        f"{told} on {len(labels):,} examples to check on: network {good(alone[0])}, "
        f"counted words {good(alone[1])}, both {good(blend)}"
    )
    value = f"{blend.network:.2f} × network + {blend.ngrams:.2f} × counted words"
    return blend, choose(listener, "blend", value, reason)


def say_score(
    task: Task, labels: Labels, outputs: NDArray[np.float32], prior: NDArray[np.float64], blend: Blend
) -> str:
    """The main metric as people write it."""
    return say_metric(task, main_metric(task, labels, outputs, prior=prior, threshold=blend.threshold))
