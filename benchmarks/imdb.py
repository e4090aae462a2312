"""The main figure, film reviews with the default command: `python benchmarks/imdb.py --film-split`.

`--train FILE` is the public archive (or its folder), scored on its own test half, or any table, with
`--test FILE`. `--film-split` divides a Parquet with a `film` column into 20,000 rows to learn from and 5,000
to score on, no film on both sides: a random split leaks films. Goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from common import (
    KNOWN_SETS,
    Results,
    code_version,
    load_set,
    parser,
    plaintune_command,
    plaintune_figures,
    run_child,
    say,
    scratch_folder,
    split_off,
)
from section import Line, Section, each, gib, share, time_of


def row(line: Line) -> list[str]:
    """One run."""
    key, figures = line["key"], line["figures"]
    source = Path(key["train"]).name if key["train"] else "imdb-train.parquet"
    what = source + (", films held back" if key["film_split"] else "")
    what += f" + {Path(key['unlabeled']).name}" if key["unlabeled"] else ""
    what += f", seed {key['seed']}, --minutes {key['minutes']:g} {' '.join(key['options'])}"
    if "problem" in figures:
        return [what.strip(), f"no figure: {figures['problem'].splitlines()[0]}", "", "", "", ""]
    counted, calibrated = f"{figures['baseline_score']:.1%}", ""
    if "calibration_error" in figures:
        calibrated = f"{figures['calibration_error']:.1%}, {figures['brier']:.3f}"
    took = time_of(figures["wall_seconds"])
    return [what.strip(), share(figures), counted, calibrated, took, gib(figures)]


SECTION = Section(
    "imdb",
    "Film reviews",
    (
        "what",
        "right (95% interval)",
        "counting words",
        "calibration error, Brier score",
        "wall time",
        "peak memory",
    ),
    each(row),
)


def film_split(options: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    """Tables of text and answer, without the film: the archive does not tell it either."""
    named = "imdb" if options.train is None else str(options.train)
    whole = load_set(named, options.data, group="film")
    test_rows = min(options.test_rows, len(whole) // 5)
    learn, test = split_off(whole, test_rows, seed=options.seed)
    say(f"{len(learn):,} rows to learn from, {len(test):,} to be scored on")
    return learn.write_csv(folder / "train.csv"), test.write_csv(folder / "test.csv")


def files(options: argparse.Namespace, folder: Path) -> tuple[Path, Path | None]:
    """What plaintune learns from, and what it is scored on (None: the archive's own test half)."""
    if options.film_split:
        return film_split(options, folder)
    train: Path = options.train or options.data / KNOWN_SETS["imdb"][0]
    return train.resolve(), None if options.test is None else options.test.resolve()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the command line as a user would, and measure it."""
    say("plaintune on film reviews …")
    with scratch_folder() as folder:
        train, test = files(options, folder)
        command = plaintune_command(train, test, minutes=options.minutes, seed=options.seed)
        if options.unlabeled is not None:
            command += ["--unlabeled", str(options.unlabeled.resolve())]
        command += options.options
        limit = 2 * options.minutes + 30
        child = run_child([*command], folder=folder, limit_minutes=limit)
    if child.problem is not None:
        return {"problem": child.problem}
    return {**plaintune_figures(child), **child.cost}


def key_of(options: argparse.Namespace) -> dict[str, Any]:
    """What must be the same for a figure to count as measured."""
    named = {
        name: None if getattr(options, name) is None else str(getattr(options, name))
        for name in ("train", "test", "unlabeled")
    }
    same = {name: getattr(options, name) for name in ("film_split", "minutes", "seed", "options")}
    test_rows = options.test_rows if options.film_split else None
    return {"contestant": "plaintune", **named, **same, "test_rows": test_rows, "code": code_version()}


def options_from(arguments: list[str]) -> argparse.Namespace:
    """What was asked for; what follows `--` goes to `plaintune train` as it is."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser(__doc__, "python benchmarks/imdb.py --train aclImdb_v1.tar.gz --minutes 60")
    options.add_argument("--train", type=Path, help="archive, folder or table [the Parquet in --data]")
    options.add_argument("--test", type=Path, help="table to score on")
    options.add_argument("--film-split", action="store_true", help="hold films back from --train")
    options.add_argument("--test-rows", type=int, default=5000, help="rows that --film-split holds back")
    options.add_argument("--unlabeled", type=Path, help="passed on to plaintune")
    options.add_argument("--minutes", type=float, default=60.0, help="passed on to plaintune")
    options.add_argument("--seed", type=int, default=0, help="draws the films and seeds plaintune")
    asked = options.parse_args(arguments[:cut])
    asked.options = arguments[cut + 1 :]
    if asked.film_split and asked.test is not None:
        options.error("--film-split makes the test part: leave --test out")
    return asked


def main() -> None:
    """Train once, score once, print a line."""
    options = options_from(sys.argv[1:])
    results = Results(options.results, "imdb", again=options.again, any_code=options.any_code)
    line = results.line(key_of(options), partial(measure, options))
    SECTION.show([line])
    sys.exit(line["figures"].get("problem"))


if __name__ == "__main__":
    main()
