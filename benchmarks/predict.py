"""Speed and start-up against the transformers pipeline: `python benchmarks/predict.py MODEL`.

The same fine-tuned encoder on both sides is not needed for the time: the pipeline runs the encoder that the
model was fine-tuned from, with a last layer of as many answers and the same token limit. Contestants take
turns in this process, so that a slower moment of the machine meets everybody.

plaintune answers all the reviews in the order they come. The pipelines, which would need an hour, answer
batches of 32 drawn at random from the same reviews sorted by length (as it would do all of them), until
--seconds are over.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from common import Results, code_version, load_set, parser, sample, say
from contestants import encoder_folder
from section import Line, Section

SHORT = (
    "the parcel came a week late and one of the two lamps in it was broken can you send me another one soon"
)
TURNS, STARTS = 10, 5
SHORT_TURNS, SHORT_TEXTS, PAUSE_SECONDS = 5, 20, 1.0
BATCH = 32
Ask = Callable[[list[str]], Any]


def pipelines(answers: int, limit: int) -> dict[str, Ask]:
    """The pipeline as it comes, in batches by length, and the same in bf16."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    tokenizer = AutoTokenizer.from_pretrained(encoder_folder())
    made: dict[str, Ask] = {}
    for name, kind in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        model = AutoModelForSequenceClassification.from_pretrained(
            encoder_folder(), num_labels=answers, dtype=kind
        )
        ask = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
        cut: dict[str, Any] = {"truncation": True, "max_length": limit}
        if name == "float32":
            made["pipeline, as it comes"] = partial(ask, **cut)
        made[f"pipeline, {name}, batches of {BATCH}, sorted"] = partial(_sorted, ask, batch_size=BATCH, **cut)
    return made


def _sorted(ask: Ask, texts: list[str], **options: Any) -> Any:
    return ask(sorted(texts, key=len), **options)


def texts_per_second(contestants: dict[str, Ask], texts: list[str], seconds: float) -> dict[str, Any]:
    """Rows answered, and how many a second, by contestant; the first one answers all."""
    by_length = sorted(texts, key=len)
    batches = [by_length[first : first + BATCH] for first in range(0, len(texts), BATCH)]
    drawn = [batches[at] for at in np.random.default_rng(0).permutation(len(batches))]
    own, *others = contestants
    waiting = {name: list(drawn) for name in others}
    rows, used = dict.fromkeys(contestants, 0), dict.fromkeys(contestants, 0.0)

    def turn(name: str, part: list[str]) -> None:
        started = time.perf_counter()
        contestants[name](part)
        used[name] += time.perf_counter() - started
        rows[name] += len(part)

    for number in range(TURNS):
        turn(own, texts[number::TURNS])
        for name in others:
            while waiting[name] and used[name] < seconds * (number + 1) / TURNS:
                turn(name, waiting[name].pop())
        told = ", ".join(f"{name} {rows[name] / used[name]:.1f}" for name in contestants)
        say(f"turn {number + 1} of {TURNS}, texts a second: {told}")
    return {name: {"rows": rows[name], "texts_per_second": rows[name] / used[name]} for name in contestants}


def latency_ms(contestants: dict[str, Ask]) -> dict[str, float]:
    """The median for a single text of about 30 tokens; each answers some in its turn, after a pause.

    Threads of the one before keep a core busy for a while, waiting for more work.
    """
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(SHORT_TURNS):
        for name, ask in contestants.items():
            time.sleep(PAUSE_SECONDS)
            ask([SHORT])
            for _ in range(SHORT_TEXTS):
                started = time.perf_counter()
                ask([SHORT])
                taken[name].append(time.perf_counter() - started)
    return {name: 1000 * float(np.median(seconds)) for name, seconds in taken.items()}


def start_seconds(model: Path) -> float:
    """`plaintune predict MODEL "text"` from nothing: the median of a few."""
    command = [sys.executable, "-m", "plaintune", "predict", str(model), SHORT]
    taken = []
    for _ in range(STARTS):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))


def measure(folder: Path, data: Path, rows: int, limit: int, seconds: float) -> dict[str, Any]:
    """All three figures of every contestant."""
    from plaintune.model.predict import Model

    texts = list(sample(load_set("imdb", data), rows, seed=0).texts)
    model = Model.load(folder)
    model._graph.max_length, model._graph.windows = limit, 1  # the same tokens on both sides
    contestants = {"plaintune": model.predict, **pipelines(len(model.classes), limit)}
    for ask in contestants.values():
        ask(texts[:16])
    late = latency_ms(contestants)
    say("a short text: " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in late.items()))
    speed = texts_per_second(contestants, texts, seconds)
    return {
        "start_seconds": start_seconds(folder),
        "numbers": [c["value"] for c in model.manifest.choices if c["name"].startswith("numbers of")],
        "contestants": {name: {**speed[name], "p50_ms": late[name]} for name in contestants},
    }


def rows_of(lines: list[Line]) -> list[list[str]]:
    """A row per contestant of the last run."""
    contestants = lines[-1]["figures"]["contestants"]
    own = contestants["plaintune"]
    return [
        [
            name, f"{told['rows']:,}", f"{told['texts_per_second']:.1f}",
            f"{own['texts_per_second'] / told['texts_per_second']:.1f}", f"{told['p50_ms']:.1f} ms",
            f"{told['p50_ms'] / own['p50_ms']:.1f}",
        ]
        for name, told in contestants.items()
    ]  # fmt: skip


def closing(lines: list[Line]) -> str:
    """In which numbers plaintune worked, and how long it takes to begin."""
    figures = lines[-1]["figures"]
    start = f"`plaintune predict` from nothing: {figures['start_seconds']:.2f} s"
    return f"plaintune's numbers: {', '.join(figures['numbers']) or 'float32'}; {start}."


SECTION = Section(
    "predict",
    "Answering on a CPU",
    ("", "reviews", "a second", "plaintune is × as fast", "a short text", "plaintune is × as fast"),
    rows_of,
    lambda line: f"{line['key']['model']}, {line['key']['limit']} tokens",
    closing,
)


def main() -> None:
    """Measure, unless the results are there already."""
    options = parser(__doc__, "python benchmarks/predict.py imdb-model --rows 5000")
    options.add_argument("model", type=Path, help="a model folder made from the bundled encoder")
    options.add_argument("--rows", type=int, default=5000, help="IMDB reviews to answer")
    options.add_argument("--max-length", type=int, default=256, help="tokens of a text that are seen")
    options.add_argument("--seconds", type=float, default=60, help="that each pipeline answers reviews")
    asked = options.parse_args(sys.argv[1:])
    results = Results(asked.results, "predict", again=asked.again, any_code=asked.any_code)
    key = {"model": asked.model.name, "rows": asked.rows, "limit": asked.max_length, "code": code_version()}
    key["seconds"] = asked.seconds
    work = partial(measure, asked.model, asked.data, asked.rows, asked.max_length, asked.seconds)
    with contextlib.redirect_stdout(sys.stderr):
        line = results.line(key, work)
    SECTION.show([line])


if __name__ == "__main__":
    main()
