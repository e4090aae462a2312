"""What is decided before training, and why; written down, so that a resumed run replays it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ..core.events import Listener, note, stage
from ..core.features import text_hashes
from ..core.hardware import inspect_machine
from ..core.settings import Choice, Settings, choose
from ..core.tasks import Task
from ..data.encode import Tokens, encode, plain_tokenizer
from ..data.examples import Examples
from ..data.split import Splits, split
from .backbone import Backbone, find_backbone
from .baseline import MAX_FIT_ROWS
from .budget import (
    PROBE_ROWS,
    Work,
    choose_length,
    choose_passes,
    longest_useful,
    probe,
    rows_per_batch,
    sweep_seconds,
    test_rows_affordable,
)
from .checkpoint import Checkpoint
from .lr_finder import LearningRateCurve, find_learning_rate
from .network import Device, Network, choose_device, load_network
from .steps import Stepper
from .train import Schedule

SWEEP_ROWS = 4000
COUNTING_SECONDS_PER_MEGABYTE = 0.7
COUNTING_SECONDS_PER_ANSWER = 4e-5  # for each row and each answer, beyond two answers
COUNTING_SHARE = 0.2  # of the time, at most, goes into counting words


@dataclass(frozen=True)
class Learner:
    """The pre-trained model and the machine it learns on."""

    backbone: Backbone
    device: Device
    tokenizer: Tokenizer
    choices: tuple[Choice, ...]

    def tokens(self, texts: NDArray[Any], max_length: int) -> Tokens:
        """Token ids of ``texts``, long ones by head and tail."""
        return encode(self.tokenizer, texts, max_length=max_length)

    def stepper(self, tokens: Tokens, lesson: Examples) -> Stepper:
        """Training steps over these texts on this machine."""
        return Stepper(tokens, standard_labels(lesson), self.backbone.pad_id, self.device, lesson.task)

    def network(self, lesson: Examples) -> Network:
        """The pre-trained network with an empty last layer."""
        return load_network(self.backbone, lesson.task.outputs(len(lesson.classes)), self.device)


@dataclass(frozen=True)
class Plan:
    """Every decision of a run that is taken before training."""

    max_test_rows: int
    counted_rows: int  # that the n-gram baseline learns from, at most
    max_length: int
    schedule: Schedule
    reserve_seconds: float  # for what comes after training
    choices: tuple[Choice, ...]

    @classmethod
    def from_json(cls, written: dict[str, Any]) -> Plan:
        """The plan as `dataclasses.asdict` wrote it."""
        parts = {name: value for name, value in written.items() if name != "key"}
        parts["schedule"] = Schedule(**parts["schedule"])
        parts["choices"] = tuple(Choice(**choice) for choice in parts["choices"])
        return cls(**parts)


def standard_labels(lesson: Examples) -> NDArray[Any]:
    """What the models learn: the labels, numbers in standard units (mean 0, spread 1)."""
    if lesson.task is not Task.NUMBER:
        return lesson.labels
    mean, spread = prior_of(lesson)
    return np.asarray((lesson.labels - mean) / spread)


def prior_of(lesson: Examples) -> NDArray[np.float64]:
    """What is known without reading a text, as `core.metrics.score_outputs` takes it."""
    if lesson.task is Task.NUMBER:
        return np.array([lesson.labels.mean(), max(1e-9, float(lesson.labels.std()))])
    if lesson.task is Task.MULTI:
        return np.asarray(lesson.labels.mean(axis=0), dtype=np.float64)
    return np.bincount(lesson.labels, minlength=len(lesson.classes)) / len(lesson)


def prepare(settings: Settings, listener: Listener) -> Learner:
    """Find the pre-trained model, and the best way this machine has of running it."""
    stage(listener, "Looking at this machine and the pre-trained model")
    backbone = find_backbone(settings.backbone)
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


def make_or_resume_plan(
    examples: Examples,
    clusters: NDArray[np.int64],
    test: Examples | None,
    learner: Learner,
    settings: Settings,
    *,
    checkpoint: Checkpoint,
    seconds_left: Callable[[], float],
    listener: Listener,
) -> Plan:
    """The plan of an unfinished run of the same command on the same data, or a new one."""
    key = _run_key(examples, test, learner, settings)
    written = checkpoint.load_plan(key)
    if written is not None:
        note(listener, "Going on with an unfinished run of the same command, by its plan.")
        return Plan.from_json(written)
    plan = make_plan(
        examples, clusters, test, learner, settings, seconds_left=seconds_left, listener=listener
    )
    checkpoint.save_plan({"key": key, **asdict(plan)})
    return plan


def make_plan(
    examples: Examples,
    clusters: NDArray[np.int64],
    test: Examples | None,
    learner: Learner,
    settings: Settings,
    *,
    seconds_left: Callable[[], float],
    listener: Listener,
) -> Plan:
    """Probe this machine with this data, then decide split, length, passes and learning rate."""
    rng = np.random.default_rng(settings.seed)
    sample = np.sort(rng.choice(len(examples), min(len(examples), PROBE_ROWS), replace=False))
    lengths = learner.tokens(examples.texts[sample], learner.backbone.max_tokens).lengths
    wanted_length = longest_useful(lengths, settings.max_length_tokens, learner.backbone.max_tokens)
    network = learner.network(examples)
    sample_tokens = learner.tokens(examples.texts[sample], wanted_length)
    measured = probe(network, learner.stepper(sample_tokens, examples.take(sample)), lengths)

    max_test_rows = test_rows_affordable(measured, max_length=wanted_length, seconds=60 * settings.minutes)
    splits = divide(examples, clusters, test, settings, max_test_rows=max_test_rows)
    counted_rows, counting_seconds = _counting(examples, seconds_left())

    def work() -> Work:
        scored_rows = len(splits.valid) + (len(splits.test) if test is None else len(test))
        return Work(len(splits.train), scored_rows, seconds_left() - counting_seconds)

    fixed = settings.max_length_tokens is not None
    first_guess, _ = choose_length(measured, work(), longest=wanted_length, fixed=fixed)
    curve = _learning_rate(
        network, learner, examples, splits,
        length=first_guess, seconds=sweep_seconds(work()), listener=listener,
    )  # fmt: skip
    rate_choice = choose(listener, "learning rate", f"{curve.pick:.1e}", curve.reason)
    faster = max(measured.tokens_per_second, curve.tokens_per_second)  # a short probe may meet a busy moment
    measured = replace(measured, tokens_per_second=faster)
    length, reason = choose_length(measured, work(), longest=wanted_length, fixed=fixed)
    length_choice = choose(listener, "text length", f"{length} tokens", reason)
    passes, reason = choose_passes(measured, work(), length)
    passes_choice = choose(listener, "passes over the data", f"{passes:.1f}", reason)
    rows = rows_per_batch(len(splits.train))
    steps = max(1, round(passes * len(splits.train) / rows))
    return Plan(
        max_test_rows,
        counted_rows,
        length,
        Schedule(steps, rows, curve.pick, settings.seed),
        1.2 * work().scoring_seconds(measured, length),
        (*learner.choices, rate_choice, length_choice, passes_choice),
    )


def divide(
    examples: Examples,
    clusters: NDArray[np.int64],
    test: Examples | None,
    settings: Settings,
    *,
    max_test_rows: int,
) -> Splits:
    """Training, validation and (unless there is ``test``) test parts, the same for the same seed."""
    return split(
        examples,
        clusters,
        seed=settings.seed,
        max_test_rows=max_test_rows,
        own_test=test is not None,
        by_time=settings.time is not None,
    )


def _learning_rate(
    network: Network,
    learner: Learner,
    examples: Examples,
    splits: Splits,
    *,
    length: int,
    seconds: float,
    listener: Listener,
) -> LearningRateCurve:
    """Sweep over a part of the training texts, in half batches."""
    stage(listener, "Looking for the learning rate")
    rows = splits.train[:: max(1, len(splits.train) // SWEEP_ROWS)]
    return find_learning_rate(
        network,
        learner.stepper(learner.tokens(examples.texts[rows], length), examples.take(rows)),
        rows_per_batch=rows_per_batch(len(splits.train)) // 2,
        seconds=seconds,
        seed=7,
        listener=listener,
    )


def _counting(examples: Examples, seconds: float) -> tuple[int, float]:
    """How many rows the n-gram baseline can learn from in its share of the time, and how long it takes."""
    rows = min(len(examples), MAX_FIT_ROWS)
    step = max(1, len(examples) // 1000)
    sample = examples.texts[::step]
    megabytes_per_row = sum(map(len, sample)) / len(sample) / 1e6
    answers = len(examples.classes) if len(examples.classes) > 2 else 0
    per_row = COUNTING_SECONDS_PER_MEGABYTE * megabytes_per_row + COUNTING_SECONDS_PER_ANSWER * answers
    affordable = int(max(1000, COUNTING_SHARE * seconds / max(per_row, 1e-9)))
    return min(rows, affordable), min(rows, affordable) * per_row


def _run_key(examples: Examples, test: Examples | None, learner: Learner, settings: Settings) -> str:
    """What must be the same for a checkpoint to be of use: data, settings, model and its number format."""
    digest = hashlib.sha256()
    for part in (examples, test):
        if part is not None:
            digest.update(text_hashes(part.texts).tobytes())
            digest.update(part.labels.tobytes())
            digest.update("\0".join(part.classes).encode())
    digest.update(
        repr((asdict(settings), learner.backbone.sha256, str(learner.device.number_format))).encode()
    )
    return digest.hexdigest()
