"""Texts of many requests are answered together: in order, in turn, and never more than may wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from plaintune.faces.batcher import Batcher, Full


class Model:
    """Says a text back; holds every batch until it is let go."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[str]] = []
        self.go = threading.Event()
        if not held:
            self.go.set()

    def answer(self, name: str, texts: Sequence[str]) -> list[str]:
        self.batches.append(list(texts))
        assert self.go.wait(10)
        if "bad" in texts:
            raise ValueError
        return [f"{name}:{text}" for text in texts]


def numbered(letter: str, count: int) -> list[str]:
    return [f"{letter}{number}" for number in range(count)]


async def settle() -> None:
    """Let what can run, run."""
    for _ in range(20):
        await asyncio.sleep(0.005)


def test_what_waits_while_the_model_works_is_one_batch() -> None:
    async def story() -> list[list[str]]:
        model = Model(held=True)
        batcher: Batcher[str, str] = Batcher(model.answer, batch_texts=64, most_waiting=100)
        asked = [asyncio.create_task(batcher.ask("m", [text])) for text in numbered("t", 9)]
        await settle()
        model.go.set()
        assert await asyncio.gather(*asked) == [[f"m:{text}"] for text in numbered("t", 9)]
        await batcher.close()
        return model.batches

    batches = asyncio.run(story())
    assert sum(map(len, batches)) == 9
    assert len(batches) <= 2


def test_a_short_request_does_not_wait_for_all_of_a_long_one() -> None:
    async def story() -> tuple[list[str], list[str]]:
        model = Model(held=True)
        batcher: Batcher[str, str] = Batcher(model.answer, batch_texts=32, most_waiting=1000)
        ended: list[str] = []

        async def ask(name: str, texts: list[str]) -> list[str]:
            answers = await batcher.ask("m", texts)
            ended.append(name)
            return answers

        long = asyncio.create_task(ask("long", numbered("l", 200)))
        await settle()
        short = asyncio.create_task(ask("short", ["s"]))
        await settle()
        model.go.set()
        answers = await long
        await short
        await batcher.close()
        return ended, answers

    ended, answers = asyncio.run(story())
    assert ended == ["short", "long"]
    assert answers == [f"m:{text}" for text in numbered("l", 200)]


def test_a_full_queue_refuses_at_once_and_takes_more_when_it_has_emptied() -> None:
    async def story() -> None:
        model = Model(held=True)
        batcher: Batcher[str, str] = Batcher(model.answer, batch_texts=4, most_waiting=5)
        first = asyncio.create_task(batcher.ask("m", numbered("a", 5)))
        await settle()
        with pytest.raises(Full):
            await asyncio.wait_for(batcher.ask("m", ["b"]), 0.1)
        model.go.set()
        assert len(await first) == 5
        assert await batcher.ask("m", numbered("c", 9)) == [f"m:{text}" for text in numbered("c", 9)]
        assert batcher.waiting == 0
        await batcher.close()

    asyncio.run(story())


def test_a_text_that_cannot_be_answered_fails_its_own_request_only() -> None:
    async def story() -> list[object]:
        model = Model(held=True)
        batcher: Batcher[str, str] = Batcher(model.answer, batch_texts=64, most_waiting=100)
        asked = [asyncio.create_task(batcher.ask("m", [text])) for text in ("one", "bad", "two")]
        await settle()
        model.go.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        await batcher.close()
        return list(found)

    one, bad, two = asyncio.run(story())
    assert (one, two) == (["m:one"], ["m:two"])
    assert isinstance(bad, ValueError)


def test_a_request_is_answered_by_one_model_whatever_is_loaded_meanwhile() -> None:
    async def story() -> list[list[str]]:
        model = Model(held=True)
        batcher: Batcher[str, str] = Batcher(model.answer, batch_texts=4, most_waiting=1000)
        asked = [asyncio.create_task(batcher.ask(name, numbered(name, 20))) for name in ("old", "new", "old")]
        await settle()
        model.go.set()
        answers = await asyncio.gather(*asked)
        await batcher.close()
        return answers

    for name, answers in zip(("old", "new", "old"), asyncio.run(story()), strict=True):
        assert answers == [f"{name}:{text}" for text in numbered(name, 20)]
