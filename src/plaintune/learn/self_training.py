"""Texts without an answer: the models answer them, learn from their own answers, and keep it where it pays.

Self-training (Scudder 1965; Xie et al. 2020, "Self-training with noisy student improves ImageNet
classification"): what the blend of network and counted words says of new texts teaches each of the two what
only the other knew, and both how such texts are written. Rows held back decide whether it was worth it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.blending import Blend
from ..core.events import Listener, stage
from ..core.files import kept_array
from ..core.linear import NgramModel
from ..core.settings import Choice, choose
from ..core.tasks import Task
from ..data.encode import Tokens, both
from ..data.examples import Examples
from .baseline import fit_baseline
from .blend import are_met, fit_blend, loss_of, say_score
from .checkpoint import Checkpoint
from .learner import Learner, prior_of, standard_labels
from .network import Network, logits_of, restore, weights_of
from .outline import MOST_COUNTED
from .train import Pace, Schedule, Trained, go_on, train

NAME = "texts without an answer"
KEPT_EVERY = 1000  # texts, some ten seconds of long ones: what a kill may cost
KEPT = {  # whether the network and counted words that learned from them are kept
    (False, False): "not used",
    (True, False): "taught the network",
    (False, True): "taught counted words",
    (True, True): "taught both models",
}


@dataclass(frozen=True)
class Taught:
    """The two models, and what the training loop saw of the network's last training."""

    network: Network
    ngrams: NgramModel
    trained: Trained


@dataclass(frozen=True)
class SelfTraining:
    """What has an answer, what has none, and how to learn."""

    lesson: Examples
    tokens: Tokens  # of the lesson
    held: Examples  # rows held back to check on
    held_tokens: Tokens
    texts: NDArray[Any]  # without an answer
    text_tokens: Tokens
    learner: Learner
    schedule: Schedule
    kept: Path  # what is done is put by here
    counted_rows: int  # of the examples, at most, in the n-gram model
    deadline: float  # in `time.monotonic` seconds
    pace: Pace
    listener: Listener

    def run(self, teacher: Taught) -> tuple[Taught, Choice]:
        """The better of ``teacher`` and what learned from its answers, for each of the two models."""
        stage(self.listener, "Answering the texts that have no answer")
        logits, counted = (
            self._logits(teacher.network, self.held_tokens),
            teacher.ngrams.logits(self.held.texts),
        )
        blend = self._blend(logits, counted)
        answers = self._answers(teacher, blend)
        stage(self.listener, "Counting words in them as well")
        ngrams = self._count_words(answers)
        before = weights_of(teacher.network)
        trained = self._fine_tune(teacher.network, answers)
        stage(self.listener, "Weighing what that was worth")
        both_logits = (logits, self._logits(teacher.network, self.held_tokens))
        both_counted = (counted, ngrams.logits(self.held.texts))
        judged = {kept: self._judged(both_logits[kept[0]], both_counted[kept[1]]) for kept in KEPT}
        best = min(judged, key=lambda kept: judged[kept][0])
        if not best[0]:
            restore(teacher.network, before)
        taught = Taught(
            teacher.network,
            ngrams if best[1] else teacher.ngrams,
            trained if best[0] else teacher.trained,
        )
        reason = (
            f"{len(self.texts):,} were answered by the first models and learned from; on "
            f"{len(self.held):,} examples to check on, {judged[False, False][1]} before, "
            f"{judged[True, True][1]} with both models taught, {judged[best][1]} with what is kept"
        )
        return taught, choose(self.listener, NAME, KEPT[best], reason)

    def _blend(self, logits: NDArray[np.float32], counted: NDArray[np.float32]) -> Blend:
        known = are_met(self.lesson.task, self.held.labels, self.lesson.labels)
        prior = prior_of(self.lesson)
        return fit_blend(self.lesson.task, logits, counted, self.held.labels, prior=prior, known=known)

    def _judged(self, logits: NDArray[np.float32], counted: NDArray[np.float32]) -> tuple[float, str]:
        """How surprised the blend of two opinions is by the rows held back, and its score in words."""
        task, labels, blend = self.lesson.task, self.held.labels, self._blend(logits, counted)
        outputs = blend.outputs(logits, counted)
        told = say_score(task, labels, outputs, prior_of(self.lesson), blend)
        return loss_of(task, labels, outputs, blend.spread), told

    def _logits(self, network: Network, tokens: Tokens) -> NDArray[np.float32]:
        return logits_of(network, self.learner.device, tokens, pad_id=self.learner.backbone.pad_id)

    def _answers(self, teacher: Taught, blend: Blend) -> NDArray[np.float32]:
        """What the blend says of the texts, (texts, answers); numbers in standard units."""
        return np.concatenate(
            [
                kept_array(
                    self.kept / f"answers-{first}.npz",
                    partial(self._answers_of, slice(first, first + KEPT_EVERY), teacher, blend),
                )
                for first in range(0, len(self.texts), KEPT_EVERY)
            ]
        )

    def _answers_of(self, part: slice, teacher: Taught, blend: Blend) -> NDArray[np.float32]:
        tokens = self.text_tokens.take(np.arange(len(self.texts))[part])
        outputs = blend.outputs(
            self._logits(teacher.network, tokens), teacher.ngrams.logits(self.texts[part])
        )
        if self.lesson.task is Task.NUMBER:
            outputs = (outputs - blend.centre) / blend.spread
        return outputs.astype(np.float32)

    def _count_words(self, answers: NDArray[np.float32]) -> NgramModel:
        """The n-gram model of all texts: a guessed answer counts as far as it is sure."""

        def fit() -> NgramModel:
            task, known, rows = self.lesson.task, standard_labels(self.lesson), self.guesses_counted
            labels, sureness = decided(task, answers[:rows])
            return fit_baseline(
                np.concatenate([self.lesson.texts, self.texts[:rows]]),
                np.concatenate([known, labels]),
                len(self.lesson.classes),
                task=task,
                weights=np.concatenate([np.ones(len(known)), sureness]),
                max_rows=self.counted_rows + rows,
                seed=self.schedule.seed,
            )

        return Checkpoint(self.kept, self.listener).ngrams(fit)

    @property
    def guesses_counted(self) -> int:
        """In how many of the texts, from the first, words are counted: of long ones, in what memory holds."""
        known = sum(map(len, self.lesson.texts)) * min(1.0, self.counted_rows / len(self.lesson))
        ends = known + np.cumsum([len(text) for text in self.texts])
        return int(np.searchsorted(ends, MOST_COUNTED, side="right"))

    def _fine_tune(self, network: Network, answers: NDArray[np.float32]) -> Trained:
        """Train ``network`` on, with the answers known and guessed together."""
        known = standard_labels(self.lesson)
        if self.lesson.task is Task.SINGLE:
            known = np.eye(answers.shape[1])[known]
        guessed = answers[:, 0] if self.lesson.task is Task.NUMBER else answers
        labels = np.concatenate([known, guessed]).astype(np.float32)
        stepper = self.learner.stepper(both(self.tokens, self.text_tokens), labels, self.lesson.task)
        return train(
            network, stepper, self.schedule,
            begin=go_on, deadline=self.deadline, pace=self.pace,
            checkpoint=Checkpoint(self.kept, self.listener), crew=self.learner.crew, listener=self.listener,
        )  # fmt: skip


def decided(task: Task, answers: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Guesses (texts, answers) as `standard_labels`, and how far each should count, from 0 to 1.

    To a linear model, at its start, a row with the answer's lead over the next one as its weight is the same
    as the guess itself with all its doubt.
    """
    if task is Task.NUMBER:
        return answers[:, 0].astype(np.float64), np.ones(len(answers))
    if task is Task.MULTI:
        return (answers >= 0.5).astype(np.int64), np.abs(2 * answers - 1).mean(axis=1).astype(np.float64)
    ranked = np.sort(answers, axis=1)
    return answers.argmax(axis=1), (ranked[:, -1] - ranked[:, -2]).astype(np.float64)
