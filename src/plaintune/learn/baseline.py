"""The n-gram model that deep learning must beat: a linear model over counted words, in seconds.

Two answers: word n-grams up to three, weighted by naive-Bayes log ratios (Wang and Manning 2012,
NB-SVM, with logistic regression). More answers: tf-idf. Short texts are also seen letter by letter.
Measured on development data: NB weights +0.7 points on IMDB, none on 50 classes of TREC; letters +2.5 on
Banking77, +0.2 on TREC (docs/experiments.md).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from ..core.features import HashedTexts, NgramHasher, NgramShape, Texts
from ..core.linear import MAX_BYTES, NgramModel, known_ngrams

SHORT_TEXT_CHARACTERS = 300  # on average; below, letters inside words are counted too
MAX_FIT_ROWS = 200_000
MAX_FEATURES = 1_500_000


def choose_shape(texts: Texts) -> NgramShape:
    """Words up to three for long texts, words up to two and letter runs for short ones."""
    sample = texts[:: max(1, len(texts) // 2000)]
    mean = sum(map(len, sample)) / max(1, len(sample))
    return NgramShape(2, (2, 3, 4)) if mean < SHORT_TEXT_CHARACTERS else NgramShape(3)


def fit_baseline(
    texts: NDArray[Any], labels: NDArray[np.int64], classes: int, *, max_rows: int = MAX_FIT_ROWS, seed: int
) -> NgramModel:
    """A linear model over n-grams of ``texts`` (rows,) for ``labels`` (rows,), pruned to fit the folder.

    More than ``max_rows`` rows are sampled: counting words gains little beyond.
    """
    if len(texts) > max_rows:
        _, first_of_each = np.unique(labels, return_index=True)
        kept = np.union1d(
            np.random.default_rng(seed).choice(len(texts), max_rows, replace=False), first_of_each
        )
        texts, labels = texts[kept], labels[kept]
    shape = choose_shape(texts)
    blocks = list(NgramHasher(shape).blocks(texts))
    vocabulary, rows_with = _vocabulary(blocks, rare_kept=len(texts) < 1000)
    if classes == 2:
        table = _table(blocks, vocabulary, sublinear=False)
        scale, weights, bias = _fit_two(table, labels)
    else:
        table = _table(blocks, vocabulary, sublinear=True)
        scale, weights, bias = _fit_many(table, labels, rows_with, len(texts), classes)
    return _pruned(NgramModel(shape, classes != 2, vocabulary, scale, weights, bias), rows_with)


def _fit_two(
    table: sparse.csr_matrix, labels: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    second = labels == 1
    for_second = np.asarray(table[second].sum(axis=0)).ravel() + 1.0
    for_first = np.asarray(table[~second].sum(axis=0)).ravel() + 1.0
    ratio = np.log((for_second / for_second.sum()) / (for_first / for_first.sum())).astype(np.float32)
    model = _logistic(_unit_rows(table @ sparse.diags(ratio)), second.astype(np.int64), strength=10.0)
    weight, bias = model.coef_[0].astype(np.float32), np.float32(model.intercept_[0])
    # one column of evidence for the second answer is stored; the first's is its negative
    return ratio, weight[:, None], np.array([bias], dtype=np.float32)


def _fit_many(
    table: sparse.csr_matrix,
    labels: NDArray[np.int64],
    rows_with: NDArray[np.int64],
    rows: int,
    classes: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    inverse_frequency = (np.log((1 + rows) / (1 + rows_with)) + 1).astype(np.float32)
    model = _logistic(_unit_rows(table @ sparse.diags(inverse_frequency)), labels, strength=30.0)
    weights = np.zeros((table.shape[1], classes), dtype=np.float32)
    bias = np.full(classes, -20.0, dtype=np.float32)  # an answer without a training row is never given
    if len(model.classes_) == 2:
        weights[:, model.classes_[1]] = model.coef_[0]
        bias[model.classes_] = [0.0, model.intercept_[0]]
    else:
        weights[:, model.classes_] = model.coef_.T
        bias[model.classes_] = model.intercept_
    return inverse_frequency, weights, bias


def _logistic(table: sparse.csr_matrix, labels: NDArray[np.int64], *, strength: float) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 100 steps are enough for ranking answers
        return LogisticRegression(C=strength, max_iter=100, tol=1e-3).fit(table, labels)


def _vocabulary(
    blocks: list[HashedTexts], *, rare_kept: bool
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The n-grams worth a weight, sorted, and the rows each stands in."""
    hashes, rows_with = np.unique(np.concatenate([b.hashes for b in blocks]), return_counts=True)
    least = 1 if rare_kept else 2
    if (rows_with >= least).sum() > MAX_FEATURES:
        least = max(least, int(np.sort(rows_with)[-MAX_FEATURES]) + 1)
    kept = rows_with >= least
    return hashes[kept], rows_with[kept].astype(np.int64)


def _table(
    blocks: Iterable[HashedTexts], vocabulary: NDArray[np.uint64], *, sublinear: bool
) -> sparse.csr_matrix:
    starts, columns, values = [np.zeros(1, np.int64)], [], []
    for block in blocks:
        column, value, start = known_ngrams(block, vocabulary, sublinear=sublinear)
        starts.append(start[1:] + starts[-1][-1])
        columns.append(column.astype(np.int32))
        values.append(value)
    shape = (sum(map(len, starts)) - 1, len(vocabulary))
    return sparse.csr_matrix((np.concatenate(values), np.concatenate(columns), np.concatenate(starts)), shape)


def _unit_rows(table: sparse.csr_matrix) -> sparse.csr_matrix:
    squares = np.asarray(table.multiply(table).sum(axis=1)).ravel()
    return sparse.diags(1.0 / np.sqrt(np.maximum(squares, 1e-12)).astype(np.float32)) @ table


def _pruned(model: NgramModel, rows_with: NDArray[np.int64]) -> NgramModel:
    """The model with its least telling n-grams left out, until it is within `MAX_BYTES`."""
    room = (MAX_BYTES - 4096) // model.bytes_per_ngram
    if len(model.vocabulary) <= room:
        return model
    pull = np.abs(model.scale) * np.abs(model.weights).max(axis=1) * np.sqrt(rows_with)
    kept = np.sort(np.argpartition(pull, -room)[-room:])
    return NgramModel(
        model.shape,
        model.sublinear,
        model.vocabulary[kept],
        model.scale[kept],
        model.weights[kept],
        model.bias,
    )
