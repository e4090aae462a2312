"""What is decided before training, and why; written down, so that a resumed run replays it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..core.errors import UserError, one_line
from ..core.events import Listener, note, stage
from ..core.files import write_json
from ..core.settings import PLAN, Choice, Settings, choose
from ..data.examples import Examples
from ..data.split import Splits
from .budget import AS_MANY, planned_steps, rows_per_batch
from .checkpoint import Checkpoint
from .forecast import run_seconds, swept_seconds
from .learner import Learner, standard_labels
from .lr_finder import LearningRateCurve, find_learning_rate, usual_rate
from .network import Network
from .outline import Outline, look_at, outline
from .steps import CONTRASTED_ROWS, HANDFUL
from .techniques import TAKEN, taken_in
from .train import CONTRASTIVE_RATE, Pace, Schedule, Trained
from .trial import Forecast, foresee, trial_time, try_out

SWEEP_ROWS = 4000
SECOND = "second"  # the folder that the second training keeps its state in, in that of the run
TOO_FEW_TO_SWEEP = "so few examples do well at it; a sweep could not tell more"
RATE_OF_CONTRAST = "few examples that are contrasted do well at it"
NO_TIME_TO_SWEEP = "most data do well at it; a sweep would take too much of the time"
TRIED_SO = "; fine-tuning was tried so"  # where another technique was chosen
RATE, PASSES, ADVERSARIAL = "learning rate", "passes over the data", "adversarial training"
ENOUGH_TIME = "what the examples need, as the machine was faster than it seemed"


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
    windows: int = 1  # in which a text longer than ``max_length`` is seen, at most
    guessed_rows: int = 0  # texts without an answer to be answered and learned from
    second: Schedule | None = None  # of learning from them
    step_seconds: float = 0.0  # that a training step should take
    forecast: Forecast | None = None
    number_format: str = ""  # of matrix products
    hurried: bool = False  # there was no time to weigh the graph in 8-bit numbers
    contrasts_untried: bool = False  # as in `outline.Outline`
    turn_steps: int = 0  # that were planned, where ``schedule`` tells those done: what turns were tried with
    taken: Mapping[str, Any] | None = None  # as in `techniques.taken_in`, once the run is over

    @property
    def pace(self) -> Pace:
        """What was planned on, to tell how much slower this machine has become."""
        return Pace(self.step_seconds, self.reserve_seconds)

    def as_done(self, trained: Trained, *, contrasted: int | None, rows: int) -> Plan:
        """The plan with as many steps, and passes, as there were time for; none without fine-tuning.

        ``contrasted``: the steps of contrasting ``rows`` that were taken, if they were.
        """
        steps = trained.steps or self.schedule.steps
        if self.contrasts_untried and contrasted is not None:
            short = contrasted < self.schedule.steps
            return self._with_passes(contrasted * CONTRASTED_ROWS / rows, AS_MANY) if short else self
        if not trained.steps:
            tried = tuple(
                replace(choice, reason=choice.reason.removesuffix(TRIED_SO) + TRIED_SO)
                if choice.name in (RATE, PASSES, ADVERSARIAL) else choice
                for choice in self.choices
            )  # fmt: skip
            return replace(self, choices=tried)
        if steps == self.schedule.steps:
            return self
        turns = self.turn_steps or self.schedule.steps
        enough = steps >= (self.schedule.most or steps + 1)
        reason = AS_MANY if steps < self.schedule.steps else ENOUGH_TIME if enough else None
        done = self._with_passes(steps / trained.steps_per_pass, reason)
        return replace(done, schedule=replace(self.schedule, steps=steps), turn_steps=turns)

    def _with_passes(self, passes: float, reason: str | None) -> Plan:
        """The plan with so many ``passes``, and another ``reason`` for them if there is one."""
        choices = tuple(
            replace(choice, value=f"{passes:.1f}", reason=reason or choice.reason)
            if choice.name == PASSES else choice
            for choice in self.choices
        )  # fmt: skip
        return replace(self, choices=choices)

    @classmethod
    def from_json(cls, written: dict[str, Any]) -> Plan:
        """The plan as `dataclasses.asdict` wrote it."""
        parts = {name: value for name, value in written.items() if name not in ("key", "data", "backbone")}
        parts["schedule"] = Schedule(**parts["schedule"])
        if parts.get("second"):
            parts["second"] = Schedule(**parts["second"])
        parts["choices"] = tuple(Choice(**choice) for choice in parts["choices"])
        if parts.get("sweep"):
            parts["sweep"] = LearningRateCurve(**parts["sweep"])
        if parts.get("forecast"):
            parts["forecast"] = Forecast(**parts["forecast"])
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
    plan = _unfinished_plan(checkpoint, key)
    if plan is not None:
        note(listener, "Going on with an unfinished run of the same command, by its plan.")
        return plan
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
    if plan.taken is not None:
        write_json(checkpoint.folder / TAKEN, plan.taken)
    return plan


def amend_as_taken(checkpoint: Checkpoint) -> None:
    """Let the plan tell what was decided after it was written: how turns came out, and steps really taken."""
    written = json.loads((checkpoint.folder / PLAN).read_text(encoding="utf-8"))
    taken: dict[str, Any] = {"taken": taken_in(checkpoint.folder)}
    if written.get("second"):
        state = json.loads((checkpoint.folder / SECOND / "state.json").read_text(encoding="utf-8"))
        taken["second"] = {**written["second"], "steps": state["step"]}
    checkpoint.amend_plan(taken)


def _unfinished_plan(checkpoint: Checkpoint, key: str) -> Plan | None:
    """The plan of the run that ``key`` tells apart, None where it is another's or of another release."""
    written = checkpoint.load_plan(key)
    try:
        return None if written is None else Plan.from_json(written)
    except (KeyError, TypeError):
        return None


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
            f"The plan in {file} was made for other data, or other --group, --time or --minutes.",
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
    network, measured, longest = look_at(examples, learner, settings)
    first = outline(
        examples, clusters, test, settings, measured=measured, longest=longest, seconds_left=seconds_left()
    )
    trial = None
    if seconds := trial_time(run_seconds(first)):
        trial = try_out(
            examples, clusters, learner, measured, seconds=seconds, seed=settings.seed, listener=listener
        )
    sweep, curve, fastest = first.sweep_seconds, None, measured.tokens_per_second
    if sweep:
        curve = _learning_rate(
            network, learner, examples, first.splits,
            length=first.length[0], seconds=sweep, listener=listener,
        )  # fmt: skip
        fastest = max(fastest, curve.tokens_per_second)  # a short probe may meet a busy moment
    rate, reason = (curve.pick, curve.reason) if curve else _without_sweep(first)
    rate_choice = choose(listener, RATE, f"{rate:.1e}", reason)
    final = first.later(seconds_left(), fastest)
    length, reason = final.length
    length_choice = choose(listener, "text length", f"{length} tokens", reason)
    passes = final.passes
    passes_choice = choose(listener, PASSES, f"{passes.count:.1f}", passes.reason)
    hard = "yes" if passes.adversarial else "no"
    hard_choice = choose(listener, ADVERSARIAL, hard, passes.hard_reason)
    spent = 60 * settings.minutes - seconds_left() - swept_seconds(final)  # it is counted once more
    judged_rows = len(final.splits.test) if test is None else len(test)
    forecast = foresee(final, trial, spent=spent, minutes=settings.minutes, judged_rows=judged_rows)
    note(listener, forecast.say(examples.task))
    guessed = final.guessed_rows
    most = None if guessed else final.most_steps  # else the others wait for their share of the time
    schedule = Schedule(
        final.steps if guessed else planned_steps(final.steps, final.most_steps),
        rows_per_batch(len(final.splits.train)), rate, settings.seed, most, passes.adversarial,
    )  # fmt: skip
    return Plan(
        final.max_test_rows,
        final.counted_rows,
        final.work.folds,
        length,
        schedule,
        final.reserve_seconds(),
        (*learner.choices, rate_choice, length_choice, passes_choice, hard_choice),
        curve,
        measured.windows(length),
        guessed,
        replace(schedule, steps=final.second_steps) if guessed else None,
        final.step_seconds * passes.cost,
        forecast,
        str(learner.device.number_format).removeprefix("torch."),
        contrasts_untried=final.contrasts_untried,
    )


def _without_sweep(first: Outline) -> tuple[float, str]:
    """The learning rate, and why it is not looked for."""
    rows = first.work.rows
    if first.contrasts_untried:
        return CONTRASTIVE_RATE, RATE_OF_CONTRAST
    return usual_rate(rows), TOO_FEW_TO_SWEEP if rows < HANDFUL else NO_TIME_TO_SWEEP


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


def _run_key(data: str, learner: Learner, settings: Settings) -> str:
    """What must be the same for a checkpoint to be of use: release, data, settings, pre-trained model."""
    parts = (__version__, data, asdict(replace(settings, gpus=1, texts=True)), learner.backbone.sha256)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _data_key(examples: Examples, test: Examples | None) -> str:
    """What must be the same for a plan to be of use."""
    digest = hashlib.sha256()

    def add(texts: NDArray[Any]) -> None:
        for text in texts:
            digest.update(text.encode() + b"\0")

    if examples.unlabeled is not None:
        add(examples.unlabeled)
    for part in (examples, test):
        if part is not None:
            add(part.texts)
            for known in (part.labels, part.groups, part.times):
                digest.update(b"-" if known is None else known.tobytes())
            digest.update("\0".join(part.classes).encode())
    return digest.hexdigest()
