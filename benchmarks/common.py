"""What the benchmarks share: data sets by name, children with their cost, results that can be resumed.

Nothing here imports torch, and plaintune only where data are read: the peers' environment lacks it.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import importlib.util
import json
import math
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from section import Line

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
CACHE = Path(os.environ.get("PLAINTUNE_BENCHMARKS", "~/.cache/plaintune-benchmarks")).expanduser()
DEFAULT_RESULTS = HERE / "records"
DEFAULT_DATA = REPOSITORY.parent / "shared" / "data"
PEERS_ENVIRONMENT = CACHE / "peers"
SETUP_COMMAND = "python benchmarks/peers.py --setup"
TOO_SLOW = "not done after"
LAST_LINES = 12  # of what a failed child said are shown

# name → file, column of the text, column of the answer, column that must stay on one side
KNOWN_SETS: dict[str, tuple[str, str | None, str | None, str | None]] = {
    "sms": ("sms-spam.tsv", None, None, None),
    "trec-coarse": ("trec-train.label", None, "coarse", None),
    "trec-fine": ("trec-train.label", None, None, None),
    "banking77": ("banking77-train.csv", "text", "category", None),
    "imdb": ("imdb-train.parquet", "review", "sentiment", "film"),
}


@dataclass(frozen=True)
class TextSet:
    """Labelled texts, each text once; rows of one group must not sit on both sides of a split."""

    name: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    groups: NDArray[np.int64]  # (rows,) a row without a group is its own

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def classes(self) -> list[str]:
        """The answers, sorted."""
        return sorted(set(self.labels))

    def take(self, rows: NDArray[np.int64]) -> TextSet:
        """The rows at these positions, in that order."""
        texts = tuple(self.texts[row] for row in rows)
        labels = tuple(self.labels[row] for row in rows)
        return replace(self, texts=texts, labels=labels, groups=self.groups[rows])

    def write_csv(self, file: Path) -> Path:
        """A table with the columns `text` and `label`."""
        with file.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(["text", "label"])
            writer.writerows(zip(self.texts, self.labels, strict=True))
        return file


def load_set(name: str, data: Path, *, group: str | None = None) -> TextSet:
    """The set of that name in the folder ``data``, or the file ``name``; repeated texts are dropped.

    ``group`` is the column of a file whose rows must stay on one side.

    Dropping them here lets every contestant be scored on the same rows: plaintune leaves test texts out
    that it has learned from, the others would not.
    """
    from plaintune.core.features import text_hashes
    from plaintune.data.read import read_examples

    file, text, label, group = KNOWN_SETS.get(name, (name, None, None, group))
    source = data / file if name in KNOWN_SETS else Path(file)
    if not source.exists():
        sys.exit(f"{source} is missing.\nGive its folder (--data DIR), or one of {', '.join(KNOWN_SETS)}.")
    examples = read_examples(str(source), text=(text,) if text else (), label=label, group=group)
    _, first = np.unique(text_hashes(examples.texts), return_index=True)
    kept = examples.take(np.sort(first))
    groups = np.arange(len(kept), dtype=np.int64) if kept.groups is None else kept.groups
    labels = tuple(kept.classes[number] for number in kept.labels)
    return TextSet(source.stem if source.suffix else name, tuple(map(str, kept.texts)), labels, groups)


def split_off(whole: TextSet, rows: int, *, seed: int) -> tuple[TextSet, TextSet]:
    """The rest, and about ``rows`` rows in whole groups: (to learn from, to score on)."""
    rng = np.random.default_rng(seed)
    names, group, sizes = np.unique(whole.groups, return_inverse=True, return_counts=True)
    taken = np.zeros(len(names), dtype=bool)
    room = rows
    for number in rng.permutation(len(names)):
        if sizes[number] <= room:
            taken[number] = True
            room -= int(sizes[number])
    outside = taken[group]
    return whole.take(np.flatnonzero(~outside)), whole.take(np.flatnonzero(outside))


def sample(whole: TextSet, rows: int, *, seed: int) -> TextSet:
    """At most ``rows`` rows, drawn at random."""
    order = np.random.default_rng(seed).permutation(len(whole))
    return whole.take(order[:rows])


def sample_per_class(whole: TextSet, rows: int, *, seed: int) -> TextSet:
    """At most ``rows`` rows of each answer, drawn at random and mixed."""
    order = np.random.default_rng(seed).permutation(len(whole))
    labels = np.array(whole.labels)[order]
    chosen = [order[labels == name][:rows] for name in whole.classes]
    return whole.take(np.random.default_rng(seed + 1).permutation(np.concatenate(chosen)))


@dataclass(frozen=True)
class Child:
    """What a command said and cost. ``problem`` is None where it ended well."""

    stdout: str
    problem: str | None
    wall_seconds: float = math.nan
    cpu_seconds: float = math.nan
    peak_gib: float = math.nan

    @property
    def told(self) -> dict[str, Any]:
        """The JSON object on its last line."""
        told: dict[str, Any] = json.loads(self.stdout.strip().splitlines()[-1])
        return told

    @property
    def cost(self) -> dict[str, float]:
        """Time and memory, as the results keep them."""
        return {
            "wall_seconds": round(self.wall_seconds, 2),
            "cpu_seconds": round(self.cpu_seconds, 2),
            "peak_gib": round(self.peak_gib, 3),
        }


def run_child(
    command: Sequence[str | Path],
    *,
    folder: Path,
    limit_minutes: float,
    environment: dict[str, str] | None = None,
) -> Child:
    """Run ``command`` in ``folder`` as a process of its own and measure it; ended after the limit."""
    cost_file = folder / "cost.json"
    cost_file.unlink(missing_ok=True)
    said = folder / "stderr.txt"
    launch = [sys.executable, "-S", str(HERE / "measure.py"), str(cost_file), "--", *map(str, command)]
    with said.open("wb") as errors:
        process = subprocess.Popen(
            launch,
            cwd=folder,
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # so that a child that takes too long is ended with its own children
        )
        try:
            stdout = process.communicate(timeout=60 * limit_minutes)[0].decode("utf-8", "replace")
        except subprocess.TimeoutExpired:
            _end(process)
            return Child("", f"{TOO_SLOW} {limit_minutes:g} minutes")
        except BaseException:
            _end(process)
            raise
    cost = json.loads(cost_file.read_text(encoding="utf-8"))
    problem = None
    if code := cost.pop("exit_code"):
        last = said.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-LAST_LINES:]
        problem = f"exit code {code}: " + "\n".join(last)
    return Child(stdout, problem, **cost)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def plaintune_command(train: Path, test: Path | None, *, minutes: float, seed: int) -> list[str]:
    """The command line that a user would type, with its answer as JSON."""
    command = [sys.executable, "-m", "plaintune", "train", str(train), "--json", "--quiet", "--yes"]
    command += ["--test", str(test)] if test is not None else []
    return [*command, "--minutes", f"{minutes:g}", "--seed", str(seed)]


def plaintune_figures(child: Child) -> dict[str, Any]:
    """What `plaintune train --json` told, under the names that every contestant uses."""
    told = child.told
    kept = ("baseline_score", "majority_score", "macro_f1", "calibration_error", "brier", "choices")
    return {
        "accuracy": told["score"],
        "interval": told["score_interval"],
        "test_rows": told["rows"],
        "seconds": told["seconds"],
        **{name: told[name] for name in kept if name in told},
    }


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="plaintune-benchmark-") as folder:
        yield Path(folder)


def peers_python() -> Path:
    """The Python of the peers' environment; says how to make it where there is none."""
    python = PEERS_ENVIRONMENT / "bin" / "python"
    if not python.exists():
        sys.exit(f"The peers' environment is not at {PEERS_ENVIRONMENT}.\nMake it: {SETUP_COMMAND}")
    return python


@dataclass(frozen=True)
class Machine:
    """What figures depend on."""

    processor: str
    cores: int
    units: str | None  # what speeds up 16-bit products

    @classmethod
    def inspect(cls) -> Machine:
        """This machine, as plaintune sees it."""
        from plaintune.core.hardware import inspect_machine

        seen = inspect_machine()
        return cls(seen.processor, seen.cores, seen.matrix_units)

    def __str__(self) -> str:
        return f"{self.processor}, {self.cores} cores" + (f", {self.units}" if self.units else "")


def package_folder() -> Path:
    """Where the plaintune that this Python runs lies: a copy on PYTHONPATH may stand in for the checkout."""
    found = importlib.util.find_spec("plaintune")
    if found is None or found.origin is None:
        sys.exit("plaintune is not installed for this Python.\nInstall it: pip install -e '.[train]'")
    return Path(found.origin).parent


def code_version() -> str:
    """A fingerprint of plaintune's source, so that figures of other code are not taken for today's."""
    folder, digest = package_folder(), hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.relative_to(folder).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:10]


def commit() -> str:
    """The commit of the checkout that plaintune runs from, or `unknown`."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=package_folder(),
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return "unknown"
    return told.stdout.strip() or "unknown"


class Results:
    """One file of JSON lines per benchmark: a line per finished piece of work, found again by its key."""

    def __init__(self, folder: Path, benchmark: str, *, again: bool = False, any_code: bool = False) -> None:
        self.file = folder / f"{benchmark}.jsonl"
        self.again = again
        self.ignored = {"code"} if any_code else set[str]()
        self.machine = asdict(Machine.inspect())
        self.commit = commit()

    def find(self, key: dict[str, Any]) -> Line | None:
        """The latest line for ``key`` on this machine; None where the work is still to be done."""
        if self.again:
            return None
        wanted = self._comparable({**key, "machine": self.machine})
        for line in reversed(read_results(self.file)):
            if "problem" in line["figures"] and not line["figures"]["problem"].startswith(TOO_SLOW):
                continue  # what was missing then may be there now
            if self._comparable({**line["key"], "machine": line["machine"]}) == wanted:
                return line
        return None

    def add(self, key: dict[str, Any], figures: dict[str, Any]) -> Line:
        """Write a finished piece of work down."""
        line = {
            "key": key,
            "figures": figures,
            "machine": self.machine,
            "commit": self.commit,
            "system": platform.platform(),
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "load": round(os.getloadavg()[0], 2),
        }
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
            out.flush()
            os.fsync(out.fileno())
        return line

    def line(self, key: dict[str, Any], work: Callable[[], dict[str, Any]]) -> Line:
        """The line for ``key``: the one found, or one of what ``work`` measures, which is written down."""
        return self.find(key) or self.add(key, work())

    def _comparable(self, key: dict[str, Any]) -> str:
        return json.dumps({k: v for k, v in key.items() if k not in self.ignored}, sort_keys=True)


def read_results(file: Path) -> list[Line]:
    """The lines of a results file, oldest first; a last line that was cut off by a kill is left out."""
    lines: list[Line] = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            lines.append(json.loads(line))
    return lines


def wilson(accuracy: float, rows: int) -> tuple[float, float]:
    """The 95% interval of an accuracy over ``rows`` rows."""
    from plaintune.core.metrics import wilson_interval

    return wilson_interval(round(accuracy * rows), rows)


def parser(description: str | None, example: str) -> argparse.ArgumentParser:
    """A parser with the options every benchmark has."""
    options = argparse.ArgumentParser(
        description=(description or "").strip().splitlines()[0],
        epilog=f"Example: {example}",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    options.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of the data sets")
    options.add_argument("--results", type=Path, default=DEFAULT_RESULTS, help="folder the figures go to")
    options.add_argument("--again", action="store_true", help="measure anew what is in the results already")
    options.add_argument(
        "--any-code", action="store_true", help="count figures of other versions of plaintune as done"
    )
    return options


def say(message: str) -> None:
    """A line of progress, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')}  {message}", file=sys.stderr, flush=True)
