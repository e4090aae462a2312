"""Which words decided this one? The model is asked about the text with words left out.

A short text is asked of without each word and with each word alone. Then the words that decide are gathered
one by one: the next is the one without which, beside those gathered, least is left of the answer, and with
which most of it is there already. A linear model of all that was said (as in LIME, Ribeiro et al. 2016, which
asks ten times as much, at random) gives the pulls; the order is the one that was found.

Of a longer text, a pull is what it loses without the word. Counted words are asked of the whole text, the
network of stretches of a few words, so that the cost grows with the text and not with its square
(docs/experiments.md has what that costs in faithfulness).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.blending import log_softmax
from ..core.errors import UserError, nearest
from ..core.features import WORD, whole_characters
from ..core.metrics import plain_number
from ..core.tasks import Task
from .predict import Model, Prediction

SHORT_TEXT = 60  # words; up to here all questions are of the whole text
RIDGE = 0.1
ROUNDS, TRIED = 8, 8  # in which the deciding words are gathered; words tried in each
ALONE = 0.4  # how far it counts that the gathered words give the answer by themselves
STRETCH = 8  # words of a longer text that the network is asked of at a time
MOST_UNITS = 400  # beyond, neighbouring words are left out together
Ask = Callable[[Sequence[str]], NDArray[np.float64]]  # texts → what is said for the answer, (texts,)
AskBoth = Callable[[Sequence[str]], tuple[NDArray[np.float64], NDArray[np.float64]]]  # and how likely it is


@dataclass(frozen=True)
class Piece:
    """A stretch of the text and its pull, in log odds, towards the answer.

    Of a number it is what it raised it by, in its own unit; below 0 it lowered it.
    """

    text: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class Explanation:
    """An answer, and the whole text in pieces, in order, each with its pull."""

    answer: str | float  # the answer that is explained
    confidence: float  # of a number: that it lies in ``interval``
    given: bool  # whether it is (one of) the model's answers
    pieces: tuple[Piece, ...]
    interval: tuple[float, float] | None = None  # of a number

    @property
    def told(self) -> str:
        """The answer as people read it."""
        return plain_number(self.answer) if isinstance(self.answer, float) else self.answer

    @property
    def strongest(self) -> tuple[Piece, ...]:
        """The pieces with a pull, the strongest first, whichever way."""
        pulling = [piece for piece in self.pieces if piece.weight]
        return tuple(sorted(pulling, key=lambda piece: -abs(piece.weight)))

    def as_json(self) -> dict[str, Any]:
        """The contract of `plaintune explain --json`."""
        return asdict(self)


def explain(model: Model, text: str, *, answer: str | None = None) -> Explanation:
    """What in ``text`` pulled towards the model's answer, or towards ``answer``; UserError if unknown.

    Of a number: what raised and what lowered it.
    Of several answers that apply, the one the model is surest of is explained unless ``answer`` is given.
    """
    text = whole_characters(text)
    (prediction,) = model.predict(text)
    code = _explained(model, prediction, answer)
    units = _units(text)
    asked = code
    if model.task is Task.SINGLE and len(model.classes) == 2:  # what speaks for one speaks against the other
        asked = _explained(model, prediction, None)
    pull, blend = partial(_pull, model, asked, _rivals(model, prediction, asked)), model.blend

    def of_network(texts: Sequence[str]) -> NDArray[np.float64]:
        return pull(model.network_logits(texts), blend.network)

    def of_words(texts: Sequence[str]) -> NDArray[np.float64]:
        return pull(model.ngram_logits(texts), blend.ngrams)

    def of_both(texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        network, ngrams = model.network_logits(texts), model.ngram_logits(texts)
        likely = blend.outputs(network, ngrams)[:, asked].astype(np.float64)
        return pull(network, blend.network) + pull(ngrams, blend.ngrams), likely

    if len(units) <= SHORT_TEXT:
        weights = _short(text, units, of_both)
    else:
        weights = _long(text, units, of_words)
        weights += _read(model, text, units) * _in_stretches(text, units, of_network)
    if asked != code:
        weights = -weights
    if isinstance(prediction.answer, float):
        pieces = _pieces(text, units, weights)
        return Explanation(prediction.answer, prediction.confidence, True, pieces, prediction.interval)
    name = model.classes[code]
    given = name in prediction.answer if isinstance(prediction.answer, list) else name == prediction.answer
    return Explanation(name, prediction.probabilities[name], given, _pieces(text, units, weights))


def _explained(model: Model, prediction: Prediction, answer: str | None) -> int:
    """The number of the answer to explain."""
    if model.task is Task.NUMBER:
        if answer is not None:
            raise UserError("This model answers with numbers.", "Leave --answer out.")
        return 0
    if answer is None:
        return int(np.argmax(list(prediction.probabilities.values())))
    if answer not in model.classes:
        raise UserError(
            f"This model has no answer '{answer}'.{nearest(answer, model.classes)}",
            f"Its answers: {', '.join(model.classes[:20])}",
        )
    return model.classes.index(answer)


def _rivals(model: Model, prediction: Prediction, code: int) -> NDArray[np.float64]:
    """How much each other answer counts as the one to beat: by its probability. Shape (answers,)."""
    if model.task is not Task.SINGLE:
        return np.zeros(max(1, len(model.classes)))
    rivals = np.array(list(prediction.probabilities.values()))
    rivals[code] = 0.0
    return rivals / max(float(rivals.sum()), 1e-12)


def _pull(
    model: Model, code: int, rivals: NDArray[np.float64], logits: NDArray[np.float32], weight: float
) -> NDArray[np.float64]:
    """What a part of the blend, of ``weight``, adds for the answer ``code``, or to a number, (texts,)."""
    if model.task is Task.SINGLE:
        said = log_softmax(logits).astype(np.float64)
        return np.asarray(weight * (said[:, code] - said @ rivals))
    unit = model.blend.spread if model.task is Task.NUMBER else 1.0
    return np.asarray(weight * unit * logits[:, code].astype(np.float64))


def _units(text: str) -> list[tuple[int, int]]:
    """Where the words stand; in a very long text, runs of words."""
    words = [found.span() for found in WORD.finditer(text)]
    together = -(-len(words) // MOST_UNITS)
    return [
        (words[first][0], words[min(first + together, len(words)) - 1][1])
        for first in range(0, len(words), max(1, together))
    ]


def _short(text: str, units: Sequence[tuple[int, int]], ask: AskBoth) -> NDArray[np.float64]:
    """The weights (units,) of a linear model of what ``ask`` says with some of the units left out.

    They are handed out in the order in which the units decide, as far as that was asked for.
    """
    count = len(units)
    if not count:
        return np.zeros(0)
    asked = _Asked(text, units, ask)
    order = _deciding(asked, count)
    table = np.column_stack([asked.kept, np.ones(len(asked.kept))])
    drawn_to_zero = np.diag([RIDGE] * count + [0.0])  # all but the constant
    weights = np.linalg.solve(table.T @ table + drawn_to_zero, table.T @ asked.said)[:count]
    rest = np.setdiff1d(np.arange(count), order)
    ranked = [*order, *rest[np.argsort(-weights[rest], kind="stable")]]
    found = np.empty(count)
    found[ranked] = -np.sort(-weights)
    return found


class _Asked:
    """Every question about a text with some units left out: which stayed, and what was said."""

    def __init__(self, text: str, units: Sequence[tuple[int, int]], ask: AskBoth) -> None:
        self._text, self._units, self._ask = text, units, ask
        self.kept = np.zeros((0, len(units)), dtype=bool)
        self.said = np.zeros(0)

    def worth(self, gone: NDArray[np.bool_]) -> NDArray[np.float64]:
        """How far each set of units (sets, units) decides: the answer falls without it and stands with it."""
        kept = np.concatenate([~gone, gone])
        said, likely = self._ask([_with(self._text, self._units, row) for row in kept])
        self.kept, self.said = np.concatenate([self.kept, kept]), np.concatenate([self.said, said])
        return np.asarray(ALONE * likely[len(gone) :] - likely[: len(gone)])


def _deciding(asked: _Asked, count: int) -> list[int]:
    """Up to half of the units, those that decide most first; fewer where more of them add nothing."""
    none, *each = asked.worth(np.concatenate([np.zeros((1, count), bool), np.eye(count, dtype=bool)]))
    alone, best, order = np.array(each), float(none), list[int]()
    while len(order) < (count + 1) // 2:
        left = np.setdiff1d(np.arange(count), order)
        tried = left[np.argsort(-alone[left], kind="stable")][:TRIED]
        gone = np.zeros((len(tried), count), dtype=bool)
        gone[:, order] = True
        gone[np.arange(len(tried)), tried] = True
        worth = asked.worth(gone) if order else alone[tried]
        if worth.max() <= best:
            break
        best = float(worth.max())
        most = math.ceil(count / (2 * ROUNDS)) if order else 1
        order += tried[np.argsort(-worth, kind="stable")][:most].tolist()
    return order


def _with(text: str, units: Sequence[tuple[int, int]], kept: NDArray[np.bool_]) -> str:
    """The text without the units that are not ``kept``; what stands between units stays."""
    parts, at = [], 0
    for (start, end), stays in zip(units, kept, strict=True):
        if not stays:
            parts.append(text[at:start])
            at = end
    return "".join([*parts, text[at:]])


def _long(text: str, units: Sequence[tuple[int, int]], ask: Ask) -> NDArray[np.float64]:
    """What the text loses without each unit. Shape (units,)."""
    whole, *without = ask([text, *(text[:start] + text[end:] for start, end in units)])
    return np.asarray(whole - np.array(without))


def _read(model: Model, text: str, units: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """How much each unit (units,) counts for the network: not at all in the middle of too long a text."""
    gap, tail = model.unread_by_network(text)
    read = np.array([start < gap or end > tail for start, end in units], dtype=np.float64)
    return np.asarray(read * len(read) / max(1.0, read.sum()))


def _in_stretches(text: str, units: Sequence[tuple[int, int]], ask: Ask) -> NDArray[np.float64]:
    """`_long` where each stretch stands for the whole text, in which its words count for less."""
    asked, owner = [], []
    for first in range(0, len(units), STRETCH):
        inside = units[first : first + STRETCH]
        end = units[first + STRETCH][0] if first + STRETCH < len(units) else len(text)
        begin = inside[0][0]
        asked.append(text[begin:end])
        owner.append(-1)
        for number, (start, stop) in enumerate(inside, start=first):
            asked.append(text[begin:start] + text[stop:end])
            owner.append(number)
    told, weights, whole = ask(asked), np.zeros(len(units)), 0.0
    for number, value in zip(owner, told, strict=True):
        if number < 0:
            whole = float(value)
        else:
            weights[number] = whole - value
    return np.asarray(weights * STRETCH / len(units))


def _pieces(text: str, units: Sequence[tuple[int, int]], weights: NDArray[np.float64]) -> tuple[Piece, ...]:
    """The whole text: the units with their weights, and what stands between them without."""
    pieces, at = [], 0
    for (start, end), weight in zip(units, weights, strict=True):
        if start > at:
            pieces.append(Piece(text[at:start], at, start, 0.0))
        pieces.append(Piece(text[start:end], start, end, float(weight)))
        at = end
    if at < len(text):
        pieces.append(Piece(text[at:], at, len(text), 0.0))
    return tuple(pieces)
