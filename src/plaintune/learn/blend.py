"""How much to trust the network and the n-gram model, and how sure to sound: fitted on validation data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ..core.blending import Blend
from ..core.events import Listener
from ..core.settings import Choice, choose

PRIOR = (0.8, 0.4)  # weights to fall back on where validation rows are few
PRIOR_ROWS = 12.0  # how many validation rows the prior is worth


def fit_blend(
    network_logits: NDArray[np.float32], ngram_logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> Blend:
    """The two weights with the least log loss on validation rows, logits (rows, classes), labels (rows,).

    A weight multiplies log probabilities, so that it is an inverse temperature as well (Guo et al. 2017):
    the blend's confidence is calibrated in the same fit.
    """

    def surprise(weights: NDArray[np.float64]) -> float:
        probabilities = Blend(*map(float, weights)).probabilities(network_logits, ngram_logits)
        given = np.clip(probabilities[np.arange(len(labels)), labels], 1e-9, 1.0)
        from_prior = float(((weights - np.array(PRIOR)) ** 2).sum())
        return float(-np.log(given).sum()) + PRIOR_ROWS * from_prior / 2

    starts = [PRIOR, (1.0, 0.05), (0.05, 1.0)]
    found = [minimize(surprise, start, method="L-BFGS-B", bounds=[(0.0, 5.0)] * 2) for start in starts]
    best = min(found, key=lambda result: float(result.fun))
    return Blend(network=float(best.x[0]), ngrams=float(best.x[1]))


def weigh(
    network_logits: NDArray[np.float32],
    ngram_logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    listener: Listener,
) -> tuple[Blend, Choice]:
    """`fit_blend`, said aloud with how often each of the two and both together are right."""
    blend = fit_blend(network_logits, ngram_logits, labels)

    def right(answers: NDArray[np.float32]) -> str:
        return f"{(answers.argmax(axis=1) == labels).mean():.1%}"

    both = right(blend.probabilities(network_logits, ngram_logits))
    reason = (
        f"right on {len(labels):,} examples to check on: network {right(network_logits)}, "
        f"counted words {right(ngram_logits)}, both {both}"
    )
    value = f"{blend.network:.2f} × network + {blend.ngrams:.2f} × counted words"
    return blend, choose(listener, "blend", value, reason)
