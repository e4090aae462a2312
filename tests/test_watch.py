"""Drift is told where texts differ, not where chance moves them; old folders say that they do not know."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conftest import BAD, GOOD, PLACES
from plaintune.core.blending import Blend
from plaintune.core.tasks import Task
from plaintune.model.predict import Model
from plaintune.model.watch import ENOUGH_TEXTS, IN_WORDS, RECENT_TEXTS, Watch, figures, reference_figures

USUAL = [f"{text} {place}" for text in GOOD + BAD for place in [*PLACES, "in town", "at home"]]
STRANGE = "der Regen fiel auf {} und {} die ganze lange Nacht"
OTHER = [STRANGE.format(place, text[:9]) for text in GOOD for place in PLACES]


@pytest.fixture(scope="module")
def model(trained: tuple[Path, dict[str, Any]]) -> Model:
    return Model.load(trained[0])


def watch_of(model: Model, reference: Any, texts: list[str]) -> dict[str, Any]:
    watch = Watch(model, reference)
    for first in range(0, len(texts), 50):
        part = texts[first : first + 50]
        watch.add(figures(model, part, model.outputs(part)))
    return {figure.name: figure for figure in watch.compared()} | {"texts": watch.texts}


def drawn(texts: list[str], count: int, seed: int) -> list[str]:
    return [texts[row] for row in np.random.default_rng(seed).integers(0, len(texts), count)]


def usual_reference(model: Model) -> dict[str, Any]:
    texts = drawn(USUAL, 500, 1)
    return reference_figures(model, texts, model.outputs(texts))


def test_training_puts_the_figures_of_texts_held_back_into_the_manifest(model: Model) -> None:
    reference = model.manifest.reference
    assert reference is not None
    assert reference["rows"] == model.manifest.scores["rows"]
    assert sum(reference["answers"]["shares"]) == pytest.approx(1, abs=1e-4)
    assert 5 < reference["words"]["mean"] < 15


def test_texts_like_those_of_training_are_as_usual(model: Model) -> None:
    for seed in range(5):
        found = watch_of(model, usual_reference(model), drawn(USUAL, 300, seed + 10))
        assert {found[name].level for name in IN_WORDS} == {"as usual"}


def test_another_language_is_very_different_in_its_words(model: Model) -> None:
    found = watch_of(model, usual_reference(model), drawn(OTHER, 300, 0))
    assert found["unknown_words"].level == "very different"
    assert found["unknown_words"].now > found["unknown_words"].usual + 0.3
    assert found["words"].level == "very different"


def test_answers_that_come_in_other_shares_are_noticed(model: Model) -> None:
    answered = dict(zip(USUAL, (p.answer for p in model.predict(USUAL)), strict=True))
    of_one_kind = [text for text in USUAL if answered[text] == "positive"]
    found = watch_of(model, usual_reference(model), drawn(of_one_kind, 300, 0))
    assert found["answers"].level == "very different"
    assert found["answers"].now == {"negative": 0.0, "positive": 1.0}


def test_nothing_is_said_of_few_texts(model: Model) -> None:
    found = watch_of(model, usual_reference(model), OTHER[: ENOUGH_TEXTS - 150])
    assert {found[name].level for name in IN_WORDS} == {"too few texts yet"}


def test_only_the_latest_texts_count_as_now(model: Model) -> None:
    found = watch_of(model, usual_reference(model), drawn(OTHER, 300, 0) + drawn(USUAL, RECENT_TEXTS, 3))
    assert RECENT_TEXTS <= found["texts"] < RECENT_TEXTS + 100
    assert found["unknown_words"].level == "as usual"


@pytest.mark.parametrize(
    "damage", [None, {}, {"rows": "many"}, {"rows": 9, "words": {"edges": [1], "shares": [1], "mean": 1.0}}]
)
def test_a_folder_without_usable_figures_says_not_known(model: Model, damage: Any) -> None:
    found = watch_of(model, damage, drawn(USUAL, 300, 0))
    assert {found[name].level for name in IN_WORDS} == {"not known"}
    assert found["words"].now > 5


def test_what_a_batch_costs_does_not_grow_with_the_square_of_the_classes() -> None:
    told: Any = SimpleNamespace(
        task=Task.SINGLE, classes=tuple(map(str, range(3000))), blend=Blend(Task.SINGLE, 1, 1),
        unknown_words=lambda texts: np.zeros(len(texts)),
    )  # fmt: skip
    outputs = np.zeros((2, 3000))
    outputs[[0, 1], [7, 2999]] = 1
    tracemalloc.start()
    seen = figures(told, ["one text", "another"], outputs)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    assert np.argwhere(seen.answers).tolist() == [[0, 7], [1, 2999]]


@pytest.mark.parametrize(
    ("task", "classes", "usual", "other"),
    [
        (Task.MULTI, ("a", "b"), [[0.9, 0.1], [0.2, 0.7], [0.1, 0.1]], [[0.9, 0.9]]),
        (Task.NUMBER, (), [[1.0], [2.5], [3.0], [4.0]], [[9.0]]),
    ],
)
def test_several_answers_and_numbers_are_compared_too(
    task: Task, classes: tuple[str, ...], usual: list[list[float]], other: list[list[float]]
) -> None:
    told: Any = SimpleNamespace(
        task=task, classes=classes, blend=Blend(task, 1, 1), unknown_words=lambda texts: np.zeros(len(texts))
    )

    def given(rows: list[list[float]]) -> tuple[list[str], Any]:
        return ["some words"] * 400, np.resize(np.array(rows), (400, len(rows[0])))

    reference = reference_figures(told, *given(usual))
    for rows, level in [(usual, "as usual"), (other, "very different")]:
        watch = Watch(told, reference)
        watch.add(figures(told, *given(rows)))
        assert watch.compared()[-1].level == level
    if task is Task.MULTI:
        assert reference["answers"]["shares"] == pytest.approx([1 / 3] * 3, abs=0.01)
        assert watch.compared()[-1].now == {"a": 1.0, "b": 1.0, "(none)": 0.0}
    else:
        assert watch.compared()[-1].now == 9.0
