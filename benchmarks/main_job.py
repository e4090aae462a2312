"""The main job on real files, through the real command line: `python benchmarks/main_job.py FILE…`.

Options after `--` go to every `plaintune train`. Prints a table for the README; models are thrown away.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path


def row(file: Path, options: list[str]) -> str:
    """One line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "plaintune",
            "train",
            str(file.resolve()),
            "--json",
            "--quiet",
            *options,
        ]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout)
    low, high = told["score_interval"]
    peak_gib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    cells = [
        f"{file.name} {' '.join(options)}".strip(),
        str(len(told["classes"])),
        f"{told['score']:.1%} ({low:.1%} to {high:.1%})",
        f"{told['baseline_score']:.1%}",
        f"{told['majority_score']:.1%}",
        f"{told['seconds'] / 60:.1f}",
        f"{peak_gib:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Train on each file in turn."""
    arguments = sys.argv[1:]
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    print("| data | answers | right (95% interval) | counting words | majority | minutes | peak GiB so far |")
    print("|---|---|---|---|---|---|---|")
    for file in arguments[:cut]:
        print(row(Path(file), arguments[cut + 1 :]), flush=True)


if __name__ == "__main__":
    main()
