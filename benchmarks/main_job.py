"""The main job on real files, through the real command line: `python benchmarks/main_job.py FILE…`.

Options after `--` go to every `plaintune train`; models are thrown away. Goes on where it was stopped.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from common import Results, code_version, parser, plaintune_figures, run_child, say, scratch_folder
from section import Line, Section, each, gib, share

LIMIT_MINUTES = 150.0


def measure(file: Path, options: list[str]) -> dict[str, Any]:
    """Train on one file as a user would."""
    say(f"{file.name} {' '.join(options)}")
    with scratch_folder() as folder:
        command = [
            sys.executable,
            "-m",
            "plaintune",
            "train",
            str(file.resolve()),
            "--json",
            "--quiet",
            "--yes",
        ]
        child = run_child([*command, *options], folder=folder, limit_minutes=LIMIT_MINUTES)
    if child.problem:
        return {"problem": child.problem}
    return {**plaintune_figures(child), **child.cost, "answers": len(child.told.get("classes") or ())}


def row(line: Line) -> list[str]:
    """One file."""
    what, found = " ".join([line["key"]["data"], *line["key"]["options"]]), line["figures"]
    if "problem" in found:
        return [what, f"no figure: {found['problem'].splitlines()[0]}", "", "", "", "", ""]
    return [
        what, str(found["answers"]), share(found), f"{found['baseline_score']:.1%}",
        f"{found['majority_score']:.1%}", f"{found['wall_seconds'] / 60:.1f}", gib(found),
    ]  # fmt: skip


SECTION = Section(
    "main_job",
    "Training with no settings",
    ("data", "answers", "right (95% interval)", "counting words", "majority", "minutes", "peak memory"),
    each(row),
)


def main() -> None:
    """Train on each file in turn."""
    arguments = sys.argv[1:]
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser(__doc__, "python benchmarks/main_job.py mail.csv reviews.csv -- --minutes 5")
    options.add_argument("files", nargs="+", type=Path, metavar="FILE", help="what train takes")
    asked, passed = options.parse_args(arguments[:cut]), arguments[cut + 1 :]
    results = Results(asked.results, "main_job", again=asked.again, any_code=asked.any_code)
    lines = []
    for file in asked.files:
        key = {"data": file.name, "options": passed, "code": code_version()}
        lines.append(results.line(key, partial(measure, file, passed)))
    SECTION.show(lines)


if __name__ == "__main__":
    main()
