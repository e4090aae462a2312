"""Texts without an answer: answered, learned from, kept where it pays; or worth labelling next."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import BAD, GOOD, PLACES, Cli, write_csv
from plaintune import load
from plaintune.core.events import Event, silent
from plaintune.core.linear import NgramModel
from plaintune.core.settings import Settings
from plaintune.core.tasks import Task
from plaintune.data.examples import TEXT_DTYPE
from plaintune.data.read import read_examples
from plaintune.learn import self_training
from plaintune.learn.baseline import fit_baseline
from plaintune.learn.eight_bits import NO_TIME
from plaintune.learn.self_training import KEPT, NAME, SelfTraining, decided
from plaintune.learn.train import Schedule
from plaintune.model.evaluate import evaluate
from plaintune.model.folder import checkpoint_folder
from plaintune.pipeline import fit
from plaintune.report.actions import typed
from plaintune.scoring import score

OPENINGS = ["honestly", "well", "to me", "as I said"]
OTHERS = ["frankly", "as for this one"]


def said(sentences: list[str], openings: list[str]) -> list[str]:
    """The sentences, each in all places after each of the openings."""
    return [f"{o}, {text} {place}" for o in openings for text in sentences for place in PLACES]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """480 reviews with an answer, 240 without, in a folder of their own."""
    folder = tmp_path_factory.mktemp("unlabeled")
    rows = [(text, "positive") for text in said(GOOD, OPENINGS)]
    rows += [(text, "negative") for text in said(BAD, OPENINGS)]
    write_csv(folder / "reviews.csv", ["review", "sentiment"], rows)
    others = [(text,) for text in said(GOOD + BAD, OTHERS)]
    write_csv(folder / "more.csv", ["review"], others)
    return folder


def fitted(data: Path, backbone: Path, out: Path, **options: Any) -> dict[str, Any]:
    """The manifest of a model that learned from both files."""
    settings = Settings(
        backbone=str(backbone), unlabeled=str(data / "more.csv"), minutes=5,
        plan=None if "plan" not in options else str(options.pop("plan")),
    )  # fmt: skip
    fit(data / "reviews.csv", out=out, settings=settings, **options)
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return manifest


@pytest.fixture(scope="module")
def first(data: Path, tiny_backbone: Path) -> dict[str, Any]:
    return fitted(data, tiny_backbone, data / "first-model")


@pytest.mark.slow
def test_texts_without_an_answer_are_learned_from_and_the_gain_is_told(first: dict[str, Any]) -> None:
    (choice,) = [choice for choice in first["choices"] if choice["name"] == NAME]
    assert choice["value"] in KEPT.values()
    assert choice["reason"].startswith("240 were answered")
    assert first["data"]["rows"] == 480


@pytest.mark.slow
def test_a_run_stopped_among_texts_without_an_answer_goes_on_to_the_same_model(
    data: Path, tiny_backbone: Path, first: dict[str, Any]
) -> None:
    out = data / "stopped-model"

    def stop(event: Event) -> None:
        if event.message.startswith("Counting words in them"):
            raise KeyboardInterrupt

    plan = data / "first-model"
    with pytest.raises(KeyboardInterrupt):
        fitted(data, tiny_backbone, out, plan=plan, listener=stop)
    heard: list[str] = []
    manifest = fitted(data, tiny_backbone, out, plan=plan, listener=lambda event: heard.append(event.message))
    assert any("Going on with an unfinished run" in text for text in heard)
    assert manifest["scores"]["score"] == first["scores"]["score"]
    assert manifest["blend"] == first["blend"]


@pytest.mark.slow
def test_a_repeated_run_does_not_weigh_numbers_that_the_first_had_no_time_to_weigh(
    data: Path, tiny_backbone: Path, first: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plaintune.deploying.ENOUGH_ROWS", 1)
    plan = json.loads((data / "first-model" / "plan.json").read_text())
    assert plan["hurried"] is False
    (tmp_path / "plan.json").write_text(json.dumps({**plan, "hurried": True}))
    manifest = fitted(data, tiny_backbone, data / "hurried-model", plan=tmp_path)
    assert NO_TIME in [choice["reason"] for choice in manifest["choices"]]


@pytest.mark.slow
def test_a_run_that_was_in_a_hurry_when_it_was_killed_ends_as_it_would_have(
    data: Path, tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plaintune.deploying.ENOUGH_ROWS", 1)
    out = data / "killed-model"

    def stop(event: Event) -> None:
        if event.message.startswith("Scoring on"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(data, tiny_backbone, out, listener=stop)
    kept = checkpoint_folder(out) / "plan.json"
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "hurried": True}))
    manifest = fitted(data, tiny_backbone, out)
    assert NO_TIME in [choice["reason"] for choice in manifest["choices"]]


@pytest.mark.slow
def test_texts_without_an_answer_that_are_all_scored_on_are_not_used(data: Path, tiny_backbone: Path) -> None:
    labels = [
        "positive" if any(text in one for text in GOOD) else "negative" for one in said(GOOD + BAD, OTHERS)
    ]
    write_csv(
        data / "held.csv", ["review", "sentiment"], list(zip(said(GOOD + BAD, OTHERS), labels, strict=True))
    )
    manifest = fitted(data, tiny_backbone, data / "held-model", test=data / "held.csv")
    (choice,) = [choice for choice in manifest["choices"] if choice["name"] == NAME]
    assert (choice["value"], "among the texts to check or score on" in choice["reason"]) == ("not used", True)
    assert json.loads((data / "held-model" / "plan.json").read_text())["second"] is None


def test_a_file_without_answers_that_is_not_there_is_an_error_in_two_lines(
    cli: Cli, data: Path, tiny_backbone: Path
) -> None:
    done = cli("train", "reviews.csv", "--unlabeled", "mor.csv", "--out", "none-model", cwd=data)
    assert done.returncode == 2
    assert "mor.csv" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (data / "none-model").exists()


def test_a_guess_counts_as_far_as_it_is_sure() -> None:
    labels, weights = decided(Task.SINGLE, np.array([[0.9, 0.1], [0.45, 0.55]], dtype=np.float32))
    assert labels.tolist() == [0, 1]
    assert weights == pytest.approx([0.8, 0.1], abs=1e-6)
    labels, weights = decided(Task.MULTI, np.array([[0.9, 0.2]], dtype=np.float32))
    assert labels.tolist() == [[1, 0]]
    assert weights == pytest.approx([0.7], abs=1e-6)
    labels, weights = decided(Task.NUMBER, np.array([[1.5]], dtype=np.float32))
    assert (labels.tolist(), weights.tolist()) == ([1.5], [1.0])


def test_words_are_counted_in_no_more_guessed_texts_than_memory_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = read_examples(["ab " * 10] * 4, ["yes", "no"] * 2)
    texts = np.array(["c" * 100] * 20, dtype=TEXT_DTYPE)
    others: Any = dict.fromkeys(field.name for field in fields(SelfTraining))
    training = SelfTraining(
        **{**others, "lesson": known, "texts": texts, "counted_rows": 2, "kept": tmp_path, "listener": silent,
           "schedule": Schedule(steps=1, rows_per_batch=1, learning_rate=1e-4, seed=0)}
    )  # fmt: skip
    examples = sum(map(len, known.texts)) // 2
    monkeypatch.setattr(self_training, "MOST_COUNTED", examples + 750)
    assert training.guesses_counted == 7
    rows: list[int] = []

    def counting(texts: Any, *args: Any, **options: Any) -> NgramModel:
        rows.extend([len(texts), options["max_rows"]])
        return fit_baseline(texts, *args, **options)

    monkeypatch.setattr(self_training, "fit_baseline", counting)
    training._count_words(np.full((20, 2), 0.5, dtype=np.float32))
    assert rows == [4 + 7, 2 + 7]
    monkeypatch.setattr(self_training, "MOST_COUNTED", 1e9)
    assert training.guesses_counted == 20


def test_the_counted_words_to_compare_with_learned_from_given_answers_alone(
    trained: tuple[Path, dict[str, Any]],
) -> None:
    """Those in the model may have learned what the network guessed; the baseline is what is handed over."""
    model = load(trained[0])
    rows = read_examples(trained[0].parent / "reviews.csv", classes=model.classes)
    wrong_way = fit_baseline(rows.texts, 1 - rows.labels, 2, seed=0)
    result = replace(evaluate(model, rows), without_overlap=None)
    scores, held = score(model, rows, result, wrong_way, 0.5)
    assert scores["baseline_score"] < 0.1
    assert (held.baseline.argmax(axis=1) != rows.labels).mean() > 0.9


@pytest.mark.slow
def test_why_texts_without_an_answer_are_not_used_is_said(
    data: Path, cli: Cli, tiny_backbone: Path, tmp_path: Path
) -> None:
    few = said(GOOD + BAD, OPENINGS[:2])
    labels = ["positive" if any(text in one for text in GOOD) else "negative" for one in few]
    write_csv(tmp_path / "few.csv", ["review", "sentiment"], list(zip(few, labels, strict=True)))
    done = cli(
        "train", "few.csv", "--unlabeled", str(data / "more.csv"), "--backbone", tiny_backbone,
        "--minutes", 1, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"{NAME}: not used — fewer than 400 examples" in " ".join(done.stderr.split())


def test_only_train_is_told_of_texts_without_an_answer() -> None:
    settings = Settings(text=("review",), unlabeled="more.csv")
    told = {"options": settings.about_training(), "from_python": False, "source": "reviews.csv"}
    assert "--unlabeled more.csv" in typed(told, "train")
    assert "--text review" in typed(told, "check")
    assert "unlabeled" not in typed(told, "check")
    assert "unlabeled" not in settings.about_data()


def test_what_a_report_says_to_type_keeps_what_was_asked_for() -> None:
    settings = Settings(task=Task.MULTI, texts=False)
    told = {
        "options": settings.about_training() | {"test": "held.csv"},
        "from_python": False,
        "source": "a.csv",
    }
    assert typed(told, "train", minutes=5) == (
        "plaintune train a.csv --task multi-label --no-texts --test held.csv --minutes 5"
    )
    assert typed(told, "check") == "plaintune check a.csv --task multi-label --test held.csv"
    told["from_python"] = True
    assert typed(told, "train") == (
        "plaintune.train(…, task='multi-label', test='held.csv', overwrite=True, texts_in_report=False)"
    )
