"""How long the structural check takes, by size: `python benchmarks/check_scale.py`.

Film reviews at three sizes (train, unlabelled ones with a drawn answer, and repeats), and a million short
rows: seconds and peak memory of `plaintune check --quick`.
"""

from __future__ import annotations

import csv
import random
import sys
from functools import partial
from pathlib import Path
from typing import Any

from common import Results, code_version, parser, run_child, say, scratch_folder
from section import Line, Section, each

REVIEWS = (25_000, 50_000, 100_000)
SHORT = 1_000_000
WORDS = (
    "parcel",
    "late",
    "refund",
    "card",
    "bank",
    "order",
    "shop",
    "good",
    "bad",
    "slow",
    "phone",
    "street",
)


def write_reviews(data: Path, rows: int, file: Path) -> None:
    """Reviews, repeated where there are not enough; the unlabelled ones get a drawn answer."""
    import pyarrow.parquet as parquet

    rng = random.Random(0)
    texts = parquet.read_table(data / "imdb-train.parquet")["review"].to_pylist()
    texts += parquet.read_table(data / "imdb-unlabeled.parquet")["review"].to_pylist()
    texts += texts[: max(0, rows - len(texts))]
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["review", "sentiment"])
        writer.writerows((text, rng.choice(("positive", "negative"))) for text in texts[:rows])


def write_short(rows: int, file: Path) -> None:
    """Rows of a dozen words and a number."""
    rng = random.Random(0)
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["text", "answer"])
        for number in range(rows):
            writer.writerow([" ".join(rng.choices(WORDS, k=11)) + f" {number}", rng.choice("abcd")])


def measure(kind: str, rows: int, data: Path) -> dict[str, Any]:
    """What the check of so many rows costs."""
    say(f"{rows:,} {kind}")
    with scratch_folder() as folder:
        file = folder / "rows.csv"
        if kind == "reviews":
            write_reviews(data, rows, file)
        else:
            write_short(rows, file)
        command = [sys.executable, "-m", "plaintune", "check", str(file), "--quick", "--json", "-q"]
        child = run_child(command, folder=folder, limit_minutes=20)
    return {"problem": child.problem} if child.problem else child.cost


def row(line: Line) -> list[str]:
    """One size."""
    rows, figures = line["key"]["rows"], line["figures"]
    what = f"{rows:,} {line['key']['kind']}"
    if "problem" in figures:
        return [what, figures["problem"], "", ""]
    seconds = figures["wall_seconds"]
    return [what, f"{seconds:.0f} s", f"{figures['peak_gib']:.2f} GiB", f"{1e6 * seconds / rows:.0f} µs"]


SECTION = Section(
    "check_scale",
    "How long the check-up takes",
    ("data", "time", "peak memory", "a row"),
    each(row),
)


def main() -> None:
    """Measure each size that is not in the results yet."""
    options = parser(__doc__, "python benchmarks/check_scale.py --sizes 25000")
    options.add_argument(
        "--sizes", type=int, nargs="+", default=list(REVIEWS), help="numbers of film reviews"
    )
    options.add_argument("--short", type=int, default=SHORT, help="number of short rows; 0 leaves them out")
    asked = options.parse_args(sys.argv[1:])
    results = Results(asked.results, "check_scale", again=asked.again, any_code=asked.any_code)
    lines = []
    for kind, rows in [*(("reviews", size) for size in asked.sizes), ("short", asked.short)]:
        if rows:
            key = {"kind": kind, "rows": rows, "code": code_version()}
            lines.append(results.line(key, partial(measure, kind, rows, asked.data)))
    SECTION.show(lines)


if __name__ == "__main__":
    main()
