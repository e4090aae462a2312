"""Few labels: plaintune beside SetFit from the same encoder: `python benchmarks/few_labels.py`.

8, 32 and 128 examples of each answer, and 1,000 in all; every seed draws other examples and other rows to
be scored on. Times are of whole processes: importing, training, answering the rows that are scored. SetFit
comes from the peers' environment (`python benchmarks/peers.py --setup`). Goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from functools import partial
from typing import Any

from common import (
    KNOWN_SETS,
    Results,
    TextSet,
    load_set,
    parser,
    sample,
    sample_per_class,
    split_off,
)
from peers import PLAINTUNE, compete, key_of
from section import Line, Section, grouped, spread, time_of


def few_rows(lines: list[Line]) -> list[list[str]]:
    """A row per set and size; ratios only from seeds that both have."""
    return [few_row(data, size, runs) for (data, size), runs in grouped(lines, "data", "size").items()]


def few_row(data: str, size: str, runs: list[dict[str, Any]]) -> list[str]:
    """One set and size: mean accuracies with their spread over seeds, and times."""
    ours, theirs = (
        {run["seed"]: run for run in runs if run["contestant"] == name} for name in (PLAINTUNE, "setfit")
    )
    both = sorted(set(ours) & set(theirs))
    seeds = both or sorted(set(ours) or set(theirs))
    examples = size if "all" in size else f"{size} per answer"
    cells = [data, examples, str(len(seeds))]
    for side in (ours, theirs):
        cells.append(spread([side[seed]["accuracy"] for seed in seeds if seed in side]))
    for side in (ours, theirs):
        times = [side[seed]["wall_seconds"] for seed in seeds if seed in side]
        cells.append(time_of(statistics.mean(times)) if times else "")
    ratios = [ours[seed]["wall_seconds"] / theirs[seed]["wall_seconds"] for seed in both]
    return [*cells, f"{statistics.mean(ratios):.2f}" if ratios else ""]


SECTION = Section(
    "few_labels",
    "Few labels",
    ("data", "examples", "seeds", "plaintune", "SetFit", "plaintune's wall time", "SetFit's", "share"),
    few_rows,
    lambda line: f"scored on {line['key']['test_rows']:,} rows",
)
PER_CLASS = ("8", "32", "128")
IN_ALL = "1000 in all"
SETS = ("sms", "trec-coarse", "banking77", "imdb")


def draw(whole: TextSet, size: str, *, test_rows: int, seed: int) -> tuple[TextSet, TextSet]:
    """The examples of this size and seed, and the rows to score on; groups stay on one side."""
    pool, test = split_off(whole, min(test_rows, len(whole) // 2), seed=seed)
    if size == IN_ALL:
        return sample(pool, 1000, seed=seed), test
    return sample_per_class(pool, int(size), seed=seed), test


def measure(
    contestant: str, data: str, whole: TextSet, size: str, options: argparse.Namespace, results: Results
) -> Line:
    """The figures of one contestant on one draw, from the results where they are there already."""
    learn, test = draw(whole, size, test_rows=options.test_rows, seed=options.seed)
    key = {**key_of(contestant, data, learn, test, options), "size": size}
    return results.line(key, partial(compete, contestant, learn, test, options))


def run(options: argparse.Namespace, results: Results) -> list[Line]:
    """Every set, size, seed and contestant; seed by seed, so that a run that is stopped is balanced."""
    wholes = {data: load_set(data, options.data) for data in options.sets}
    found: list[Line] = []
    for seed in range(options.seeds):
        options.seed = seed
        for data, whole in wholes.items():
            for size in options.sizes:
                found.append(measure(PLAINTUNE, data, whole, size, options, results))
                if size in options.setfit_sizes:
                    found.append(measure("setfit", data, whole, size, options, results))
    return found


def options_from(arguments: list[str]) -> argparse.Namespace:
    """What was asked for."""
    options = parser(__doc__, "python benchmarks/few_labels.py --sets sms --sizes 8 32 --seeds 3")
    sizes = [*PER_CLASS, IN_ALL]
    options.add_argument("--sets", nargs="+", default=list(SETS), help=f"{', '.join(KNOWN_SETS)}, or files")
    options.add_argument("--sizes", nargs="+", default=sizes, help=f"per answer, or '{IN_ALL}'")
    options.add_argument(
        "--setfit-sizes",
        nargs="*",
        default=["8", "32"],
        help="sizes at which SetFit takes part: on long texts 128 takes it an hour a seed, 1,000 four",
    )
    options.add_argument("--seeds", type=int, default=10, help="how many draws")
    options.add_argument("--test-rows", type=int, default=1000, help="rows to score on")
    options.add_argument("--minutes", type=float, default=60.0, help="passed on to plaintune")
    options.add_argument("--max-length", type=int, default=256, help="tokens, for SetFit")
    options.add_argument("--limit-minutes", type=float, default=360.0, help="a contestant is ended then")
    return options.parse_args(arguments)


def main() -> None:
    """Measure, and print a line per set and size."""
    options = options_from(sys.argv[1:])
    results = Results(options.results, "few_labels", again=options.again, any_code=options.any_code)
    SECTION.show(run(options, results))


if __name__ == "__main__":
    main()
