"""A contestant of `throughput.py`: a process that takes a few training steps when it is its turn."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from contestants import encoder_folder, read_table, tokenised

PRODUCTS = {"bf16": "bfloat16", "float32": "float32"}  # our name → torch's
PRODUCT_ROWS, PRODUCT_SECONDS = 2048, 1.0
TRAINERS = {  # name → (bf16, dropout)
    "trainer": (False, True),
    "trainer-bf16": (True, True),
    "trainer-bf16-no-dropout": (True, False),
    "trainer-no-dropout": (False, False),
}


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


def main() -> None:
    """Be one contestant."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("name", choices=["plaintune", "products", *TRAINERS])
    options.add_argument("--train", type=Path, required=True, help="table to learn from")
    options.add_argument("--max-length", type=int, required=True, help="tokens")
    options.add_argument("--batch", type=int, required=True, help="rows")
    asked = options.parse_args()
    reports, sys.stdout = sys.stdout, sys.stderr  # so that what a library prints is no report
    turns = Turns(reports)
    if asked.name == "plaintune":
        train_plaintune(asked, turns)
    elif asked.name == "products":
        measure_products(turns)
    else:
        bf16, dropout = TRAINERS[asked.name]
        train_trainer(asked, turns, bf16=bf16, dropout=dropout)


if __name__ == "__main__":
    main()
