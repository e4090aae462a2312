"""Parts of one training step side by side: each worker is a thread with its share of the processor's cores.

Two single threads are faster than two cores at one product after another (docs/experiments.md).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch

MOST_WORKERS = 4
_hiring = threading.Lock()


def workers(most: int) -> int:
    """How many parts go side by side: ``most`` at most, and so many that torch's cores divide evenly."""
    cores = torch.get_num_threads()
    return next(size for size in range(max(1, min(MOST_WORKERS, most)), 0, -1) if cores % size == 0)


def side_by_side(work: Callable[[Any], Any], parts: Iterable[Any]) -> list[Any]:
    """What ``work`` gives for each of the parts, in their order, each worked on by a worker."""
    waiting = list(parts)
    if len(waiting) < 2:
        return [work(part) for part in waiting]  # on all cores
    with _hiring:
        pool = _pool(len(waiting), torch.get_num_threads())
    return list(pool.map(work, waiting))


@cache
def _pool(size: int, cores: int) -> ThreadPoolExecutor:
    all_begun = threading.Barrier(size)

    def begin(_: int) -> None:
        torch.get_num_threads()  # from here on this thread has a number of its own
        torch.set_num_threads(max(1, cores // size))
        all_begun.wait()

    pool = ThreadPoolExecutor(size, "worker")
    list(pool.map(begin, range(size)))
    torch.set_num_threads(cores)  # theirs would be that of every thread begun from here on
    return pool


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # no thread lives on there
