"""Requests a second and latency of `plaintune serve`, one text each: `python benchmarks/serve.py MODEL`.

Clients that keep their connection and ask without pause, with and without batching across requests; the two
take turns, round after round, so that a noisy neighbour meets both. Client and server share this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from common import Results, code_version, parser, say, scratch_folder
from section import Line, Section, model_of

ARMS = {"batched": 64, "one by one": 1}
ROUNDS = 3
HEAD = "POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"


def sample_texts() -> list[str]:
    """The messages that the demo trains on."""
    file = resources.files("plaintune") / "sample" / "messages.csv"
    with file.open(encoding="utf-8") as lines:
        return [row["message"] for row in csv.DictReader(lines)]


@contextlib.contextmanager
def running(model: Path, batch: int, *more: str) -> Iterator[tuple[str, int]]:
    """The address of `plaintune serve MODEL` and its process, for the length of a with."""
    options = ["--port", "0", "--batch", str(batch), "--quiet", *more]
    with scratch_folder() as folder, (folder / "log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "plaintune", "serve", str(model), *options], stdout=log
        )
        try:
            while not (started := (folder / "log").read_text()).endswith("\n"):
                assert process.poll() is None, "the service ended"
                time.sleep(0.1)
            yield json.loads(started)["address"], process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


async def client(address: str, texts: list[str], until: float, seconds: list[float]) -> None:
    """Ask one text after the other on one connection, and note how long each took."""
    split = urlsplit(address)
    reader, writer = await asyncio.open_connection(split.hostname, split.port)
    number = 0
    while time.perf_counter() < until:
        body = json.dumps({"text": texts[number % len(texts)]}).encode()
        started = time.perf_counter()
        writer.write(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answered = await reader.readuntil(b"\r\n\r\n")
        assert answered.startswith(b"HTTP/1.1 200"), answered
        length = next(line for line in answered.lower().split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(int(length.split(b":")[1]))
        seconds.append(time.perf_counter() - started)
        number += 1
    writer.close()


async def ask_for(address: str, texts: list[str], clients: int, duration: float) -> list[float]:
    """The seconds each request took."""
    seconds: list[float] = []
    until = time.perf_counter() + duration
    shifted = [texts[offset:] + texts[:offset] for offset in range(clients)]
    await asyncio.gather(*(client(address, own, until, seconds) for own in shifted))
    return seconds


def measure(model: Path, clients: list[int], duration: float) -> dict[str, Any]:
    """Requests a second and latency by arm and number of clients."""
    texts = sample_texts()
    taken: dict[tuple[str, int], list[float]] = {}
    for number in range(ROUNDS):
        for arm, batch in ARMS.items():
            say(f"round {number + 1} of {ROUNDS}: {arm}")
            with running(model, batch) as (address, _):
                asyncio.run(ask_for(address, texts, 4, 1.0))  # warm-up
                for count in clients:
                    seconds = asyncio.run(ask_for(address, texts, count, duration))
                    taken.setdefault((arm, count), []).extend(seconds)
    return {
        f"{arm}, {count}": {
            "requests_per_second": len(seconds) / (ROUNDS * duration),
            "p50_ms": 1000 * float(np.percentile(seconds, 50)),
            "p95_ms": 1000 * float(np.percentile(seconds, 95)),
        }
        for (arm, count), seconds in taken.items()
    }


def rows_of(lines: list[Line]) -> list[list[str]]:
    """A row per arm and number of clients of the last run."""
    return [
        [arm, f"{told['requests_per_second']:.0f}", f"{told['p50_ms']:.1f} ms", f"{told['p95_ms']:.1f} ms"]
        for arm, told in lines[-1]["figures"].items()
    ]


SECTION = Section(
    "serve",
    "Answering over HTTP",
    ("how, clients", "requests a second", "p50", "p95"),
    rows_of,
    model_of,
)


def main() -> None:
    """Measure, unless the results are there already."""
    options = parser(__doc__, "python benchmarks/serve.py demo-model")
    options.add_argument("model", type=Path, help="a model folder, such as the demo's")
    options.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    options.add_argument("--seconds", type=float, default=5.0, help="of each measurement, three rounds")
    asked = options.parse_args(sys.argv[1:])
    results = Results(asked.results, "serve", again=asked.again, any_code=asked.any_code)
    key = {
        "model": asked.model.name,
        "clients": asked.clients,
        "seconds": asked.seconds,
        "code": code_version(),
    }
    SECTION.show([results.line(key, partial(measure, asked.model, asked.clients, asked.seconds))])


if __name__ == "__main__":
    main()
