"""Two opinions into one: the arithmetic that training fits and prediction applies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .metrics import softmax


@dataclass(frozen=True)
class Blend:
    """Weights of the log probabilities of the network and of the n-gram model."""

    network: float
    ngrams: float

    def probabilities(
        self, network_logits: NDArray[np.float32], ngram_logits: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Calibrated probabilities. Shapes (rows, classes)."""
        mixed = self.network * log_softmax(network_logits) + self.ngrams * log_softmax(ngram_logits)
        return softmax(mixed.astype(np.float32))


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log probabilities of shape (rows, classes) from logits of the same shape."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), dtype=np.float32)
