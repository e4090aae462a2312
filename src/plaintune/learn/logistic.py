"""Logistic regression, as scikit-learn does it, without what it has to say to statisticians."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits


def fit_logistic(
    features: Any,
    labels: NDArray[Any],
    *,
    strength: float,
    steps: int,
    weights: NDArray[np.float64] | None = None,
) -> LogisticRegression:
    """A fitted model of ``labels`` (rows,) by ``features`` (rows, columns), dense or sparse.

    ``strength`` is how far weights may go, scikit-learn's C; ``weights`` (rows,) are how far rows count.
    Sparse features need the finer tolerance: with the coarser one some fits end after a dozen steps, far
    from where they would settle. They leave little to BLAS, whose threads wait for one another where other
    programs run: it gets one (docs/experiments.md).
    """
    tolerance, threads = 1e-3, nullcontext()
    if issparse(features):
        tolerance, threads = 1e-4, threadpool_limits(1, user_api="blas")
    with threads, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so many steps are enough for ranking answers
        warnings.filterwarnings(
            "ignore", "The number of unique classes", UserWarning
        )  # few rows, many answers
        return LogisticRegression(C=strength, max_iter=steps, tol=tolerance).fit(features, labels, weights)
