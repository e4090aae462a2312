"""Few labels: plaintune beside SetFit from the same encoder: `python benchmarks/few_labels.py`.

8, 32 and 128 examples of each answer, and 1,000 in all; every seed draws other examples and other rows to
be scored on. Times are of whole processes: importing, training, answering the rows that are scored. SetFit
comes from the peers' environment (`python benchmarks/peers.py --setup`). Goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from common import (
    KNOWN_SETS,
    Results,
    TextSet,
    load_set,
    parser,
    print_table,
    sample,
    sample_per_class,
    say,
    scratch_folder,
    split_off,
)
from peers import PLAINTUNE, compete, key_of
from table import FEW_HEAD, few_rows

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
) -> dict[str, Any] | None:
    """The figures of one contestant on one draw, from the results where they are there already."""
    learn, test = draw(whole, size, test_rows=options.test_rows, seed=options.seed)
    key = {**key_of(contestant, data, learn, test, options), "size": size}
    figures = results.find(key)
    if figures is None:
        say(f"{data}, {size}, seed {options.seed}: {contestant} on {len(learn):,} rows …")
        with scratch_folder() as folder:
            figures = compete(contestant, learn, test, options, folder=folder)
        results.add(key, figures)
    if "problem" in figures:
        say(f"{data}, {size}, seed {options.seed}: {contestant} gave no figures: {figures['problem']}")
        return None
    return {"contestant": contestant, "data": data, "size": size, "seed": options.seed, **figures}


def run(options: argparse.Namespace, results: Results) -> list[dict[str, Any]]:
    """Every set, size, seed and contestant; seed by seed, so that a run that is stopped is balanced."""
    wholes = {data: load_set(data, options.data) for data in options.sets}
    found: list[dict[str, Any] | None] = []
    for seed in range(options.seeds):
        options.seed = seed
        for data, whole in wholes.items():
            for size in options.sizes:
                found.append(measure(PLAINTUNE, data, whole, size, options, results))
                if size in options.setfit_sizes:
                    found.append(measure("setfit", data, whole, size, options, results))
    return [figures for figures in found if figures is not None]


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
    print_table(FEW_HEAD, few_rows(run(options, results)))


if __name__ == "__main__":
    main()
