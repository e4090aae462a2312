"""Texts of many requests answered together, off the event loop.

No timer: while the model works, requests wait, and what waits is the next batch. A lone request is answered
at once; under load batches grow by themselves. Each request gets its turn in every batch, so a long list does
not hold up a short one. A request is answered by one model, whatever is loaded meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

M = TypeVar("M")  # a model
A = TypeVar("A")  # an answer
TURN_TEXTS = 16  # of one request in a batch, before the next request has its turn


class Full(Exception):
    """Too much waits already."""


@dataclass(eq=False)
class _Request(Generic[M, A]):
    model: M
    texts: Sequence[str]
    done: asyncio.Future[list[A]]
    taken: int = 0
    answers: list[A] = field(default_factory=list)

    @property
    def left(self) -> int:
        return len(self.texts) - self.taken


class Batcher(Generic[M, A]):
    """`ask` answers texts by way of ``answer(model, texts)``, run in one thread of its own."""

    def __init__(
        self,
        answer: Callable[[M, Sequence[str]], list[A]],
        *,
        batch_texts: int,
        most_waiting: int,
        on_batch: Callable[[int], None] = lambda texts: None,
    ) -> None:
        self.answer, self.on_batch = answer, on_batch
        self.batch_texts, self.most_waiting = batch_texts, most_waiting
        self.waiting = 0  # texts not answered yet
        self._requests: deque[_Request[M, A]] = deque()
        self._thread = ThreadPoolExecutor(1, "plaintune-model")
        self._something = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    async def ask(self, model: M, texts: Sequence[str]) -> list[A]:
        """An answer to each text. Raises Full at once where too many texts wait; one request always may."""
        if self.waiting and self.waiting + len(texts) > self.most_waiting:
            raise Full
        if not texts:
            return []
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        request: _Request[M, A] = _Request(model, texts, asyncio.get_running_loop().create_future())
        self._requests.append(request)
        self.waiting += len(texts)
        self._something.set()
        try:
            return await request.done
        finally:
            self.waiting -= len(texts)

    async def close(self) -> None:
        """End the worker; whoever calls it has seen to it that nobody waits."""
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
        self._thread.shutdown()

    async def _work(self) -> None:
        while True:
            await self._something.wait()
            if batch := self._next_batch():
                await self._answer(batch)
            else:
                self._something.clear()

    def _next_batch(self) -> list[tuple[_Request[M, A], Sequence[str]]]:
        """Texts of several requests in turn, all for the same model."""
        batch: list[tuple[_Request[M, A], Sequence[str]]] = []
        room = self.batch_texts
        while room and self._requests:
            request = self._requests[0]
            if batch and request.model is not batch[0][0].model:
                break
            self._requests.popleft()
            if request.done.done():  # given up on
                continue
            texts = request.texts[request.taken : request.taken + min(room, TURN_TEXTS)]
            request.taken += len(texts)
            room -= len(texts)
            batch.append((request, texts))
            if request.left:
                self._requests.append(request)
        return batch

    async def _answer(self, batch: list[tuple[_Request[M, A], Sequence[str]]]) -> None:
        texts = [text for _, part in batch for text in part]
        self.on_batch(len(texts))
        try:
            answers = await asyncio.get_running_loop().run_in_executor(
                self._thread, partial(self.answer, batch[0][0].model, texts)
            )
        except Exception as error:
            if len(batch) == 1:
                self._fail(batch[0][0], error)
                return
            for alone in batch:  # one text that cannot be answered must not spoil the others' requests
                await self._answer([alone])
            return
        for request, part in batch:
            request.answers += answers[: len(part)]
            del answers[: len(part)]
            if len(request.answers) == len(request.texts) and not request.done.done():
                request.done.set_result(request.answers)

    def _fail(self, request: _Request[M, A], error: Exception) -> None:
        if request in self._requests:
            self._requests.remove(request)
        if not request.done.done():
            request.done.set_exception(error)
