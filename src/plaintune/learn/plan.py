"""What is decided before training, and why; written down, so that a resumed run replays it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError, one_line
from ..core.events import Listener, note, stage
from ..core.features import text_hashes
from ..core.settings import PLAN, Choice, Settings, choose
from ..data.examples import Examples
from ..data.split import Splits, split
from .baseline import MAX_FIT_ROWS
from .budget import (
    CHECKED_IN_TURNS,
    PROBE_ROWS,
    Work,
    choose_folds,
    choose_length,
    choose_passes,
    longest_useful,
    probe,
    rows_per_batch,
    steps_for,
    sweep_seconds,
    test_rows_affordable,
)
from .checkpoint import Checkpoint
from .learner import Learner, standard_labels
from .lr_finder import LearningRateCurve, find_learning_rate
from .network import Network
from .train import Schedule

SWEEP_ROWS = 4000
COUNTING_SECONDS_PER_MEGABYTE = 0.7
COUNTING_SECONDS_PER_ANSWER = 4e-5  # for each row and each answer, beyond two answers
COUNTING_SHARE = 0.2  # of the time, at most, goes into counting words


@dataclass(frozen=True)
class Plan:
    """Every decision of a run that is taken before training."""

    max_test_rows: int
    counted_rows: int  # that the n-gram baseline learns from, at most
    folds: int  # in which all rows are checked on by turns; 0: some rows are held back for that
    max_length: int
    schedule: Schedule
    reserve_seconds: float  # for what comes after training
    choices: tuple[Choice, ...]
    sweep: LearningRateCurve | None = None

    @classmethod
    def from_json(cls, written: dict[str, Any]) -> Plan:
        """The plan as `dataclasses.asdict` wrote it."""
        parts = {name: value for name, value in written.items() if name not in ("key", "data", "backbone")}
        parts["schedule"] = Schedule(**parts["schedule"])
        parts["choices"] = tuple(Choice(**choice) for choice in parts["choices"])
        if parts.get("sweep"):
            parts["sweep"] = LearningRateCurve(**parts["sweep"])
        return cls(**parts)


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
    data = _data_key(examples, test)
    key = _run_key(data, learner, settings)
    written = checkpoint.load_plan(key)
    if written is not None:
        note(listener, "Going on with an unfinished run of the same command, by its plan.")
        return Plan.from_json(written)
    if settings.plan is not None:
        plan = _given_plan(Path(settings.plan), data, learner)
        note(listener, f"Training by the plan in {settings.plan}, to its last step, however long it takes.")
        for choice in plan.choices:
            choose(listener, choice.name, choice.value, choice.reason)
    else:
        plan = make_plan(
            examples, clusters, test, learner, settings, seconds_left=seconds_left, listener=listener
        )
    made_for = {"key": key, "data": data, "backbone": learner.backbone.sha256}
    checkpoint.save_plan({**made_for, **asdict(plan)})
    return plan


def _given_plan(path: Path, data: str, learner: Learner) -> Plan:
    """The plan that an earlier run left in its model folder; UserError where it is for something else."""
    file = path / PLAN if path.is_dir() else path
    try:
        written = json.loads(file.read_text(encoding="utf-8"))
        plan = Plan.from_json(written)
        same_data, same_backbone = written["data"] == data, written["backbone"] == learner.backbone.sha256
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file} cannot be read as a plan ({one_line(str(error))}).",
            f"Give the model folder of an earlier run, or its {PLAN}: --plan DIR",
        ) from error
    if not same_data:
        raise UserError(
            f"The plan in {file} was made for other data, or other --group or --time.",
            "Leave --plan out, or give the same data.",
        )
    if not same_backbone:
        raise UserError(
            f"The plan in {file} was made for another pre-trained model.",
            "Leave --plan out, or name the same model: --backbone NAME|DIR",
        )
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
    labels = standard_labels(examples)
    stepper = learner.stepper(sample_tokens, labels[sample], examples.task)
    measured = probe(network, stepper, lengths)

    max_test_rows = test_rows_affordable(measured, max_length=wanted_length, seconds=60 * settings.minutes)
    counted_rows, counting_seconds = _counting(examples, seconds_left())
    few = examples.times is None and len(examples) <= CHECKED_IN_TURNS
    folds = 0
    if few:
        folds = choose_folds(measured, len(examples), wanted_length, seconds_left() - counting_seconds)
    splits = divide(examples, clusters, test, seed=settings.seed, max_test_rows=max_test_rows, folds=folds)

    def work() -> Work:
        scored_rows = len(splits.valid) + (len(splits.test) if test is None else len(test))
        return Work(len(splits.train), scored_rows, seconds_left() - counting_seconds, folds)

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
    return Plan(
        max_test_rows,
        counted_rows,
        folds,
        length,
        Schedule(steps_for(len(splits.train), passes), rows, curve.pick, settings.seed),
        1.2 * work().scoring_seconds(measured, length),
        (*learner.choices, rate_choice, length_choice, passes_choice),
        curve,
    )


def divide(
    examples: Examples,
    clusters: NDArray[np.int64],
    test: Examples | None,
    *,
    seed: int,
    max_test_rows: int,
    folds: int,
) -> Splits:
    """Training, validation and (unless there is ``test``) test parts, the same for the same seed.

    With ``folds`` there is no validation part: the training rows are checked on by turns.
    """
    return split(
        examples,
        clusters,
        seed=seed,
        max_test_rows=max_test_rows,
        own_test=test is not None,
        no_validation=folds > 0,
        by_time=examples.times is not None,
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
        learner.stepper(
            learner.tokens(examples.texts[rows], length), standard_labels(examples)[rows], examples.task
        ),
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


def _run_key(data: str, learner: Learner, settings: Settings) -> str:
    """What must be the same for a checkpoint to be of use: data, settings, model and its number format."""
    parts = (data, asdict(settings), learner.backbone.sha256, str(learner.device.number_format))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _data_key(examples: Examples, test: Examples | None) -> str:
    """What must be the same for a plan to be of use."""
    digest = hashlib.sha256()
    for part in (examples, test):
        if part is not None:
            digest.update(text_hashes(part.texts).tobytes())
            for known in (part.labels, part.groups, part.times):
                digest.update(b"-" if known is None else known.tobytes())
            digest.update("\0".join(part.classes).encode())
    return digest.hexdigest()
