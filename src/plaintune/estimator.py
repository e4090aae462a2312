"""plaintune as a scikit-learn estimator, for pipelines and cross-validation."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from .core.errors import UserError
from .core.settings import DEFAULT_MINUTES
from .core.tasks import Task


class TextClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Texts (n,) and labels (n,) in, a classifier out; the same training as `plaintune.train`.

    Part of the texts is held back to score it: ``score_`` is the accuracy on them.
    ``random_state`` is the seed, or draws it. The model's folder lives as long as the estimator;
    pickling takes it along.
    """

    def __init__(
        self,
        *,
        minutes: float = DEFAULT_MINUTES,
        backbone: str | None = None,
        max_length: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool = False,
    ) -> None:
        self.minutes = minutes
        self.backbone = backbone
        self.max_length = max_length
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Sequence[str], y: Sequence[Any]) -> TextClassifier:
        """Train on texts ``X`` and labels ``y``. Raises ValueError where they cannot be learned from."""
        from .api import train

        texts, labels = _as_texts(X), np.asarray(y)
        if labels.ndim != 1 or len(labels) != len(texts):
            raise ValueError(
                f"X holds {len(texts)} texts and y has shape {labels.shape}: give one label a text."
            )
        classes, codes = np.unique(labels, return_inverse=True)
        folder = Path(tempfile.mkdtemp(prefix="plaintune-"))
        try:
            model = train(
                texts,
                [str(code) for code in codes],
                task=Task.SINGLE,
                out=folder / "model",
                minutes=self.minutes,
                backbone=self.backbone,
                max_length=None if self.max_length is None else int(self.max_length),
                seed=_as_seed(self.random_state),
                quiet=not self.verbose,
            )
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, UserError):
                raise ValueError(str(error)) from error
            raise
        self._keep(folder)
        self.model_, self.classes_ = model, classes
        self.score_ = model.manifest.scores["score"]
        return self

    def predict(self, X: Sequence[str]) -> NDArray[Any]:
        """The answer to each text. Shape (n,)."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def predict_proba(self, X: Sequence[str]) -> NDArray[np.float32]:
        """Calibrated probabilities. Shape (n, classes), columns as in ``classes_``."""
        check_is_fitted(self, "model_")
        given = self.model_.outputs(_as_texts(X))
        every = np.zeros((len(given), len(self.classes_)), dtype=np.float32)
        every[:, [int(name) for name in self.model_.classes]] = (
            given  # a class may have been too rare to learn
        )
        return every

    def _keep(self, folder: Path) -> None:
        """``folder`` is there as long as this is; the one of an earlier fit no longer."""
        before = getattr(self, "_finalizer", None)
        self._finalizer = weakref.finalize(self, _remove, folder, os.getpid())
        if before is not None:
            before()

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_finalizer", None)
        model = state.pop("model_", None)
        if model is not None:
            state["_files"] = {path.name: path.read_bytes() for path in model.folder.iterdir()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        files = state.pop("_files", None)
        super().__setstate__(state)
        if files is not None:
            from .model.predict import Model

            folder = Path(tempfile.mkdtemp(prefix="plaintune-"))
            self._keep(folder)
            for name, content in files.items():
                (folder / name).write_bytes(content)
            self.model_ = Model.load(folder)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.no_validation = True
        return tags


def _remove(folder: Path, process: int) -> None:
    """``folder`` goes, unless this is another process, forked from the one that made it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _as_seed(random_state: int | np.random.RandomState | None) -> int:
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    return int(random_state or 0)


def _as_texts(X: Sequence[str]) -> list[str]:
    if isinstance(X, str):
        raise ValueError("X is one text; give a list of texts.")
    cells = np.asarray(X, dtype=object)
    if cells.ndim > 2 or (cells.ndim == 2 and cells.shape[1] != 1):
        raise ValueError(f"X has shape {cells.shape}; give one column of texts.")
    texts = [str(text) if isinstance(text, np.str_) else text for text in cells.ravel()]
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"X holds {type(text).__name__}; give texts.")
    return texts
