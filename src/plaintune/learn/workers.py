"""Parts of one training step side by side: each worker is a thread with some of the processor's cores.

Two single threads are faster than two cores at one product after another, most of all for few short texts
(docs/experiments.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch

MOST_WORKERS = 4


def workers() -> int:
    """How many parts go side by side on the cores that torch was given, as many cores for each."""
    cores = torch.get_num_threads()
    return next(size for size in range(MOST_WORKERS, 0, -1) if cores % size == 0)


def side_by_side(work: Callable[[Any], Any], parts: Iterable[Any]) -> list[Any]:
    """What ``work`` gives for each of the parts, in their order, each worked on by a worker."""
    waiting = list(parts)
    if len(waiting) < 2:
        return [work(part) for part in waiting]  # on all cores
    return list(_pool(workers(), torch.get_num_threads()).map(work, waiting))


@cache
def _pool(size: int, cores: int) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(size, "worker", torch.set_num_threads, (cores // size,))
    all_begun = threading.Barrier(size)
    list(pool.map(lambda _: all_begun.wait(), range(size)))
    torch.set_num_threads(cores)  # the workers' number would be that of every thread begun from here on
    return pool
