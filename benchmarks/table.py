"""`docs/benchmarks.md` from the results: `python benchmarks/table.py`.

Each table holds the latest figure of every piece of work, machine by machine, with the command that makes it.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from common import DEFAULT_RESULTS, REPOSITORY, Machine, read_results
from section import Line, Section, latest

BENCHMARKS = (
    "main_job", "imdb", "peers", "few_labels", "throughput", "recipe", "lr_finder", "quote", "verdict",
    "label_noise", "learning_curve", "labelling", "check_scale", "explain", "predict", "serve", "load",
    "stream",
)  # fmt: skip
HEAD = """# Benchmarks

Written by `python benchmarks/table.py` from the figures in `benchmarks/records/`; do not edit by hand. A
figure holds for the machine and the commit that stand above its table. Times depend on the machine and on
the day: those of one commit and day were measured side by side, others were not."""


def section_text(section: Section, lines: list[Line]) -> str:
    """A section: for each machine and title a table, with the commits its figures come from."""
    machines: dict[str, list[Line]] = {}
    for line in latest(lines):
        machines.setdefault(str(Machine(**line["machine"])), []).append(line)
    parts = [f"## {section.title}", f"`python benchmarks/{section.benchmark}.py`"]
    for machine, own in machines.items():
        for title, its in section.tables(own).items():
            commits = ", ".join(sorted({line["commit"] for line in its}))
            days = sorted({line["when"][:10] for line in its})
            when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
            parts.append(" · ".join(part for part in (title, machine, f"commit {commits}", when) if part))
            parts.append(section.table(its))
    return "\n\n".join(parts)


def page(folder: Path) -> str | None:
    """The whole page; None where there are no results."""
    parts = []
    for name in BENCHMARKS:
        if lines := read_results(folder / f"{name}.jsonl"):
            parts.append(section_text(importlib.import_module(name).SECTION, lines))
    return "\n\n".join([HEAD, *parts]) + "\n" if parts else None


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
