"""Train, validation and test parts that do not leak into one another."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError
from ..core.tasks import Task
from .duplicates import merge_clusters
from .examples import Examples

TEST_SHARE, VALID_SHARE = 0.2, 0.12
NUMBER_STRATA = 5
ONE_GROUP = "; one group alone is scored on, so others may differ by more than the interval says"
MAX_VALID_ROWS = 1500  # enough for a temperature and a blend weight; the rest serves training better


@dataclass(frozen=True)
class Splits:
    """Positions in the examples. ``test`` is empty where the user brought a test set."""

    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    test: NDArray[np.int64]
    reason: str


def rows_that_belong_together(examples: Examples, clusters: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number per row, shared by rows of one group and by those that share one in ``clusters`` (rows,)."""
    return clusters if examples.groups is None else merge_clusters(examples.groups, clusters)


def strata(examples: Examples) -> NDArray[np.int64]:
    """A code per row, each to be shared out fairly: class, rarest of several, or fifth of the range."""
    if examples.task is Task.SINGLE:
        return examples.labels
    if examples.task is Task.MULTI:
        rows_of = examples.labels.sum(axis=0)
        rarest_first = np.argsort(rows_of, kind="stable")
        marked = examples.labels[:, rarest_first]
        return np.where(marked.any(axis=1), marked.argmax(axis=1), len(rows_of))
    bounds = np.quantile(examples.labels, np.linspace(0, 1, NUMBER_STRATA + 1)[1:-1])
    return np.searchsorted(bounds, examples.labels)


def rows_to_check(rows: int) -> int:
    """How many of so many examples are held back to check on, where there is time to ask about them."""
    return min(MAX_VALID_ROWS, round(VALID_SHARE * rows))


def split(
    examples: Examples,
    clusters: NDArray[np.int64],
    *,
    seed: int,
    max_test_rows: int,
    own_test: bool,
    no_validation: bool = False,
) -> Splits:
    """Divide the examples, the same for the same seed, the latest last where they have times.

    Rows that share a number in ``clusters`` (rows,) stay on one side. With ``own_test`` there is no test
    part, with ``no_validation`` none to check on: the training rows are checked on by turns.

    Raises UserError where too few independent texts are left to learn from and to check with.
    """
    rows = len(examples)
    test_rows = 0 if own_test else max(2, min(round(TEST_SHARE * rows), max_test_rows))
    most_valid = max(2, max_test_rows)  # where time is short for scoring, it is for both
    valid_rows = 0 if no_validation else max(2, min(rows_to_check(rows), most_valid))
    rng, kinds = np.random.default_rng(seed), strata(examples)

    def held_back(rest: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
        drawn = _draw(rest, kinds, clusters, wanted, rng)
        if wanted and not len(drawn) and examples.groups is not None:  # each group is larger than that
            return _smallest_group(rest, kinds, clusters)
        return drawn

    if examples.times is not None:
        splits = _latest_last(examples.times, clusters, test_rows, valid_rows)
    else:
        test = held_back(np.arange(rows), test_rows)
        train = np.setdiff1d(np.arange(rows), test)
        lone = examples.groups is not None and len(np.unique(clusters[test])) == 1
        reason = _reason(examples, own_test) + (ONE_GROUP if lone else "")
        splits = Splits(train, np.zeros(0, dtype=np.int64), test, reason)
    if not len(splits.valid):  # by time there is none where the past is of one moment
        valid = held_back(splits.train, valid_rows)
        splits = replace(splits, train=np.setdiff1d(splits.train, valid), valid=valid)
    _require_two_sides(
        examples, splits, own_test, no_validation and len(np.unique(clusters[splits.train])) > 1
    )
    return splits


def _draw(
    rest: NDArray[np.int64],
    labels: NDArray[np.int64],
    clusters: NDArray[np.int64],
    wanted: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """About ``wanted`` rows in whole clusters, each class by its share; no class is emptied."""
    if wanted <= 0 or not len(rest):
        return np.zeros(0, dtype=np.int64)
    _, cluster = np.unique(clusters[rest], return_inverse=True)
    order = np.argsort(cluster, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(cluster))])
    class_rows = np.bincount(labels[rest])
    open_rows = np.minimum(_shares(class_rows, wanted, rng), class_rows - 1)
    taken: list[NDArray[np.int64]] = []
    for number in rng.permutation(len(bounds) - 1):
        members = rest[order[bounds[number] : bounds[number + 1]]]
        if len(members) == 1:  # nearly always
            fits = open_rows[labels[members[0]]] >= 1
            counts = None
        else:
            counts = np.bincount(labels[members], minlength=len(open_rows))
            useful = np.minimum(counts, np.maximum(open_rows, 0)).sum()
            fits = useful * 2 > len(members) and _leaves_some(counts, class_rows)
        if fits:
            taken.append(members)
            if counts is None:
                open_rows[labels[members[0]]] -= 1
                class_rows[labels[members[0]]] -= 1
            else:
                open_rows -= counts
                class_rows -= counts
    return np.sort(np.concatenate(taken)) if taken else np.zeros(0, dtype=np.int64)


def _leaves_some(counts: NDArray[np.int64], class_rows: NDArray[np.int64]) -> bool:
    """Whether no class is emptied by so many rows of each."""
    return bool((counts[counts > 0] < class_rows[counts > 0]).all())


def _smallest_group(
    rest: NDArray[np.int64], labels: NDArray[np.int64], clusters: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The rows of the smallest cluster that empties no class; none where each would."""
    class_rows = np.bincount(labels[rest])
    numbers, sizes = np.unique(clusters[rest], return_counts=True)
    for number in numbers[np.argsort(sizes, kind="stable")]:
        members: NDArray[np.int64] = rest[clusters[rest] == number]
        if _leaves_some(np.bincount(labels[members], minlength=len(class_rows)), class_rows):
            return members
    return np.zeros(0, dtype=np.int64)


def _shares(class_rows: NDArray[np.int64], wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """``wanted`` rows divided among classes by their size; what is left of whole rows is drawn."""
    exact = class_rows * min(1.0, wanted / class_rows.sum())
    shares: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    parts = exact - shares
    drawn = min(round(float(parts.sum())), int(np.count_nonzero(parts)))
    if drawn:
        shares[rng.choice(len(parts), drawn, replace=False, p=parts / parts.sum())] += 1
    return shares


def _boundary(times: NDArray[np.float64], wanted: int) -> float:
    """The moment from which on there are about ``wanted`` rows, and some before it; inf for none."""
    moments, rows = np.unique(times, return_counts=True)
    if wanted <= 0 or len(moments) < 2:
        return math.inf
    later = np.cumsum(rows[::-1])[::-1][1:]  # rows from each moment on, but for the first
    return float(moments[1:][np.argmin(np.abs(later - wanted))])


def _latest_last(
    times: NDArray[np.float64], clusters: NDArray[np.int64], test_rows: int, valid_rows: int
) -> Splits:
    """Train on the past, test on the latest; rows of one moment, and repeats, stay in the later part."""
    latest = np.full(int(clusters.max()) + 1, -np.inf)
    np.maximum.at(latest, clusters, times)
    when = latest[clusters]  # a repeated text counts as its latest copy
    test_from = _boundary(when, test_rows)
    before = when[when < test_from]
    valid_from = min(test_from, _boundary(before, valid_rows))
    return Splits(
        train=np.flatnonzero(when < valid_from),
        valid=np.flatnonzero((when >= valid_from) & (when < test_from)),
        test=np.flatnonzero(when >= test_from),
        reason="the latest rows are the test, as new texts will be later ones",
    )


def _reason(examples: Examples, own_test: bool) -> str:
    what = "groups and repeated texts" if examples.groups is not None else "repeated texts"
    where = "your own test data wait until the end" if own_test else "drawn at random, class by class"
    return f"{where}; {what} stay on one side"


def _require_two_sides(examples: Examples, splits: Splits, own_test: bool, parts: bool) -> None:
    """``parts``: the training rows can be parted and checked on by turns."""
    kinds = examples.labels if examples.task is Task.NUMBER else strata(examples)
    trained_classes = len(np.unique(kinds[splits.train]))
    if examples.times is not None and trained_classes < 2 and len(splits.train):
        raise UserError(
            f"The {len(splits.train):,} earliest rows, to learn from, all have the same answer; the others "
            "come later only.",
            "Leave --time out, or give examples of other answers from as early.",
        )
    if trained_classes < 2 or not (parts or len(splits.valid)) or not (own_test or len(splits.test)):
        raise UserError(
            f"{len(examples)} rows hold too few different texts to learn from some and check on others.",
            "Add examples (at least 10 different texts for each answer), or a finer --group.",
        )
