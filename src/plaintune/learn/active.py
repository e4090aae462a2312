"""Which text to ask a person about next, and how good a model of the answers so far would be.

Margin sampling (Scheffer et al. 2001) from a linear model on the frozen encoder; the first few are spread
over the texts. With 200 answers it was 2.0 points better than drawing at random on TREC and 1.3 on IMDB;
choosing for variety among the unsure was worse (docs/experiments.md).
"""

from __future__ import annotations

import threading
import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from ..core.events import silent
from ..core.metrics import wilson_interval
from ..core.settings import Settings
from ..data.examples import TEXT_DTYPE
from .learner import prepare
from .logistic import fit_logistic
from .network import load_network, text_features
from .train import FROZEN_STRENGTH

FIRST_SPREAD = 12  # answers before margins count
LOOKED_AT = 4000  # texts, drawn at random, among which the next is chosen
READ_AT_ONCE = 100
TOKENS = 128
FEWEST_TO_JUDGE = 20
FOLDS = 5


class Reader:
    """Reads texts with the pre-trained model in the background; what it has read can be chosen from."""

    def __init__(self, texts: list[str], *, seed: int) -> None:
        order = np.random.default_rng(seed).permutation(len(texts))
        self.order: NDArray[np.int64] = order
        self._texts = texts
        self._features: list[NDArray[np.float32]] = []
        self._read = threading.Event()
        self._problem: BaseException | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Read no further, and wait until that is so: torch must not be at work when the process ends."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            learner = prepare(Settings(), silent)
            network = load_network(learner.backbone, 1, learner.device, sentence=True)
            for first in range(0, len(self.order), READ_AT_ONCE):
                if self._stopped.is_set():
                    return
                part = [self._texts[at] for at in self.order[first : first + READ_AT_ONCE]]
                tokens = learner.tokens(np.array(part, dtype=TEXT_DTYPE), TOKENS)
                self._features.append(
                    text_features(network, learner.device, tokens, pad_id=learner.backbone.pad_id)
                )
                self._read.set()
        except BaseException as problem:
            self._problem = problem
            self._read.set()

    def features(self, also: list[int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Positions read so far, and their features (positions, hidden); waits for those in ``also``."""
        while True:
            self._read.wait()
            self._read.clear()  # before looking: what is read meanwhile sets it again
            if self._problem is not None:
                raise self._problem
            features = np.concatenate(list(self._features))
            positions = self.order[: len(features)]
            if set(also) <= set(positions.tolist()):
                self._read.set()  # for the next question
                return positions, features


def next_text(
    features: NDArray[np.float32], asked: list[int], answers: list[int], rng: np.random.Generator
) -> int:
    """The row of the most useful text that is not in ``asked``; -1 where none is left.

    ``features`` (texts, hidden) have length one; ``answers`` are those to ``asked``, -1 for skipped ones.
    """
    left = np.setdiff1d(np.arange(len(features)), asked)
    if not len(left):
        return -1
    if len(left) > LOOKED_AT:
        left = rng.choice(left, LOOKED_AT, replace=False)
    given = [(row, answer) for row, answer in zip(asked, answers, strict=True) if answer >= 0]
    if len(given) < FIRST_SPREAD or len({answer for _, answer in given}) < 2:
        if not asked:
            return int(rng.choice(left))
        return int(left[(features[left] @ features[asked].T).max(axis=1).argmin()])
    rows, said = [row for row, _ in given], np.array([answer for _, answer in given])
    model = fit_logistic(features[rows], said, strength=FROZEN_STRENGTH, steps=200)
    shares = np.sort(model.predict_proba(features[left]), axis=1)
    return int(left[(shares[:, -1] - shares[:, -2]).argmin()])


def how_good(
    features: NDArray[np.float32], answers: NDArray[np.int64]
) -> tuple[float, tuple[float, float]] | None:
    """The share right of a linear model, cross-validated, with its 95% interval; None with too few answers.

    Texts that were chosen because they are hard make it look worse than it is on all.
    """
    counts = np.bincount(answers)
    kept = np.flatnonzero(counts[answers] >= 2)
    if len(answers) < FEWEST_TO_JUDGE or len(np.unique(answers[kept])) < 2:
        return None
    folds = StratifiedKFold(min(FOLDS, int(counts[counts >= 2].min())), shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        said = cross_val_predict(_linear(), features[kept], answers[kept], cv=folds)
    right = int((said == answers[kept]).sum())
    return right / len(answers), wilson_interval(right, len(answers))


def _linear() -> LogisticRegression:
    return LogisticRegression(C=FROZEN_STRENGTH, max_iter=200, tol=1e-3)
