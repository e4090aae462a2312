"""Ways of training side by side: `python benchmarks/recipe.py`.

The network alone, at the rate that the sweep picks, on the same draws: plain steps; adversarial ones in half
as many passes, which take as long (plaintune's way with 600 to 8,000 rows); and those with gradual unfreezing
(Howard and Ruder 2018), where the layers join in from the top. Goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from functools import cache
from typing import Any

from common import KNOWN_SETS, Results, TextSet, code_version, load_set, parser, sample, say, split_off
from lr_finder import MAX_LENGTHS, USUAL_LENGTH, Lesson, lesson, pick, said_of_test
from section import Line, Section, grouped, spread, time_of

WAYS = ("plain", "adversarial", "gradual")
HEAD = ("data", "draws", "way", "right", "loss", "training time")
JOINED_BY = 0.5  # of the training, every layer learns
SETS = ("trec-coarse", "banking77", "imdb")


def recipe_rows(lines: list[Line]) -> list[list[str]]:
    """A row per set and way: means over the draws."""
    return [recipe_row(data, way, runs) for (data, way), runs in grouped(lines, "data", "contestant").items()]


def recipe_row(data: str, way: str, runs: list[dict[str, Any]]) -> list[str]:
    """One set and way."""
    loss, seconds = (statistics.mean(run[name] for run in runs) for name in ("loss", "train_seconds"))
    told = f"{way}, {runs[0]['passes']:g} passes"
    right = spread([run["accuracy"] for run in runs])
    return [data, str(len(runs)), told, right, f"{loss:.3f}", time_of(seconds)]


SECTION = Section(
    "recipe",
    "Ways of training",
    HEAD,
    recipe_rows,
    lambda line: f"at most {line['key']['train_rows']:,} rows to learn from, the network alone",
)


def passes_of(way: str, rows: int) -> float:
    """As many as plaintune takes in this way, where there is time enough."""
    from plaintune.learn.budget import ADVERSARIAL_COST, Work

    plain = Work(rows, 0, 0.0).wanted_passes
    return plain if way == "plain" else plain / ADVERSARIAL_COST


def learn(task: Lesson, rate: float, way: str, seed: int) -> dict[str, Any]:
    """Train in this way; how good the network then is on the rows held back."""
    from plaintune.learn.budget import rows_per_batch, steps_for
    from plaintune.learn.train import Schedule, fit_head, from_step

    passes = passes_of(way, task.rows)
    network, stepper = task.network(), task.stepper
    schedule = Schedule(steps_for(task.rows, passes), rows_per_batch(task.rows), rate, seed)
    started = time.monotonic()
    fit_head(network, stepper, seed=seed)
    optimizer = stepper.optimizer(network)
    shares = [group["share"] for group in optimizer.param_groups]  # smaller from layer to layer
    from_top = sorted(set(shares), reverse=True)
    for step, batch in zip(range(schedule.steps), from_step(stepper, schedule, 0), strict=False):
        joined = len(from_top)
        if way == "gradual":  # the last layer and the uppermost of the encoder from the start
            joined = 2 + int(step / schedule.steps / JOINED_BY * (len(from_top) - 1))
        for group, share in zip(optimizer.param_groups, shares, strict=True):
            group["share"] = share if share in from_top[:joined] else 0.0
        rate_now = schedule.rate(step, schedule.steps)
        stepper.step(network, optimizer, batch, rate=rate_now, adversarial=way != "plain")
    seconds = time.monotonic() - started
    right, loss = said_of_test(task, network)
    return {"rate": rate, "passes": passes, "accuracy": right, "loss": loss, "train_seconds": seconds}


def draw(data: str, whole: TextSet, seed: int, options: argparse.Namespace, results: Results) -> list[Line]:
    """One way after the other on the same rows."""
    pool, test = split_off(whole, min(options.test_rows, len(whole) // 3), seed=seed)

    @cache
    def prepared() -> tuple[Lesson, float]:
        max_length = MAX_LENGTHS.get(data, USUAL_LENGTH)
        task = lesson(sample(pool, options.rows, seed=seed), test, whole.classes, max_length)
        return task, pick(task, seed=7 + seed, minutes=options.minutes)[0]

    def measure(way: str) -> Line:
        say(f"{data}, draw {seed}: {way}")
        key = {
            "contestant": way, "data": data, "seed": seed, "train_rows": options.rows,
            "test_rows": len(test), "code": code_version(),
        }  # fmt: skip
        return results.line(key, lambda: learn(*prepared(), way, seed))

    return [measure(way) for way in options.ways]


def run(options: argparse.Namespace, results: Results) -> list[Line]:
    """Every set and draw."""
    found: list[Line] = []
    for data in options.sets:
        whole = load_set(data, options.data, group="film" if data == "imdb" else None)
        for seed in range(options.seeds):
            found += draw(data, whole, seed, options, results)
    return found


def options_from(arguments: list[str]) -> argparse.Namespace:
    """What was asked for."""
    options = parser(__doc__, "python benchmarks/recipe.py --sets trec-coarse --seeds 1")
    options.add_argument("--sets", nargs="+", default=list(SETS), help=f"{', '.join(KNOWN_SETS)}, or files")
    options.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS, help="of training")
    options.add_argument("--seeds", type=int, default=3, help="how many draws")
    options.add_argument("--rows", type=int, default=4000, help="rows to learn from, at most")
    options.add_argument("--test-rows", type=int, default=5000, help="rows to score on, at most")
    options.add_argument("--minutes", type=float, default=60.0, help="of the run whose sweep this would be")
    return options.parse_args(arguments)


def main() -> None:
    """Measure, and print a line per set and way."""
    options = options_from(sys.argv[1:])
    results = Results(options.results, "recipe", again=options.again, any_code=options.any_code)
    SECTION.show(run(options, results))


if __name__ == "__main__":
    main()
