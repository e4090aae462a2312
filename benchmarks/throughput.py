"""Training tokens per second, plaintune against Hugging Face Trainer: `python benchmarks/throughput.py`.

Same encoder, texts, length, batch and machine. Each contestant is a process that waits for its turn; turns of
a few steps go round, so that a slower moment of the machine meets everybody, and medians are quoted. Tokens
are those of the texts, padding not counted. `--no-amx` measures float32 on machines without 16-bit units.
Trainer needs accelerate: where this Python lacks it, the peers' environment is used
(`python benchmarks/peers.py --setup`). Four processes of 1 to 2 GiB are alive at once.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from common import (
    HERE,
    KNOWN_SETS,
    Results,
    code_version,
    load_set,
    parser,
    peers_python,
    sample,
    say,
    scratch_folder,
)
from contestants import encoder_folder
from section import Line, Section
from turns import PRODUCTS, TRAINERS

TITLES = {
    "trainer": "Hugging Face Trainer, defaults",
    "trainer-bf16": "Hugging Face Trainer, bf16",
    "trainer-bf16-no-dropout": "Hugging Face Trainer, bf16, dropout off",
    "trainer-no-dropout": "Hugging Face Trainer, dropout off",
}


def speed_rows(lines: list[Line]) -> list[list[str]]:
    """A row per contestant of the last run."""
    figures = lines[-1]["figures"]
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


def speed_title(line: Line) -> str:
    """What was learned from, and how."""
    key = line["key"]
    what = f"{key['data']} at {key['max_length']} tokens, batches of {key['batch']}"
    return what + (", no AMX, float32" if key["no_amx"] else "")


SECTION = Section(
    "throughput",
    "Training speed",
    ("contestant", "tokens/s", "plaintune is … times as fast", "GFLOP/s", "of the best products"),
    speed_rows,
    speed_title,
)

CPUINFO = Path("/proc/cpuinfo")
# what oneDNN calls AVX-512 (where there is any) and AVX2 without 16-bit products
NO_AMX_ISA = "AVX512_CORE" if CPUINFO.exists() and "avx512f" in CPUINFO.read_text() else "AVX2"
USUAL = ("trainer", "trainer-bf16", "trainer-bf16-no-dropout", "plaintune")
NO_AMX = ("trainer", "trainer-no-dropout", "plaintune")


class Contestant:
    """A child process that takes turns."""

    def __init__(
        self, name: str, python: Path, train: Path, options: argparse.Namespace, *, log: Path
    ) -> None:
        self.name = name
        self.log = log
        command = [str(python), str(HERE / "turns.py"), name, "--train", str(train)]
        command += ["--max-length", str(options.max_length), "--batch", str(options.batch)]
        no_amx = {"ONEDNN_MAX_CPU_ISA": NO_AMX_ISA, "PLAINTUNE_NUMBER_FORMAT": "float32"}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            text=True,
            env=os.environ | (no_amx if options.no_amx else {}),
        )
        self.about = self._told()

    def turn(self, steps: int) -> dict[str, Any]:
        """Let it take its turn."""
        assert self.process.stdin is not None
        print(steps, file=self.process.stdin, flush=True)
        return self._told()

    def end(self) -> None:
        """Send it home."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def _told(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            last = "\n".join(self.log.read_text().strip().splitlines()[-12:])
            sys.exit(f"{self.name} ended early:\n{last}")
        told: dict[str, Any] = json.loads(line)
        return told


def python_of(name: str) -> Path:
    """Trainer runs where accelerate is; plaintune and the products where this script runs."""
    here = Path(sys.executable)
    if name not in TRAINERS or importlib.util.find_spec("accelerate") is not None:
        return here
    return peers_python()


def flop_per_token(max_length: int) -> float:
    """Of a training step, by the usual count: two per weight forwards, twice that back, and attention."""
    config = json.loads((encoder_folder() / "config.json").read_text())
    hidden, inner, layers = (
        config[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers")
    )
    weights: int = layers * (4 * hidden * hidden + 2 * hidden * inner)
    attention: int = layers * 4 * max_length * hidden
    return 3.0 * (2 * weights + attention)


def rounds(contestants: list[Contestant], options: argparse.Namespace) -> Iterator[dict[str, float]]:
    """Warm everybody up, then round after round: tokens per second (products: GFLOP/s)."""
    for contestant in contestants:
        if contestant.name != "products":
            contestant.turn(options.warm_up)
    for number in range(options.rounds):
        found: dict[str, float] = {}
        for contestant in contestants:
            told = contestant.turn(options.steps)
            if contestant.name == "products":
                found |= told
            else:
                found[contestant.name] = told["tokens"] / told["seconds"]
        say(
            f"round {number + 1} of {options.rounds}: " + ", ".join(f"{k} {v:,.0f}" for k, v in found.items())
        )
        yield found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All contestants, interleaved."""
    whole = sample(load_set(options.set, options.data), options.rows, seed=0)
    if len(whole) < options.batch:
        sys.exit(f"{len(whole)} rows do not fill a batch of {options.batch}.\nGive more: --rows, or --batch.")
    with scratch_folder() as folder:
        train = whole.write_csv(folder / "train.csv")
        contestants = [
            Contestant(name, python_of(name), train, options, log=folder / f"{name}.log")
            for name in ["products", *options.only]
        ]
        found = list(rounds(contestants, options))
        for contestant in contestants:
            contestant.end()
    return {
        "tokens_per_second": {name: [each[name] for each in found] for name in options.only},
        "peak_gflops": {name: max(each[name] for each in found) for name in PRODUCTS},
        "flop_per_token": flop_per_token(mean_length(whole.texts, options.max_length)),
        "about": {contestant.name: contestant.about for contestant in contestants},
    }


def mean_length(texts: tuple[str, ...], max_length: int) -> int:
    """Tokens of a text on average, cut to ``max_length``."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(encoder_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return round(statistics.mean(len(row.ids) for row in tokenizer.encode_batch(list(texts[:500]))))


def options_from(arguments: list[str]) -> argparse.Namespace:
    """What was asked for."""
    options = parser(__doc__, "python benchmarks/throughput.py --set imdb --max-length 256 --rounds 7")
    options.add_argument("--set", default="imdb", help=f"{', '.join(KNOWN_SETS)}, or a file")
    options.add_argument("--rows", type=int, default=2000, help="texts that batches are drawn from")
    options.add_argument("--max-length", type=int, default=256, help="tokens")
    options.add_argument("--batch", type=int, default=32, help="rows")
    options.add_argument("--rounds", type=int, default=5, help="turns of each contestant")
    options.add_argument("--steps", type=int, default=4, help="of a turn")
    options.add_argument("--warm-up", type=int, default=2, help="steps before the first round")
    options.add_argument("--no-amx", action="store_true", help=f"float32, oneDNN held to {NO_AMX_ISA}")
    options.add_argument("--only", nargs="+", choices=["plaintune", *TRAINERS], help="some contestants only")
    asked = options.parse_args(arguments)
    asked.only = asked.only or list(NO_AMX if asked.no_amx else USUAL)
    return asked


def main() -> None:
    """Measure and print a line per contestant."""
    options = options_from(sys.argv[1:])
    results = Results(options.results, "throughput", again=options.again, any_code=options.any_code)
    names = ("max_length", "batch", "rows", "rounds", "steps", "no_amx", "only")
    key = {"data": options.set, **{name: getattr(options, name) for name in names}, "code": code_version()}
    SECTION.show([results.line(key, partial(measure, options))])


if __name__ == "__main__":
    main()
