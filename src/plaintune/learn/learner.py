"""The pre-trained model and the machine it learns on, and how labels look to both models."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn

from ..core.events import Listener, stage
from ..core.hardware import inspect_machine
from ..core.settings import Choice, Settings, choose
from ..core.tasks import Task
from ..data.encode import Tokens, encode, plain_tokenizer
from ..data.examples import Examples
from .backbone import Backbone, find_backbone
from .baseline import fit_baseline
from .crew import ALONE, Crew
from .network import Device, Network, choose_device, open_encoder, with_head
from .packed import keep_shapes
from .steps import Stepper

CPU_FORMATS = ("float32", "bfloat16")
TIMED_ROWS, FASTER_LATER = 300, 0.6  # to tell how long a row takes; among thousands it takes less than that


@dataclass(frozen=True)
class Learner:
    """The pre-trained model and the machine it learns on."""

    backbone: Backbone
    device: Device
    tokenizer: Tokenizer
    choices: tuple[Choice, ...]
    crew: Crew = ALONE  # the processes that train together

    def tokens(self, texts: NDArray[Any], max_length: int, windows: int = 1) -> Tokens:
        """Token ids of ``texts``, long ones in up to ``windows``; of what is longer still head and tail."""
        return encode(self.tokenizer, texts, max_length=max_length, windows=windows)

    def stepper(self, tokens: Tokens, labels: NDArray[Any], task: Task = Task.SINGLE) -> Stepper:
        """Training steps over these texts on this machine; ``labels`` are `standard_labels`."""
        return Stepper(tokens, labels, self.backbone.pad_id, self.device, task)

    def in_format(self, number_format: str) -> Learner:
        """The same, on a processor in the number format that a plan was made for."""
        if number_format not in CPU_FORMATS or self.device.torch_device.type != "cpu":
            return self  # of a plan made on a GPU, or by an earlier release
        wanted = getattr(torch, number_format)
        if wanted == self.device.number_format:
            return self  # another one would open the pre-trained model again
        return replace(self, device=replace(self.device, number_format=wanted))

    def network(self, lesson: Examples, *, sentence: bool = False) -> Network:
        """The pre-trained network with an empty last layer, pooled for whole sentences or in three ways."""
        outputs = lesson.task.outputs(len(lesson.classes))
        return with_head(copy.deepcopy(self._encoder), outputs, self.device, sentence=sentence)

    @cached_property
    def _encoder(self) -> nn.Module:
        """As it was pre-trained: a copy of it is ten times as quick as opening it again."""
        return open_encoder(self.backbone, self.device)


def prepare(settings: Settings, listener: Listener) -> Learner:
    """Find the pre-trained model, and the best way this machine has of running it."""
    stage(listener, "Looking at this machine and the pre-trained model")
    backbone = find_backbone(settings.backbone)
    keep_shapes(str(backbone.config.get("model_type")))
    device = choose_device(inspect_machine())
    device_choice = choose(listener, device.choice.name, device.choice.value, device.choice.reason)
    reason = {
        "bundled": "an English model that is installed with plaintune and learns fast on a CPU",
        "folder": "the folder you named",
        "hub": "the model you named",
    }[backbone.source]
    model_choice = choose(listener, "pre-trained model", backbone.name, reason)
    tokenizer = plain_tokenizer(backbone.tokenizer_json)
    return Learner(backbone, device, tokenizer, (device_choice, model_choice))


def standard_labels(lesson: Examples) -> NDArray[Any]:
    """What the models learn: the labels, numbers in standard units (mean 0, spread 1)."""
    if lesson.task is not Task.NUMBER:
        return lesson.labels
    mean, spread = prior_of(lesson)
    return np.asarray((lesson.labels - mean) / spread)


def seconds_to_count_one(lesson: Examples) -> float:
    """About how long counting the words of one example takes on this machine: some are learned from."""
    drawn = np.random.default_rng(0).permutation(len(lesson))[:TIMED_ROWS]
    texts, labels = lesson.texts[drawn], standard_labels(lesson)[drawn]
    seconds = 0.0
    for every in (10, 1):  # the first ever takes longer, so it does not count
        started = time.perf_counter()
        fit_baseline(texts[::every], labels[::every], len(lesson.classes), task=lesson.task, seed=0)
        seconds = time.perf_counter() - started
    seconds *= _answers_among(lesson.task, lesson.labels) / _answers_among(lesson.task, labels)
    return FASTER_LATER * seconds / len(drawn)


def _answers_among(task: Task, labels: NDArray[Any]) -> int:
    """How many answers there are examples of: each takes its time."""
    if task is Task.NUMBER:
        return 1
    if task is Task.MULTI:
        return max(1, int(np.count_nonzero(labels.any(axis=0))))
    return len(np.unique(labels))


def prior_of(lesson: Examples) -> NDArray[np.float64]:
    """What is known without reading a text, as `core.metrics.score_outputs` takes it."""
    if lesson.task is Task.NUMBER:
        return np.array([lesson.labels.mean(), max(1e-9, float(lesson.labels.std()))])
    if lesson.task is Task.MULTI:
        return np.asarray(lesson.labels.mean(axis=0), dtype=np.float64)
    return np.bincount(lesson.labels, minlength=len(lesson.classes)) / len(lesson)
