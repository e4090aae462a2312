"""The learning rate that plaintune finds against a grid: `python benchmarks/lr_finder.py`.

Five data sets of at most 2,000 rows to learn from, three seeds: accuracy of the network alone, trained at the
pick of the sweep and at five fixed rates, all else equal. Goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import (
    KNOWN_SETS,
    Results,
    TextSet,
    code_version,
    load_set,
    parser,
    sample,
    say,
    split_off,
)
from section import Line, Section, grouped

RATE_HEAD = ("data", "at the pick", "best of the grid", "at", "points behind", "picks", "sweep")


def rate_rows(lines: list[Line]) -> list[list[str]]:
    """A row per set: the mean at the pick against the best mean of the grid."""
    return [rate_row(data, runs) for (data,), runs in grouped(lines, "data").items()]


def rate_row(data: str, runs: list[dict[str, Any]]) -> list[str]:
    """One set over its seeds."""
    picked = [run for run in runs if run["contestant"] == "pick"]
    grid: dict[float, list[float]] = {}
    for run in runs:
        if run["contestant"] == "grid":
            grid.setdefault(run["rate"], []).append(run["accuracy"])
    if not picked or not grid:
        return [data, *[""] * (len(RATE_HEAD) - 1)]
    best_rate = max(grid, key=lambda rate: statistics.mean(grid[rate]))
    at_pick = statistics.mean(run["accuracy"] for run in picked)
    best = statistics.mean(grid[best_rate])
    picks = ", ".join(f"{run['rate']:.1e}" for run in picked)
    seconds = statistics.mean(run["sweep_seconds"] for run in picked)
    of_training = statistics.mean(run["sweep_seconds"] / run["train_seconds"] for run in picked)
    behind = f"{100 * (best - at_pick):+.2f}"
    sweep = f"{seconds:.1f} s ({of_training:.0%} of training)"
    return [data, f"{at_pick:.2%}", f"{best:.2%}", f"{best_rate:.0e}", behind, picks, sweep]


def rate_title(line: Line) -> str:
    """How long was learned, where that was asked for."""
    passes = line["key"]["passes"]
    return "" if passes is None else f"{passes:g} passes over the rows"


SECTION = Section("lr_finder", "The learning-rate finder", RATE_HEAD, rate_rows, rate_title)

GRID = (3e-5, 1e-4, 2e-4, 4e-4, 8e-4)
SETS = ("sms", "trec-coarse", "trec-fine", "banking77", "imdb")
MAX_LENGTHS = {"imdb": 128}  # tokens; the others are short and seen whole
USUAL_LENGTH = 128
SURENESSES = np.linspace(0.2, 2.0, 37)


@dataclass(frozen=True)
class Lesson:
    """A draw of one data set, as tokens."""

    learner: Any  # plaintune.learn.plan.Learner
    stepper: Any  # plaintune.learn.steps.Stepper over the training rows
    test_tokens: Any  # plaintune.data.encode.Tokens
    test_labels: NDArray[np.int64]
    classes: int

    def network(self) -> Any:
        """The pre-trained network with an empty last layer."""
        from plaintune.learn.network import load_network

        return load_network(self.learner.backbone, self.classes, self.learner.device)

    @property
    def rows(self) -> int:
        """Rows to learn from."""
        return len(self.stepper.labels)


def lesson(learn: TextSet, test: TextSet, classes: list[str], max_length: int) -> Lesson:
    """Both parts as tokens, with the pre-trained model and this machine's way of running it."""
    from plaintune.core.events import silent
    from plaintune.core.settings import Settings
    from plaintune.learn.learner import prepare
    from plaintune.learn.steps import Stepper

    learner = prepare(Settings(), silent)
    number = {name: at for at, name in enumerate(classes)}

    def numbers(part: TextSet) -> NDArray[np.int64]:
        return np.array([number[label] for label in part.labels], dtype=np.int64)

    learn_tokens = learner.tokens(np.array(learn.texts, dtype=object), max_length)
    test_tokens = learner.tokens(np.array(test.texts, dtype=object), max_length)
    stepper = Stepper(learn_tokens, numbers(learn), learner.backbone.pad_id, learner.device)
    return Lesson(learner, stepper, test_tokens, numbers(test), len(classes))


def pick(task: Lesson, *, seed: int, minutes: float) -> tuple[float, float]:
    """The rate that the sweep picks, and the seconds it took; as `plaintune train` calls it."""
    from plaintune.core.events import silent
    from plaintune.learn.budget import Work, rows_per_batch, sweep_seconds
    from plaintune.learn.lr_finder import find_learning_rate

    network = task.network()
    started = time.monotonic()
    curve = find_learning_rate(
        network,
        task.stepper,
        rows_per_batch=rows_per_batch(task.rows) // 2,
        seconds=sweep_seconds(Work(task.rows, 0, 60 * minutes), 60 * minutes, 0.0),
        seed=seed,
        listener=silent,
    )
    return curve.pick, time.monotonic() - started


def train_at(task: Lesson, rate: float, *, seed: int, passes: float | None) -> tuple[float, float]:
    """Accuracy on the rows held back after training at ``rate``, and the seconds training took."""
    from plaintune.core.events import silent
    from plaintune.learn.budget import Probe, Work, choose_passes, rows_per_batch
    from plaintune.learn.checkpoint import Checkpoint
    from plaintune.learn.train import Schedule, train

    network = task.network()
    rows = rows_per_batch(task.rows)
    fast = Probe(task.stepper.tokens.lengths, 1e9, 1e9)
    wanted = choose_passes(fast, Work(task.rows, 0, 1e9), USUAL_LENGTH)
    steps = max(1, round((wanted.count if passes is None else passes) * task.rows / rows))
    schedule = Schedule(steps, rows, rate, seed, adversarial=wanted.adversarial)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder), silent)
        never = started + 86_400
        train(network, task.stepper, schedule, deadline=never, checkpoint=checkpoint, listener=silent)
    seconds = time.monotonic() - started
    return said_of_test(task, network)[0], seconds


def said_of_test(task: Lesson, network: Any) -> tuple[float, float]:
    """How often the network is right on the rows held back, and its loss there.

    The loss is that of answers as sure as is best for these very rows, in nats.
    """
    import torch

    from plaintune.learn.network import logits_of

    stepper = task.stepper
    logits = torch.from_numpy(
        logits_of(network, stepper.device, task.test_tokens, pad_id=stepper.pad_id)
    ).double()
    truth = torch.from_numpy(task.test_labels)
    losses = [torch.nn.functional.cross_entropy(logits * sure, truth) for sure in SURENESSES]
    return float((logits.argmax(dim=1) == truth).double().mean()), float(min(losses))


class Bench:
    """One data set and seed; tokens are made only where something is left to be measured."""

    def __init__(self, data: str, whole: TextSet, seed: int, options: argparse.Namespace, results: Results):
        self.data, self.seed, self.options, self.results = data, seed, options, results
        pool, rest = split_off(whole, min(options.test_rows, len(whole) // 3), seed=0)
        self.learn, self.test, self.classes = sample(pool, options.rows, seed=seed), rest, whole.classes
        self.task: Lesson | None = None

    def measure(self, contestant: str, rate: float | None) -> Line:
        """The line at ``rate`` (None: at the pick), from the results where they are there already."""
        key = {
            "contestant": contestant, "data": self.data, "seed": self.seed, "rate": rate,
            "train_rows": len(self.learn), "test_rows": len(self.test), "passes": self.options.passes,
            "code": code_version(),
        }  # fmt: skip
        return self.results.line(key, self._pick if rate is None else partial(self._train, rate))

    def _lesson(self) -> Lesson:
        if self.task is None:
            max_length = self.options.max_length or MAX_LENGTHS.get(self.data, USUAL_LENGTH)
            self.task = lesson(self.learn, self.test, self.classes, max_length)
        return self.task

    def _train(self, rate: float) -> dict[str, Any]:
        say(f"{self.data}, seed {self.seed}: {rate:.1e}")
        right, seconds = train_at(self._lesson(), rate, seed=self.seed, passes=self.options.passes)
        return {"rate": rate, "accuracy": right, "train_seconds": seconds}

    def _pick(self) -> dict[str, Any]:
        rate, sweep_seconds = pick(self._lesson(), seed=7 + self.seed, minutes=self.options.minutes)
        return {**self._train(rate), "sweep_seconds": sweep_seconds}


def run(options: argparse.Namespace, results: Results) -> list[Line]:
    """Every set and seed: the pick, then the grid."""
    found: list[Line] = []
    for data in options.sets:
        whole = load_set(data, options.data)
        for seed in range(options.seeds):
            bench = Bench(data, whole, seed, options, results)
            found.append(bench.measure("pick", None))
            found += [bench.measure("grid", rate) for rate in options.grid]
    return found


def options_from(arguments: list[str]) -> argparse.Namespace:
    """What was asked for."""
    options = parser(__doc__, "python benchmarks/lr_finder.py --sets sms trec-coarse --seeds 1")
    options.add_argument("--sets", nargs="+", default=list(SETS), help=f"{', '.join(KNOWN_SETS)}, or files")
    options.add_argument("--seeds", type=int, default=3, help="how many draws")
    options.add_argument("--rows", type=int, default=2000, help="rows to learn from")
    options.add_argument("--test-rows", type=int, default=2000, help="rows to score on")
    options.add_argument("--grid", type=float, nargs="+", default=list(GRID), help="the fixed rates")
    options.add_argument("--passes", type=float, help="over the rows [what plaintune takes for so many]")
    options.add_argument("--max-length", type=int, help="tokens [128]")
    options.add_argument("--minutes", type=float, default=60.0, help="of the run whose sweep this would be")
    return options.parse_args(arguments)


def main() -> None:
    """Measure, and print a line per set."""
    options = options_from(sys.argv[1:])
    results = Results(options.results, "lr_finder", again=options.again, any_code=options.any_code)
    SECTION.show(run(options, results))


if __name__ == "__main__":
    main()
