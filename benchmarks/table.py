"""`docs/benchmarks.md` from the results: `python benchmarks/table.py`.

Each table holds the latest figure of every piece of work, machine by machine, with the command that makes it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import DEFAULT_RESULTS, REPOSITORY, Machine, markdown, read_results

Line = dict[str, Any]  # what `Results.add` wrote

PEERS_HEAD = ("contestant", "rows learned from", "right (95% interval)", "wall time", "peak memory")
FEW_HEAD = ("data", "examples", "seeds", "plaintune", "SetFit", "plaintune's wall time", "SetFit's", "share")
IMDB_HEAD = ("what", "right (95% interval)", "counting words", "wall time", "peak memory")
SPEED_HEAD = ("contestant", "tokens/s", "plaintune is … times as fast", "GFLOP/s", "of the best products")
RATE_HEAD = ("data", "at the pick", "best of the grid", "at", "points behind", "picks", "sweep")

DEFAULT_MINUTES = 60.0

TITLES = {
    "plaintune": "plaintune",
    "tfidf": "scikit-learn: tf-idf + logistic regression",
    "nbsvm": "NB-SVM",
    "trainer": "Hugging Face Trainer, defaults",
    "setfit": "SetFit, as in its paper",
    "fasttext": "fastText",
    "fastai": "fastai",
    "trainer-bf16": "Hugging Face Trainer, bf16",
    "trainer-bf16-no-dropout": "Hugging Face Trainer, bf16, dropout off",
    "trainer-no-dropout": "Hugging Face Trainer, dropout off",
}


def peers_row(contestant: str, figures: dict[str, Any]) -> list[str]:
    """One contestant of `peers.py`."""
    title = TITLES.get(contestant, contestant)
    if figures.get("minutes", DEFAULT_MINUTES) != DEFAULT_MINUTES:
        title += f", --minutes {figures['minutes']:g}"
    rows = f"{figures['train_rows']:,}"
    if "problem" in figures:
        return [title, rows, f"no figure: {figures['problem'].splitlines()[0]}", "", ""]
    return [title, rows, share(figures), time_of(figures["wall_seconds"]), gib(figures)]


def imdb_row(key: dict[str, Any], figures: dict[str, Any]) -> list[str]:
    """One run of `imdb.py`."""
    source = Path(key["train"]).name if key["train"] else "imdb-train.parquet"
    what = source + (", films held back" if key["film_split"] else "")
    what += f" + {Path(key['unlabeled']).name}" if key["unlabeled"] else ""
    what += f", seed {key['seed']}, --minutes {key['minutes']:g} {' '.join(key['options'])}"
    counted = f"{figures['baseline_score']:.1%}"
    return [what.strip(), share(figures), counted, time_of(figures["wall_seconds"]), gib(figures)]


def few_rows(found: Iterable[dict[str, Any]]) -> list[list[str]]:
    """A row per set and size of `few_labels.py`; ratios only from seeds that both have."""
    groups: dict[tuple[str, str], dict[str, dict[int, dict[str, Any]]]] = {}
    for figures in found:
        group = groups.setdefault((figures["data"], figures["size"]), {"plaintune": {}, "setfit": {}})
        group[figures["contestant"]][figures["seed"]] = figures
    return [few_row(data, size, group) for (data, size), group in groups.items()]


def few_row(data: str, size: str, group: dict[str, dict[int, dict[str, Any]]]) -> list[str]:
    """One set and size: mean accuracies with their spread over seeds, and times."""
    ours, theirs = group["plaintune"], group["setfit"]
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


def speed_rows(figures: dict[str, Any]) -> list[list[str]]:
    """A row per contestant of `throughput.py`."""
    per_token, peak = figures["flop_per_token"], max(figures["peak_gflops"].values())
    rows = []
    for name, rounds in figures["tokens_per_second"].items():
        speed = statistics.median(rounds)
        ours = figures["tokens_per_second"].get("plaintune", [])
        ratio = statistics.median([a / b for a, b in zip(ours, rounds, strict=True)]) if ours else None
        gflops = speed * per_token / 1e9
        cells = [TITLES.get(name, name), f"{speed:,.0f}", "" if ratio is None else f"{ratio:.2f}"]
        rows.append([*cells, f"{gflops:,.0f}", f"{gflops / peak:.0%}"])
    for number_format, gflops in figures["peak_gflops"].items():
        rows.append([f"this machine's {number_format} products", "", "", f"{gflops:,.0f}", ""])
    return rows


def rate_rows(found: Iterable[dict[str, Any]]) -> list[list[str]]:
    """A row per set of `lr_finder.py`: the mean at the pick against the best mean of the grid."""
    sets: dict[str, list[dict[str, Any]]] = {}
    for figures in found:
        sets.setdefault(figures["data"], []).append(figures)
    return [rate_row(data, runs) for data, runs in sets.items()]


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


def share(figures: dict[str, Any]) -> str:
    """An accuracy with its interval."""
    low, high = figures["interval"]
    return f"{figures['accuracy']:.1%} ({low:.1%} to {high:.1%})"


def spread(accuracies: list[float]) -> str:
    """A mean, and how far the seeds lie apart."""
    if not accuracies:
        return ""
    mean = f"{statistics.mean(accuracies):.1%}"
    return mean if len(accuracies) == 1 else f"{mean} ± {100 * statistics.stdev(accuracies):.1f}"


def time_of(seconds: float) -> str:
    """A time span as people say it."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def gib(figures: dict[str, Any]) -> str:
    """Peak memory."""
    return f"{figures['peak_gib']:.1f} GiB"


@dataclass(frozen=True)
class Section:
    """A benchmark's part of the page. ``title_of`` says which of its lines make one table."""

    benchmark: str
    title: str
    command: str
    head: tuple[str, ...]
    title_of: Callable[[Line], str]
    rows: Callable[[list[Line]], list[list[str]]]


def flat(line: Line) -> dict[str, Any]:
    """Key and figures side by side."""
    return {**line["key"], **line["figures"]}


def sound(lines: list[Line]) -> list[dict[str, Any]]:
    """The lines that hold figures, flat."""
    return [flat(line) for line in lines if "problem" not in line["figures"]]


def _peers_title(line: Line) -> str:
    key = line["key"]
    return f"{key['data']}, scored on {key['test_rows']:,} rows"


def _peers_rows(lines: list[Line]) -> list[list[str]]:
    order = list(TITLES)
    ordered = sorted(lines, key=lambda line: order.index(line["key"]["contestant"]))
    return [peers_row(line["key"]["contestant"], flat(line)) for line in ordered]


def _few_title(line: Line) -> str:
    return f"scored on {line['key']['test_rows']:,} rows"


def _rate_title(line: Line) -> str:
    passes = line["key"]["passes"]
    return "" if passes is None else f"{passes:g} passes over the rows"


def _speed_title(line: Line) -> str:
    key = line["key"]
    what = f"{key['data']} at {key['max_length']} tokens, batches of {key['batch']}"
    return what + (", no AMX, float32" if key["no_amx"] else "")


SECTIONS = (
    Section(
        "imdb", "Film reviews", "python benchmarks/imdb.py", IMDB_HEAD, lambda line: "",
        lambda lines: [imdb_row(line["key"], line["figures"]) for line in lines],
    ),
    Section(
        "peers", "Beside other tools", "python benchmarks/peers.py", PEERS_HEAD, _peers_title, _peers_rows
    ),
    Section(
        "throughput", "Training speed", "python benchmarks/throughput.py", SPEED_HEAD, _speed_title,
        lambda lines: speed_rows(lines[-1]["figures"]),
    ),
    Section(
        "few_labels", "Few labels", "python benchmarks/few_labels.py", FEW_HEAD, _few_title,
        lambda lines: few_rows(sound(lines)),
    ),
    Section(
        "lr_finder", "The learning-rate finder", "python benchmarks/lr_finder.py", RATE_HEAD, _rate_title,
        lambda lines: rate_rows(sound(lines)),
    ),
)  # fmt: skip


def latest(lines: Iterable[Line]) -> list[Line]:
    """The last line of each key, whatever the version of the code."""
    kept: dict[str, Line] = {}
    for line in lines:
        key = {name: value for name, value in line["key"].items() if name != "code"}
        kept.pop(json.dumps(key, sort_keys=True), None)
        kept[json.dumps(key, sort_keys=True)] = line
    return list(kept.values())


def section_text(section: Section, lines: list[Line]) -> str:
    """A section: for each machine and title a table, with the commits its figures come from."""
    tables: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        tables.setdefault((str(Machine(**line["machine"])), section.title_of(line)), []).append(line)
    parts = [f"## {section.title}", f"`{section.command}`"]
    for (machine, title), its in tables.items():
        commits = ", ".join(sorted({line["commit"] for line in its}))
        days = sorted({line["when"][:10] for line in its})
        when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
        parts.append(" · ".join(part for part in (title, machine, f"commit {commits}", when) if part))
        parts.append(markdown(section.head, section.rows(latest(its))))
    return "\n\n".join(parts)


def page(folder: Path) -> str | None:
    """The whole page; None where there are no results."""
    parts = []
    for section in SECTIONS:
        lines = read_results(folder / f"{section.benchmark}.jsonl")
        if lines:
            parts.append(section_text(section, lines))
    if not parts:
        return None
    head = (
        "# Benchmarks\n\nWritten by `python benchmarks/table.py` from measured results; do not edit by hand."
    )
    return "\n\n".join([head, *parts]) + "\n"


def main() -> None:
    """Write the page."""
    options = argparse.ArgumentParser(
        description="Write docs/benchmarks.md from the results.",
        epilog="Example: python benchmarks/table.py --out /tmp/benchmarks.md",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    options.add_argument("--results", type=Path, default=DEFAULT_RESULTS, help="folder of the figures")
    options.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "benchmarks.md", help="the page")
    asked = options.parse_args()
    text = page(asked.results)
    if text is None:
        sys.exit(f"{asked.results} holds no results.\nMake some first: python benchmarks/peers.py")
    asked.out.write_text(text, encoding="utf-8")
    print(f"{asked.out} is written.")


if __name__ == "__main__":
    main()
