"""Is what the model is asked still like what it was scored on? Four figures of each text, compared as shares.

`reference_figures` puts them in the manifest when the model is trained; `Watch` holds the latest texts of a
running service against them. It keeps counts, never texts.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.features import Texts, split_words
from ..core.tasks import Task

if TYPE_CHECKING:
    from .predict import Model

RECENT_TEXTS = 5000  # the latest ones, that count as "now"
ENOUGH_TEXTS = 200  # below that, chance alone moves the shares by more than SOMEWHAT
SOMEWHAT, VERY = 0.1, 0.25  # of the texts would have to be others for the shares to be as usual
BLOCK_TEXTS = 100  # are forgotten together
SAMPLE_ROWS = 5000
NONE_OF_THEM = "(none)"  # several answers: the text that got none
IN_WORDS = {
    "words": "Words in a text",
    "unknown_words": "Share of words it never met",
    "confidence": "Confidence",
    "answers": "Answers given",
}


@dataclass(frozen=True)
class Figures:
    """Of each text: its length, the share of its words that training never met, and the answer it got."""

    words: NDArray[np.float64]  # (texts,)
    unknown_words: NDArray[np.float64]  # (texts,)
    confidence: NDArray[np.float64]  # (texts,)
    answers: NDArray[np.float64]  # (texts, classes), 1 where given; (texts,) numbers

    def __len__(self) -> int:
        return len(self.words)


def figures(model: Model, texts: Texts, outputs: NDArray[Any]) -> Figures:
    """The four figures of ``texts``, for which ``model`` gave ``outputs``."""
    if model.task is Task.SINGLE:
        answers = np.zeros((len(outputs), len(model.classes)))
        answers[np.arange(len(outputs)), outputs.argmax(axis=1)] = 1
    elif model.task is Task.MULTI:
        chosen = outputs >= model.blend.threshold
        answers = np.column_stack([chosen, ~chosen.any(axis=1)]).astype(np.float64)
    else:
        answers = outputs[:, 0].astype(np.float64)
    return Figures(
        np.array([len(split_words(text)) for text in texts], dtype=np.float64),
        model.unknown_words(texts),
        np.asarray(model.blend.sureness(outputs), dtype=np.float64),
        answers,
    )


def reference_figures(model: Model, texts: Texts, outputs: NDArray[Any]) -> dict[str, Any]:
    """How the figures are spread over texts the model was scored on, as the manifest keeps it."""
    drawn = np.sort(np.random.default_rng(0).permutation(len(texts))[:SAMPLE_ROWS])
    seen = figures(model, [str(texts[row]) for row in drawn], outputs[drawn])
    return {"rows": len(seen)} | {name: _spread(values) for name, values in vars(seen).items()}


def answer_names(model: Model) -> tuple[str, ...]:
    """What the columns of `Figures.answers` stand for; none where the answer is a number."""
    return model.classes + ((NONE_OF_THEM,) if model.task is Task.MULTI else ())


@dataclass(frozen=True)
class Compared:
    """One figure now and as usual. ``usual``, ``drift``: None where the model's folder does not know them."""

    name: str
    label: str
    usual: float | dict[str, float] | None
    now: float | dict[str, float] | None
    drift: float | None  # share of texts that differ, beyond what chance explains; None: too few texts
    level: str


class Watch:
    """The latest texts of a running model against its reference; safe to use from several threads."""

    def __init__(self, model: Model, reference: Mapping[str, Any] | None) -> None:
        self.names = answer_names(model)
        self.reference = _whole(reference, len(self.names))
        self.texts = 0
        self._recent: deque[tuple[int, dict[str, NDArray[np.float64]], dict[str, float]]] = deque()
        self._lock = threading.Lock()

    def add(self, seen: Figures) -> None:
        """Count texts just answered; the oldest beyond `RECENT_TEXTS` are forgotten."""
        values = vars(seen)
        counts = {name: _counts(found, self._edges(name)) for name, found in values.items()}
        sums = {name: float(found.sum()) for name, found in values.items()}
        with self._lock:
            self.texts += len(seen)
            texts = len(seen)
            if self._recent and self._recent[-1][0] + texts <= BLOCK_TEXTS:  # one by one they would be many
                before, counts_before, sums_before = self._recent.pop()
                texts += before
                counts = {name: counts_before[name] + found for name, found in counts.items()}
                sums = {name: sums_before[name] + found for name, found in sums.items()}
            self._recent.append((texts, counts, sums))
            while self.texts - self._recent[0][0] >= RECENT_TEXTS:
                self.texts -= self._recent.popleft()[0]

    def compared(self) -> list[Compared]:
        """Each figure beside its reference."""
        with self._lock:
            recent, texts = list(self._recent), self.texts
        return [self._compare(name, recent, texts) for name in IN_WORDS]

    def as_json(self) -> dict[str, Any]:
        """The contract of `/models/NAME/watch`."""
        return {
            "texts": self.texts,
            "enough_texts": ENOUGH_TEXTS,
            "reference_texts": None if self.reference is None else self.reference["rows"],
            "figures": [asdict(figure) for figure in self.compared()],
        }

    def _edges(self, name: str) -> Sequence[float]:
        return () if self.reference is None else self.reference[name]["edges"]

    def _compare(self, name: str, recent: Sequence[Any], texts: int) -> Compared:
        reference = self.reference
        counts = sum((counts[name] for _, counts, _ in recent), start=np.zeros(1))
        usual = None if reference is None else np.array(reference[name]["shares"], dtype=np.float64)
        drift = None
        if reference is not None and usual is not None and texts >= ENOUGH_TEXTS:
            drift = _drift(usual, counts, rows=(reference["rows"], texts))
        by_answer = name == "answers" and self.names
        if by_answer:
            shares = counts / max(texts, 1)
            now: Any = self._named(np.resize(shares, len(self.names))) if texts else None
            before: Any = None if usual is None else self._named(usual)
        else:
            now = sum(sums[name] for _, _, sums in recent) / texts if texts else None
            before = None if reference is None else reference[name]["mean"]
        return Compared(name, IN_WORDS[name], before, now, drift, _level(reference, drift))

    def _named(self, shares: NDArray[np.float64]) -> dict[str, float]:
        return {name: float(share) for name, share in zip(self.names, shares, strict=True)}


def _whole(reference: Mapping[str, Any] | None, answers: int) -> Mapping[str, Any] | None:
    """The reference, None where a part of it is missing or does not fit: a folder may come from anywhere."""
    if reference is None:
        return None
    try:
        fits = int(reference["rows"]) > 0
        for name in IN_WORDS:
            spread = reference[name]
            edges, shares = np.asarray(spread["edges"], float), np.asarray(spread["shares"], float)
            by_answer = name == "answers" and answers
            fits &= shares.shape == (answers if by_answer else len(edges) + 1,)
            fits &= bool(by_answer) or isinstance(spread["mean"], float)
    except (KeyError, TypeError, ValueError):
        return None
    return reference if fits else None


def _spread(values: NDArray[np.float64]) -> dict[str, Any]:
    """Shares between tenths of what was seen; of answers, the share of each."""
    if values.ndim == 2:
        return {"edges": [], "shares": (values.sum(axis=0) / len(values)).round(6).tolist()}
    tenths = np.quantile(values, np.linspace(0.1, 0.9, 9))
    edges = np.unique(np.append(tenths, values.min() - 1e-5).round(6))  # what is less than ever is apart
    shares = _counts(values, edges.tolist()) / len(values)
    return {
        "edges": edges.tolist(),
        "shares": shares.round(6).tolist(),
        "mean": round(float(values.mean()), 6),
    }


def _counts(values: NDArray[np.float64], edges: Sequence[float]) -> NDArray[np.float64]:
    if values.ndim == 2:
        return np.asarray(values.sum(axis=0), dtype=np.float64)
    between = np.searchsorted(np.asarray(edges), values, side="left")
    return np.bincount(between, minlength=len(edges) + 1).astype(np.float64)


def _drift(usual: NDArray[np.float64], counts: NDArray[np.float64], *, rows: tuple[int, int]) -> float:
    """Total variation distance between the shares, less what two samples of one source would show."""
    before, now = usual / max(usual.sum(), 1e-9), counts / max(counts.sum(), 1e-9)
    pooled = (rows[0] * before + rows[1] * now) / sum(rows)
    chance = np.sqrt(2 / np.pi * pooled * (1 - pooled) * (1 / rows[0] + 1 / rows[1])).sum() / 2
    return max(0.0, float(np.abs(before - now).sum() / 2 - chance))


def _level(reference: Mapping[str, Any] | None, drift: float | None) -> str:
    if reference is None:
        return "not known"
    if drift is None:
        return "too few texts yet"
    return "as usual" if drift < SOMEWHAT else "somewhat different" if drift < VERY else "very different"
