"""Two opinions into one: the arithmetic that training fits and prediction applies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .metrics import sigmoid, softmax
from .tasks import Task

COVERED = 0.9  # numbers: the share of new rows whose number should lie within the interval


@dataclass(frozen=True)
class Blend:
    """Weights of what the network and the n-gram model say, and how to read an answer off the sum.

    For classes the weights multiply log probabilities (log odds where several may apply); both models
    give numbers as distances from ``centre``, the mean target, in units of ``spread``.
    """

    task: Task
    network: float
    ngrams: float
    centre: float = 0.0
    spread: float = 1.0
    threshold: float = 0.5  # multi-label: the probability from which a class applies
    half_width: float = 0.0  # numbers: 9 of 10 new rows should be within this distance

    def outputs(self, network_logits: NDArray[np.float32], ngram_logits: NDArray[np.float32]) -> NDArray[Any]:
        """Calibrated probabilities (rows, classes) in float32, or numbers (rows, 1) in float64."""
        if self.task is Task.SINGLE:
            mixed = self.network * log_softmax(network_logits) + self.ngrams * log_softmax(ngram_logits)
            return softmax(mixed.astype(np.float32))
        if self.task is Task.MULTI:
            return sigmoid(self.network * network_logits + self.ngrams * ngram_logits)
        away = self.network * network_logits + self.ngrams * ngram_logits
        return np.asarray(self.centre + self.spread * away.astype(np.float64))

    def sureness(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """How sure each answer is, (rows,): of several decisions the least sure one counts."""
        if self.task is Task.SINGLE:
            return np.asarray(outputs.max(axis=1))
        if self.task is Task.MULTI:
            return np.asarray(np.where(outputs >= self.threshold, outputs, 1 - outputs).min(axis=1))
        return np.full(len(outputs), COVERED)

    def ngram_outputs(self, ngram_logits: NDArray[np.float32]) -> NDArray[Any]:
        """`outputs` of the n-gram model alone, as it came out of its own fit."""
        return replace(self, network=0.0, ngrams=1.0).outputs(np.zeros_like(ngram_logits), ngram_logits)


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log probabilities of shape (rows, classes) from logits of the same shape."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), dtype=np.float32)
