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
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

import numpy as np

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
from contestants import encoder_folder, read_table, tokenised
from section import Line, Section

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
PRODUCTS = {"bf16": "bfloat16", "float32": "float32"}  # our name → torch's
PRODUCT_ROWS, PRODUCT_SECONDS = 2048, 1.0
TRAINERS = {  # name → (bf16, dropout)
    "trainer": (False, True),
    "trainer-bf16": (True, True),
    "trainer-bf16-no-dropout": (True, False),
    "trainer-no-dropout": (False, False),
}
USUAL = ("trainer", "trainer-bf16", "trainer-bf16-no-dropout", "plaintune")
NO_AMX = ("trainer", "trainer-no-dropout", "plaintune")


# --- the children -------------------------------------------------------------------------------------------


class Turns:
    """The child's end: waits for a line `N` on stdin, reports N steps on stdout."""

    def __init__(self, reports: TextIO) -> None:
        self.reports = reports
        self.left = 0
        self.tokens, self.seconds, self.started = 0, 0.0, 0.0

    def wait(self) -> bool:
        """Before a step: wait for a turn unless one is on; False where there will be none."""
        if self.left == 0:
            line = sys.stdin.readline().strip()
            if not line:
                return False
            self.left, self.tokens, self.seconds = int(line), 0, 0.0
        self.started = time.perf_counter()
        return True

    def step_done(self, tokens: int) -> None:
        """After a step; tells the parent once the turn is over."""
        self.seconds += time.perf_counter() - self.started
        self.tokens += tokens
        self.left -= 1
        if self.left == 0:
            self.report({"tokens": self.tokens, "seconds": self.seconds})

    def ready(self, numbers: str) -> None:
        """The first line: what this contestant computes with."""
        import torch

        versions = [f"{name} {metadata.version(name)}" for name in ("torch", "transformers")]
        self.report({"numbers": numbers, "threads": torch.get_num_threads(), "versions": versions})

    def report(self, told: dict[str, Any]) -> None:
        """A line to the parent."""
        print(json.dumps(told), file=self.reports, flush=True)


def train_plaintune(options: argparse.Namespace, turns: Turns) -> None:
    """plaintune's own steps, as `plaintune train` takes them."""
    from plaintune.core.events import silent
    from plaintune.core.settings import Settings
    from plaintune.learn.learner import prepare
    from plaintune.learn.network import load_network
    from plaintune.learn.steps import Stepper

    texts, names = read_table(options.train)
    classes = sorted(set(names))
    labels = np.array([classes.index(name) for name in names], dtype=np.int64)
    learner = prepare(Settings(), silent)
    tokens = learner.tokens(np.array(texts, dtype=object), options.max_length)
    stepper = Stepper(tokens, labels, learner.backbone.pad_id, learner.device)
    network = load_network(learner.backbone, len(classes), learner.device)
    optimizer = stepper.optimizer(network)
    turns.ready(str(learner.device.choice.value))
    for batch in stepper.endless_batches(rows_per_batch=options.batch, seed=0):
        if len(batch.labels) < options.batch:
            continue
        if not turns.wait():
            return
        stepper.step(network, optimizer, batch, rate=2e-5)
        turns.step_done(int(batch.tokens.lengths.sum()))


def train_trainer(options: argparse.Namespace, turns: Turns, *, bf16: bool, dropout: bool) -> None:
    """`Trainer.train()` itself, held up between steps by a callback."""
    from transformers import (
        AutoConfig,
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )
    from transformers import logging as library_logging

    library_logging.set_verbosity_error()
    texts, names = read_table(options.train)
    classes = sorted(set(names))
    off = {} if dropout else {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = AutoConfig.from_pretrained(encoder_folder(), num_labels=len(classes), **off)
    tokenizer = AutoTokenizer.from_pretrained(encoder_folder())
    collate, sizes = _counted(DataCollatorWithPadding(tokenizer))
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=options.batch,
            max_steps=1_000_000,
            bf16=bf16,
            use_cpu=True,
            dataloader_drop_last=True,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        model = AutoModelForSequenceClassification.from_pretrained(encoder_folder(), config=config)
        numbers = [classes.index(name) for name in names]
        turns.ready("bf16" if bf16 else "float32")
        Trainer(
            model=model,
            args=arguments,
            train_dataset=tokenised(tokenizer, texts, options.max_length, numbers),
            data_collator=collate,
            callbacks=[_turn_taking(turns, sizes)],
        ).train()


def _counted(collator: Callable[[Any], Any]) -> tuple[Callable[[Any], Any], deque[int]]:
    """The collator, and the tokens of the batches it made that no step has used yet."""
    sizes: deque[int] = deque()

    def collate(rows: Any) -> Any:
        batch = collator(rows)
        sizes.append(int(batch["attention_mask"].sum()))
        return batch

    return collate, sizes


def _turn_taking(turns: Turns, sizes: deque[int]) -> Any:
    from transformers import TrainerCallback

    class TurnTaking(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if not turns.wait():
                os._exit(0)  # there is no way out of a step before it is taken

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            turns.step_done(sizes.popleft())

    return TurnTaking()


def measure_products(turns: Turns) -> None:
    """This machine's own matrix products: a turn reports the best GFLOP/s in bf16 and in float32."""
    import torch

    turns.ready("")
    while sys.stdin.readline().strip():
        turns.report({name: _gflops(torch, getattr(torch, kind)) for name, kind in PRODUCTS.items()})


def _gflops(torch: Any, number_format: Any) -> float:
    rows = torch.ones(PRODUCT_ROWS, PRODUCT_ROWS, dtype=number_format)
    fastest, begun = float("inf"), time.perf_counter()
    while time.perf_counter() - begun < PRODUCT_SECONDS or fastest == float("inf"):
        started = time.perf_counter()
        torch.nn.functional.linear(rows, rows)
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * PRODUCT_ROWS**3 / fastest / 1e9


def child(options: argparse.Namespace) -> None:
    """Be one contestant."""
    reports, sys.stdout = sys.stdout, sys.stderr  # so that what a library prints is no report
    turns = Turns(reports)
    if options.child == "plaintune":
        train_plaintune(options, turns)
    elif options.child == "products":
        measure_products(turns)
    else:
        bf16, dropout = TRAINERS[options.child]
        train_trainer(options, turns, bf16=bf16, dropout=dropout)


# --- the parent ---------------------------------------------------------------------------------------------


class Contestant:
    """A child process that takes turns."""

    def __init__(
        self, name: str, python: Path, train: Path, options: argparse.Namespace, *, log: Path
    ) -> None:
        self.name = name
        self.log = log
        command = [str(python), str(HERE / "throughput.py"), "--child", name, "--train", str(train)]
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
    options.add_argument("--child", help=argparse.SUPPRESS)
    options.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    asked = options.parse_args(arguments)
    asked.only = asked.only or list(NO_AMX if asked.no_amx else USUAL)
    return asked


def main() -> None:
    """Measure and print a line per contestant; or be a contestant."""
    options = options_from(sys.argv[1:])
    if options.child:
        child(options)
        return
    results = Results(options.results, "throughput", again=options.again, any_code=options.any_code)
    names = ("max_length", "batch", "rows", "rounds", "steps", "no_amx", "only")
    key = {"data": options.set, **{name: getattr(options, name) for name in names}, "code": code_version()}
    SECTION.show([results.line(key, partial(measure, options))])


if __name__ == "__main__":
    main()
