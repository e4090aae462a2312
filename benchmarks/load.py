"""`plaintune serve` asked for twice what it can do, then all day: `python benchmarks/load.py MODEL`.

Overload: how many requests a second it answers is measured with clients that wait for their answers. Then
twice as many are sent, at fixed times whatever comes back, and each must be answered by 200, 429 or 503.
Client and server share this machine. `--soak MINUTES` instead asks all sorts of things without pause, and
watches how much memory the server holds. Ends with exit code 1 where a bar is broken.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from common import Results, code_version, parser, say
from section import Line, Section, each, model_of
from serve import ask_for, running, sample_texts

SOAKED = {"200", "404", "422", "429"}
QUEUE = 200  # texts that may wait: the bound of how long an answer can take
CAPACITY_CLIENTS, CAPACITY_SECONDS = 16, 8.0
OVERLOAD = 2.0
ALLOWED = {200, 429, 503}
SLACK = 3.0  # the wait for a full queue is queue / capacity; client and server share the cores
SOAK_CLIENTS = 4
GROWTH_MB = 10.0  # from the second quarter of a soak to the last: memory is flat below that


class Connections:
    """Connections to the service, as many as are in use at a time; each is used again."""

    def __init__(self, address: str) -> None:
        split = urlsplit(address)
        self.host, self.port = split.hostname, split.port
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, path: str, body: bytes | None) -> int:
        """GET, or POST with a body; the status."""
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection(self.host, self.port)
        method = "GET" if body is None else "POST"
        head = f"{method} {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body or b'')}\r\n\r\n".encode() + (body or b""))
        answered = await reader.readuntil(b"\r\n\r\n")
        headers = dict(line.split(b": ", 1) for line in answered.lower().split(b"\r\n")[1:] if line)
        await reader.readexactly(int(headers[b"content-length"]))
        if headers.get(b"connection") == b"close":
            writer.close()
        else:
            self.idle.append((reader, writer))
        return int(answered.split()[1])


async def overload(address: str, texts: list[str], rate: float, seconds: float) -> dict[str, Any]:
    """What became of ``rate`` requests a second, sent at fixed times."""
    connections, told, late = Connections(address), Counter[str](), list[float]()

    async def one(text: str) -> None:
        started = time.perf_counter()
        try:
            status = await connections.ask("/predict", json.dumps({"text": text}).encode())
        except (OSError, EOFError) as error:
            told[type(error).__name__] += 1
            return
        told[str(status)] += 1
        if status == 200:
            late.append(time.perf_counter() - started)

    begun, sent, tasks = time.perf_counter(), 0, set[asyncio.Task[None]]()
    while (now := time.perf_counter() - begun) < seconds:
        while sent < rate * now:
            task = asyncio.create_task(one(texts[sent % len(texts)]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(0.002)
    await asyncio.gather(*tasks)
    whole = time.perf_counter() - begun
    quantiles = {f"p{q}_ms": 1000 * float(np.percentile(late, q)) for q in (50, 99)}
    return {"sent": sent, "told": dict(told), "answered_per_second": len(late) / whole, **quantiles}


def measure_overload(model: Path, seconds: float) -> dict[str, Any]:
    """Capacity, and what comes of twice as much."""
    texts = sample_texts()
    with running(model, 64, "--queue", str(QUEUE)) as (address, _):
        asyncio.run(ask_for(address, texts, CAPACITY_CLIENTS, CAPACITY_SECONDS / 4))
        taken = asyncio.run(ask_for(address, texts, CAPACITY_CLIENTS, CAPACITY_SECONDS))
        capacity = len(taken) / CAPACITY_SECONDS
        say(f"{capacity:.0f} requests a second; now {OVERLOAD:g} times as many for {seconds:g} s")
        found = asyncio.run(overload(address, texts, OVERLOAD * capacity, seconds))
    bound = SLACK * 1000 * (QUEUE + 64) / capacity
    return {"capacity": capacity, "bound_ms": bound, "queue": QUEUE, **found}


def questions(texts: list[str]) -> Iterator[tuple[str, bytes | None]]:
    """All sorts of requests, some of them wrong, for ever."""
    for number, text in enumerate(cycle(texts)):
        yield "/predict", json.dumps({"text": text}).encode()
        if number % 10 == 0:
            yield "/predict", json.dumps({"texts": [f"{text} {number} {at}" for at in range(20)]}).encode()
            yield "/predict", b'{"text": '
            yield "/metrics", None
        if number % 50 == 0:
            yield "/explain", json.dumps({"text": text}).encode()
            yield f"/nothing/{number}", None


async def soak(address: str, process: int, minutes: float) -> dict[str, Any]:
    """What was answered, and the server's memory in MB every few seconds."""
    connections, told, memory = Connections(address), Counter[str](), list[float]()
    until = time.monotonic() + 60 * minutes
    asked = questions(sample_texts())

    async def client() -> None:
        while time.monotonic() < until:
            told[str(await connections.ask(*next(asked)))] += 1

    async def watch() -> None:
        while time.monotonic() < until:
            memory.append(resident_mb(process))
            await asyncio.sleep(0.6 * minutes)  # a hundred times in all

    await asyncio.gather(watch(), *(client() for _ in range(SOAK_CLIENTS)))
    return {"told": dict(told), "memory_mb": memory}


def resident_mb(process: int) -> float:
    """The memory that a process holds."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure_soak(model: Path, minutes: float) -> dict[str, Any]:
    """A service of its own, asked without pause."""
    with running(model, 64) as (address, process):
        return asyncio.run(soak(address, process, minutes))


def growth_mb(memory: list[float]) -> float:
    """From the second quarter of the time (the first is warm-up) to the last one, medians."""
    quarter = len(memory) // 4
    return float(np.median(memory[-quarter:]) - np.median(memory[quarter : 2 * quarter]))


def broken(line: Line) -> bool:
    """Whether a bar is."""
    found = line["figures"]
    if line["key"]["soak"]:
        return growth_mb(found["memory_mb"]) > GROWTH_MB or bool(set(found["told"]) - SOAKED)
    return bool(set(found["told"]) - set(map(str, ALLOWED))) or found["p99_ms"] > found["bound_ms"]


def row(line: Line) -> list[str]:
    """A run under twice the load, or a soak."""
    key, found = line["key"], line["figures"]
    told = ", ".join(f"{count:,} × {status}" for status, count in sorted(found["told"].items()))
    if key["soak"]:
        memory = found["memory_mb"]
        grown = f"memory {min(memory):.0f} to {max(memory):.0f} MB, growth {growth_mb(memory):+.1f}"
        return [f"{key['soak']:g} minutes of all sorts", told, grown]
    what = f"{key['seconds']:g} s at twice {found['capacity']:.0f} requests a second"
    took = f"p50 {found['p50_ms']:.0f} ms, p99 {found['p99_ms']:.0f} ms of at most {found['bound_ms']:.0f}"
    return [what, told, took]


SECTION = Section(
    "load",
    "A service under load",
    ("what", "what came back", "and"),
    each(row),
    model_of,
)


def main() -> None:
    """Measure, unless the results are there already; exit code 1 where a bar is broken."""
    options = parser(__doc__, "python benchmarks/load.py demo-model --soak 10")
    options.add_argument("model", type=Path, help="a model folder, such as the demo's")
    options.add_argument("--seconds", type=float, default=60.0, help="of overload")
    options.add_argument("--soak", type=float, metavar="MINUTES", help="watch the memory for so long instead")
    asked = options.parse_args(sys.argv[1:])
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection for each request that waits
    results = Results(asked.results, "load", again=asked.again, any_code=asked.any_code)
    key = {"model": asked.model.name, "seconds": asked.seconds, "soak": asked.soak, "code": code_version()}
    work = (
        partial(measure_soak, asked.model, asked.soak)
        if asked.soak
        else partial(measure_overload, asked.model, asked.seconds)
    )
    line = results.line(key, work)
    SECTION.show([line])
    sys.exit(broken(line))


if __name__ == "__main__":
    main()
