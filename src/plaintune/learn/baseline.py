"""The n-gram model that deep learning must beat: a linear model over counted words, in seconds.

Two answers: word n-grams up to three, weighted by naive-Bayes log ratios (Wang and Manning 2012,
NB-SVM, with logistic regression). More answers: tf-idf. Short texts are also seen letter by letter.
Measured on development data: NB weights +0.7 points on IMDB, none on 50 classes of TREC; letters +2.5 on
Banking77, +0.2 on TREC (docs/experiments.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from ..core.features import HashedTexts, NgramHasher, NgramShape, Texts
from ..core.linear import MAX_BYTES, NgramModel, known_ngrams
from ..core.tasks import Task
from .logistic import fit_logistic

SHORT_TEXT_CHARACTERS = 300  # on average; below, letters inside words are counted too
MAX_FIT_ROWS = 200_000
MOST_FIRST = 0.1  # of the rows, at most, are there so that a sample has a row of every class
RIDGE_STRENGTH = 1.0
STEPS = 100  # of a logistic regression
ALWAYS, NEVER = 6.0, -20.0  # evidence where all training rows say the same, and where none does
MAX_FEATURES = 1_500_000
MAX_WEIGHTS = 10_000_000  # n-grams times answers: fitting takes 25 numbers of 8 bytes for each

RowWeights = NDArray[np.float64] | None  # (rows,) how far each row counts


def choose_shape(texts: Texts) -> NgramShape:
    """Words up to three for long texts, words up to two and letter runs for short ones."""
    sample = texts[:: max(1, len(texts) // 2000)]
    mean = sum(map(len, sample)) / max(1, len(sample))
    return NgramShape(2, (2, 3, 4)) if mean < SHORT_TEXT_CHARACTERS else NgramShape(3)


def fit_baseline(
    texts: NDArray[Any],
    labels: NDArray[Any],
    classes: int,
    *,
    task: Task = Task.SINGLE,
    weights: RowWeights = None,
    max_rows: int = MAX_FIT_ROWS,
    seed: int,
) -> NgramModel:
    """A linear model over n-grams of ``texts`` (rows,) for ``labels`` as in `Task`, pruned to fit the folder.

    Numbers are expected in standard units (mean 0, spread 1). A row counts as far as ``weights`` (rows,) say.
    More than ``max_rows`` rows are sampled: counting words gains little beyond.
    """
    if len(texts) > max_rows:
        drawn = np.random.default_rng(seed).choice(len(texts), max_rows, replace=False)
        first = _first_of_each(task, labels)
        kept = np.union1d(drawn, first) if len(first) <= MOST_FIRST * max_rows else np.sort(drawn)
        texts, labels = texts[kept], labels[kept]
        weights = None if weights is None else weights[kept]
    shape = choose_shape(texts)
    blocks = list(NgramHasher(shape).blocks(texts))
    most = min(MAX_FEATURES, MAX_WEIGHTS // max(1, classes)) if classes > 2 else MAX_FEATURES
    vocabulary, rows_with = _vocabulary(blocks, least=1 if len(texts) < 1000 else 2, most=most)
    opposed = task is Task.SINGLE and classes == 2
    table = _table(blocks, vocabulary, sublinear=not opposed)
    if opposed:
        scale, evidence, bias = _fit_two(table, labels, weights)
    else:
        scale = (np.log((1 + len(texts)) / (1 + rows_with)) + 1).astype(np.float32)
        weighted = _unit_rows(table @ sparse.diags(scale))
        if task is Task.SINGLE:
            evidence, bias = _fit_many(weighted, labels, classes, weights)
        elif task is Task.MULTI:
            evidence, bias = _fit_sets(weighted, labels, weights)
        else:
            evidence, bias = _fit_numbers(weighted, labels, weights)
    model = NgramModel(shape, not opposed, vocabulary, scale, evidence, bias, opposed)
    return _pruned(model, rows_with)


def _first_of_each(task: Task, labels: NDArray[Any]) -> NDArray[np.int64]:
    """A row of every class, so that a sample has them all."""
    if task is Task.MULTI:
        return np.asarray(labels.argmax(axis=0))
    return np.unique(labels, return_index=True)[1] if task is Task.SINGLE else np.zeros(0, np.int64)


def _fit_two(
    table: sparse.csr_matrix, labels: NDArray[np.int64], row_weights: RowWeights
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    second = labels == 1
    counting = np.ones(len(labels)) if row_weights is None else row_weights
    for_second = table.T @ (counting * second) + 1.0
    for_first = table.T @ (counting * ~second) + 1.0
    ratio = np.log((for_second / for_second.sum()) / (for_first / for_first.sum())).astype(np.float32)
    if _only_one(labels):
        nothing = np.zeros((table.shape[1], 1), dtype=np.float32)
        return ratio, nothing, np.array([ALWAYS if second[0] else -ALWAYS], dtype=np.float32)
    weighted = _unit_rows(table @ sparse.diags(ratio))
    model = fit_logistic(weighted, second.astype(np.int64), strength=10.0, steps=STEPS, weights=row_weights)
    weight, bias = model.coef_[0].astype(np.float32), np.float32(model.intercept_[0])
    # one column of evidence for the second answer is stored; the first's is its negative
    return ratio, weight[:, None], np.array([bias], dtype=np.float32)


def _only_one(labels: NDArray[np.int64]) -> bool:
    return bool((labels == labels[0]).all())


def _fit_many(
    table: sparse.csr_matrix, labels: NDArray[np.int64], classes: int, row_weights: RowWeights
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    weights = np.zeros((table.shape[1], classes), dtype=np.float32)
    bias = np.full(classes, NEVER, dtype=np.float32)  # an answer without a training row is never given
    if _only_one(labels):
        bias[labels[0]] = 0.0
        return weights, bias
    model = fit_logistic(table, labels, strength=30.0, steps=STEPS, weights=row_weights)
    if len(model.classes_) == 2:
        weights[:, model.classes_[1]] = model.coef_[0]
        bias[model.classes_] = [0.0, model.intercept_[0]]
    else:
        weights[:, model.classes_] = model.coef_.T
        bias[model.classes_] = model.intercept_
    return weights, bias


def _fit_sets(
    table: sparse.csr_matrix, labels: NDArray[np.int64], row_weights: RowWeights
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A yes-or-no model for each class."""
    classes = labels.shape[1]
    weights = np.zeros((table.shape[1], classes), dtype=np.float32)
    bias = np.full(classes, -ALWAYS, dtype=np.float32)  # a class that is never seen is never given
    for number in range(classes):
        if 0 < labels[:, number].sum() < len(labels):
            model = fit_logistic(table, labels[:, number], strength=30.0, steps=STEPS, weights=row_weights)
            weights[:, number], bias[number] = model.coef_[0], model.intercept_[0]
        elif labels[:, number].any():
            bias[number] = ALWAYS
    return weights, bias


def _fit_numbers(
    table: sparse.csr_matrix, labels: NDArray[np.float64], row_weights: RowWeights
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    model = Ridge(alpha=RIDGE_STRENGTH, solver="sparse_cg", tol=1e-3).fit(table, labels, row_weights)
    return model.coef_[:, None].astype(np.float32), np.array([model.intercept_], dtype=np.float32)


def _vocabulary(
    blocks: list[HashedTexts], *, least: int, most: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The n-grams worth a weight, sorted, and the rows each stands in: the ``most`` frequent at the most.

    Where none stands in ``least`` rows, those of fewer; of texts without a word, one that none has.
    """
    hashes, rows_with = np.unique(np.concatenate([b.hashes for b in blocks]), return_counts=True)
    if not len(hashes):
        return np.zeros(1, dtype=np.uint64), np.zeros(1, dtype=np.int64)
    kept = np.flatnonzero(rows_with >= min(least, int(rows_with.max())))
    if len(kept) > most:
        kept = np.sort(kept[np.argsort(-rows_with[kept], kind="stable")[:most]])
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
    return replace(
        model, vocabulary=model.vocabulary[kept], scale=model.scale[kept], weights=model.weights[kept]
    )
