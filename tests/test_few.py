"""Few labels: every row is learned from and checked on by turns; a plan is repeated to the letter."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Cli, review_rows, write_csv
from plaintune.core.events import silent
from plaintune.core.settings import Settings
from plaintune.core.tasks import Task
from plaintune.data.duplicates import text_clusters
from plaintune.data.examples import Examples
from plaintune.data.read import read_examples
from plaintune.data.split import rows_that_belong_together
from plaintune.learn import crossval, techniques
from plaintune.learn import train as train_module
from plaintune.learn.baseline import fit_baseline
from plaintune.learn.budget import CHECKED_IN_TURNS, Probe, choose_folds
from plaintune.learn.checkpoint import Checkpoint
from plaintune.learn.crossval import cross_validate
from plaintune.learn.learner import Learner, prepare
from plaintune.learn.network import logits_of
from plaintune.learn.steps import Seen, Stepper
from plaintune.learn.techniques import TAKEN, Technique, taken_in
from plaintune.learn.train import Pace, Schedule, contrastive_steps

SHORT = Schedule(steps=4, rows_per_batch=8, learning_rate=1e-4, seed=0)


@pytest.fixture(scope="module")
def reviews() -> Examples:
    texts, labels = zip(*review_rows(), strict=True)
    return read_examples(list(texts), list(labels))


@pytest.fixture(scope="module")
def learner(tiny_backbone: Path) -> Learner:
    return prepare(Settings(backbone=str(tiny_backbone)), silent)


def in_turns(reviews: Examples, learner: Learner, kept: Path, deadline: float = math.inf) -> Any:
    clusters = rows_that_belong_together(reviews, text_clusters(reviews.texts))
    return cross_validate(
        reviews, learner.tokens(reviews.texts, 16), clusters, learner, SHORT,
        folds=3, deadline=deadline, kept=kept, listener=silent,
    )  # fmt: skip


def test_every_row_is_answered_by_models_that_have_not_learned_it_nor_one_like_it(
    reviews: Examples, learner: Learner, tmp_path: Path
) -> None:
    clusters = np.repeat(np.arange(20), 6)  # the six places of a sentence belong together
    parts = crossval.folds_of(reviews, clusters, 3, seed=0)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(reviews)))
    for part in parts:
        rest = np.setdiff1d(np.arange(len(reviews)), part)
        assert not set(clusters[part]) & set(clusters[rest])
    _, checked, _ = in_turns(reviews, learner, tmp_path)
    assert np.abs(checked.network_logits).sum(axis=1).all()


def test_the_techniques_that_were_tried_are_told_with_their_scores(
    reviews: Examples, learner: Learner, tmp_path: Path
) -> None:
    best, _, choice = in_turns(reviews, learner, tmp_path)
    assert choice.value == best
    for technique in Technique:
        assert f"{technique} " in choice.reason


def turns_that_say(
    said: Callable[[Technique, Any, Any], Any], monkeypatch: pytest.MonkeyPatch
) -> list[Technique]:
    """Each turn answers with ``said`` of its technique, rows and labels; gives who has had a turn."""
    tried: list[Technique] = []

    def turn(
        lesson: Examples, tokens: Any, part: Any, learner: Learner, technique: Technique, *_: Any
    ) -> Any:
        tried.append(technique)
        return np.asarray(said(technique, part, lesson.labels[part]), dtype=np.float32)

    monkeypatch.setattr(crossval, "_turn", turn)
    return tried


def a_little_ahead(ahead: Technique) -> Callable[[Technique, Any, Any], Any]:
    """What techniques say where all but ``ahead`` are behind, but not clearly."""

    def said(technique: Technique, part: Any, labels: Any) -> Any:
        wrong = part % 10 == 0
        if technique is not ahead:
            wrong |= part % 30 == 1
        return 4 * np.eye(2)[np.where(wrong, 1 - labels, labels)]

    return said


def test_a_technique_that_is_clearly_behind_is_left_and_told_of(
    reviews: Examples, learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(technique: Technique, part: Any, labels: Any) -> Any:
        return np.eye(2)[labels] * (4.0 if technique is Technique.CONTRASTIVE else -4.0)

    tried = turns_that_say(said, monkeypatch)
    best, checked, choice = in_turns(reviews, learner, tmp_path)
    assert best is Technique.CONTRASTIVE
    assert tried == [*Technique, best, best]
    assert "fine-tuning was clearly more surprised after 1" in choice.reason
    assert (checked.network_logits.argmax(axis=1) == reviews.labels).all()


def test_after_half_of_the_parts_only_the_best_technique_goes_on(
    reviews: Examples, learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(techniques, "FEW_ROWS", 0)
    tried = turns_that_say(a_little_ahead(Technique.CONTRASTIVE), monkeypatch)
    best, checked, choice = in_turns(reviews, learner, tmp_path)
    assert best is Technique.CONTRASTIVE
    assert tried == [*Technique, *Technique, best]
    assert "fine-tuning was more surprised after 2" in choice.reason
    assert np.abs(checked.network_logits).sum(axis=1).all()  # of every row


@pytest.mark.parametrize("few", [True, False])
def test_of_few_rows_fine_tuning_is_not_taken_for_being_surer_alone(
    reviews: Examples, learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: bool
) -> None:
    def said(technique: Technique, part: Any, labels: Any) -> Any:
        sure = np.where(part % 10 == 0, -0.1, 4.0 if technique is Technique.FINE_TUNED else 0.4)
        return sure[:, None] * np.eye(2)[labels]

    if not few:
        monkeypatch.setattr(techniques, "FEW_ROWS", 0)
    tried = turns_that_say(said, monkeypatch)
    best, _, choice = in_turns(reviews, learner, tmp_path)
    assert (best is Technique.FINE_TUNED) is not few
    if few:
        assert "fine-tuning was right no more often after 1" in choice.reason
        assert tried.count(Technique.FINE_TUNED) == 1


def test_of_few_rows_fine_tuning_that_is_right_a_little_more_often_is_left_after_half(
    reviews: Examples, learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = turns_that_say(a_little_ahead(Technique.FINE_TUNED), monkeypatch)
    monkeypatch.setattr(crossval, "counted_in_turns", lambda *_, **__: np.zeros((len(reviews), 2)))
    best, _, choice = in_turns(reviews, learner, tmp_path)
    assert best is not Technique.FINE_TUNED
    assert tried.count(Technique.FINE_TUNED) == 2
    assert "fine-tuning was not clearly right more often after 2" in choice.reason


@pytest.mark.parametrize("clearly", [True, False])
def test_of_few_rows_the_frozen_encoder_is_taken_only_where_it_is_clearly_less_surprised(
    reviews: Examples, learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clearly: bool
) -> None:
    def said(technique: Technique, part: Any, labels: Any) -> Any:
        wrong = part % (10 if technique is Technique.FROZEN else 3) == 0
        return 4 * np.eye(2)[np.where(wrong, 1 - labels, labels)]

    turns_that_say(said if clearly else a_little_ahead(Technique.FROZEN), monkeypatch)
    monkeypatch.setattr(crossval, "counted_in_turns", lambda *_, **__: np.zeros((len(reviews), 2)))
    best, _, choice = in_turns(reviews, learner, tmp_path)
    assert best is (Technique.FROZEN if clearly else Technique.CONTRASTIVE)
    assert clearly or "frozen encoder was not clearly less surprised after 2" in choice.reason


def test_of_few_rows_fine_tuning_is_taken_where_it_is_clearly_right_more_often(
    reviews: Examples, learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(technique: Technique, part: Any, labels: Any) -> Any:
        wrong = part % (10 if technique is Technique.FINE_TUNED else 3) == 0
        return 4 * np.eye(2)[np.where(wrong, 1 - labels, labels)]

    turns_that_say(said, monkeypatch)
    monkeypatch.setattr(crossval, "counted_in_turns", lambda *_, **__: np.zeros((len(reviews), 2)))
    assert in_turns(reviews, learner, tmp_path)[0] is Technique.FINE_TUNED


def test_of_few_rows_fine_tuning_that_is_clearly_right_more_often_is_not_hidden_by_the_frozen_encoder() -> (
    None
):
    rng = np.random.default_rng(0)

    def tried(loss: float, wrong: float) -> Any:
        losses = loss + rng.normal(size=120)
        return crossval._Tried(losses, np.arange(120) < 120 * wrong, "")

    found = {
        Technique.FROZEN: tried(1.0, 0.3),
        Technique.CONTRASTIVE: tried(1.15, 0.3),
        Technique.FINE_TUNED: tried(1.02, 0.1),
    }
    assert crossval._best_of(found, few=True) is Technique.FINE_TUNED
    del found[Technique.FINE_TUNED]
    assert crossval._best_of(found, few=True) is Technique.CONTRASTIVE


def test_a_handful_of_rows_is_learned_at_the_usual_rate_without_a_sweep(
    cli: Cli, tmp_path: Path, tiny_backbone: Path
) -> None:
    write_csv(tmp_path / "few.csv", ["review", "sentiment"], review_rows()[::3])
    done = cli("train", "few.csv", "--backbone", tiny_backbone, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    choices = json.loads(done.stdout)["choices"]
    rate = next(choice for choice in choices if choice["name"] == "learning rate")
    assert rate["value"] == "1.0e-04"
    assert json.loads((tmp_path / "few-model" / "report.json").read_text())["sweep"] is None


def test_a_part_that_was_killed_goes_on_where_it_was(
    reviews: Examples, learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, before, _ = in_turns(reviews, learner, tmp_path)
    (tmp_path / "folds-fine_tuned-1.npz").unlink()
    (tmp_path / TAKEN).unlink()
    monkeypatch.setattr(train_module, "CHECKPOINT_SECONDS", -1.0)
    learned: list[float] = []
    step = Stepper.step

    def watched(self: Stepper, *args: Any, rate: float, **rest: Any) -> Seen:
        if len(learned) == SHORT.steps // 2:
            raise KeyboardInterrupt
        learned.append(rate)
        return step(self, *args, rate=rate, **rest)

    monkeypatch.setattr(Stepper, "step", watched)
    with pytest.raises(KeyboardInterrupt):
        in_turns(reviews, learner, tmp_path)
    learned.append(math.nan)
    _, after, _ = in_turns(reviews, learner, tmp_path)
    rates = [SHORT.rate(number, math.ceil(SHORT.steps * 2 / 3)) for number in range(3)]
    assert learned[:2] + learned[3:] == rates
    assert np.array_equal(before.network_logits, after.network_logits)
    assert not any(path.is_dir() for path in tmp_path.iterdir())


def test_contrasting_that_was_killed_goes_on_where_it_was(
    reviews: Examples, learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = learner.tokens(reviews.texts, 16)
    steps, killed_at = contrastive_steps(len(reviews)), 5
    monkeypatch.setattr(techniques, "CHECKPOINT_SECONDS", -1.0)
    contrasted: list[float] = []
    contrast = Stepper.contrast

    def watched(self: Stepper, *args: Any, rate: float) -> float:
        if len(contrasted) == steps + killed_at:
            raise KeyboardInterrupt
        contrasted.append(rate)
        return contrast(self, *args, rate=rate)

    def contrast_all(folder: str) -> Any:
        network, _ = techniques.teach(
            reviews, tokens, reviews.labels, learner, Technique.CONTRASTIVE, SHORT,
            deadline=math.inf, checkpoint=Checkpoint(tmp_path / folder, silent),
        )  # fmt: skip
        return logits_of(network, learner.device, tokens, pad_id=learner.backbone.pad_id)

    for folder in ("whole", "killed"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(Stepper, "contrast", watched)
    whole = contrast_all("whole")
    with pytest.raises(KeyboardInterrupt):
        contrast_all("killed")
    contrasted.append(math.nan)
    assert np.array_equal(contrast_all("killed"), whole)
    assert contrasted[:steps] == contrasted[steps : steps + killed_at] + contrasted[steps + killed_at + 1 :]


def test_parts_that_were_done_before_a_kill_are_not_done_again(
    reviews: Examples, learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, before, _ = in_turns(reviews, learner, tmp_path)
    (tmp_path / "folds-fine_tuned-1.npz").write_bytes(b"half a file")
    (tmp_path / TAKEN).unlink()
    turns: list[Technique] = []
    teach = crossval.teach

    def counting(*args: Any, **options: Any) -> Any:
        turns.append(args[4])
        return teach(*args, **options)

    monkeypatch.setattr(crossval, "teach", counting)
    _, after, _ = in_turns(reviews, learner, tmp_path)
    assert turns == [Technique.FINE_TUNED]
    assert np.array_equal(before.network_logits, after.network_logits)


@pytest.mark.parametrize("technique", [Technique.CONTRASTIVE, Technique.FINE_TUNED])
def test_of_a_given_plan_the_chosen_technique_alone_has_its_turns_as_short_as_they_were(
    technique: Technique,
    reviews: Examples,
    learner: Learner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    first.mkdir()
    again.mkdir()
    with monkeypatch.context() as alone:
        alone.setattr(crossval, "_techniques", lambda _: [technique])
        best, before, choice = in_turns(reviews, learner, first, deadline=0.0)  # time is up: a step each
    turns = [f"{technique.name.lower()}-{number}" for number in (1, 2, 3)]
    assert [taken_in(first)[name] for name in turns] == [1, 1, 1]
    shutil.copyfile(first / TAKEN, again / TAKEN)
    repeated, after, said = in_turns(reviews, learner, again)
    assert (repeated, said) == (best, choice)
    assert np.array_equal(before.network_logits, after.network_logits)
    kept = {path.name for path in again.glob("folds-*")}
    assert kept == {"folds-ngrams.npz", *(f"folds-{name}.npz" for name in turns)}


def test_the_network_of_a_given_plan_is_contrasted_as_often_as_there_was_time_for(
    reviews: Examples, learner: Learner, tmp_path: Path
) -> None:
    tokens, said = learner.tokens(reviews.texts, 16), []
    for deadline in (0.0, math.inf):
        kept = tmp_path / str(deadline)
        kept.mkdir()
        if said:
            shutil.copyfile(tmp_path / "0.0" / TAKEN, kept / TAKEN)
        network, trained = techniques.teach(
            reviews, tokens, reviews.labels, learner, Technique.CONTRASTIVE, SHORT,
            deadline=deadline, checkpoint=Checkpoint(kept, silent),
        )  # fmt: skip
        assert taken_in(kept) == {"all": 1}
        assert Pace(1e-9, 0.0).slowness(trained.step_seconds) == 1  # there were no steps to be slow
        assert not (kept / techniques.CONTRASTED).exists()
        said.append(logits_of(network, learner.device, tokens, pad_id=learner.backbone.pad_id))
    assert np.array_equal(*said)


def test_few_examples_that_cannot_have_turns_are_contrasted_and_it_says_why(
    cli: Cli, tmp_path: Path, tiny_backbone: Path
) -> None:
    rows = [(text, label, f"2026-01-{1 + at % 28:02d}") for at, (text, label) in enumerate(review_rows())]
    write_csv(tmp_path / "few.csv", ["review", "sentiment", "day"], rows)
    options = ("--time", "day", "--backbone", tiny_backbone, "--json")
    done = cli("train", "few.csv", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = {choice["name"]: choice for choice in json.loads(done.stdout)["choices"]}
    assert told["technique"]["value"] == "contrastive fine-tuning"
    assert told["technique"]["reason"].startswith("with so few examples it is the best most often; others")
    assert told["learning rate"]["reason"] == "few examples that are contrasted do well at it"
    assert re.fullmatch(r"what contrasting \d+ examples takes", told["passes over the data"]["reason"])
    assert "was tried so" not in done.stdout
    plan = ("--plan", "few-model", "--out", "again")
    again = cli("train", "few.csv", *options, *plan, cwd=tmp_path)
    assert json.loads(again.stdout)["choices"] == json.loads(done.stdout)["choices"]
    assert json.loads(again.stdout)["score"] == json.loads(done.stdout)["score"]


def test_a_plan_in_the_number_format_of_this_machine_does_not_open_the_pre_trained_model_again(
    learner: Learner,
) -> None:
    assert learner.in_format(str(learner.device.number_format).removeprefix("torch.")) is learner


def test_few_rows_are_checked_in_turns_where_a_quarter_of_the_time_is_enough() -> None:
    measured = Probe(np.full(400, 50), tokens_per_second=4000.0, read_per_second=6800.0)
    assert choose_folds(measured, 100, 64, seconds=3600) == 4
    assert choose_folds(measured, CHECKED_IN_TURNS, 64, seconds=60) == 0


def test_two_rows_of_each_answer_are_enough_to_be_parted() -> None:
    lesson = read_examples(["one", "two", "three", "four"], ["a", "a", "b", "b"])
    lonely = lesson.take(np.array([0, 2]))
    parts = crossval.folds_of(lonely, np.arange(2), 4, seed=0)
    assert sorted(map(len, parts)) == [1, 1]


def test_numbers_told_by_turns_are_in_the_units_of_all_rows(tiny_backbone: Path, tmp_path: Path) -> None:
    texts = [f"thing number {n}" for n in range(60)]
    lesson = read_examples(texts, [float(n) + 0.5 for n in range(59)] + [100_000.5], task=Task.NUMBER)
    learner = prepare(Settings(backbone=str(tiny_backbone)), silent)
    _, checked, _ = cross_validate(
        lesson, learner.tokens(lesson.texts, 16), np.arange(60), learner, SHORT,
        folds=3, deadline=math.inf, kept=tmp_path, listener=silent,
    )  # fmt: skip
    ordinary = checked.network_logits[:59, 0]
    assert np.abs(ordinary).max() < 1  # in the spread of all rows, 59 of them stand at about -0.1


def test_a_run_killed_after_its_last_layer_was_fitted_goes_on(
    learner: Learner, reviews: Examples, tmp_path: Path
) -> None:
    tokens, labels = learner.tokens(reviews.texts, 16), reviews.labels
    for _ in range(2):
        network, _ = techniques.teach(
            reviews, tokens, labels, learner, Technique.FROZEN, SHORT,
            deadline=math.inf, checkpoint=Checkpoint(tmp_path, silent),
        )  # fmt: skip
        assert float(network.head.weight.detach().abs().sum()) > 0


@pytest.mark.parametrize("answers", [2, 3])
def test_counting_words_survives_a_part_with_one_answer_only(answers: int) -> None:
    texts = np.array([text for text, _ in review_rows()], dtype=np.dtypes.StringDType())
    labels = np.ones(len(texts), dtype=np.int64)
    assert (fit_baseline(texts, labels, answers, seed=0).logits(texts).argmax(axis=1) == 1).all()


def test_all_rows_but_the_test_are_learned_from(trained: tuple[Path, dict[str, Any]]) -> None:
    manifest = json.loads((trained[0] / "manifest.json").read_text())
    assert manifest["data"]["valid_rows"] == 0
    assert manifest["data"]["train_rows"] + trained[1]["rows"] == 120


@pytest.mark.slow
def test_a_plan_is_repeated_to_the_last_digit(
    cli: Cli, tiny_backbone: Path, trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    write_csv(tmp_path / "reviews.csv", ["review", "sentiment"], review_rows())
    command = ("train", "reviews.csv", "--backbone", tiny_backbone, "--plan", trained[0])
    done = cli(*command, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, again = (
        json.loads((folder / "manifest.json").read_text())
        for folder in (trained[0], tmp_path / "reviews-model")
    )
    assert again["scores"] == first["scores"]
    assert again["blend"] == first["blend"]
    taken, repeated = (
        json.loads((folder / "plan.json").read_text())["taken"]
        for folder in (trained[0], tmp_path / "reviews-model")
    )
    chosen = taken.get("technique")  # none where this machine was too busy for turns
    assert repeated.get("technique") == chosen
    assert set(re.findall("Trying (.+?): part", done.stderr)) == ({chosen["value"]} if chosen else set())


def test_a_plan_for_other_data_is_refused(
    cli: Cli, tiny_backbone: Path, trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    write_csv(tmp_path / "other.csv", ["review", "sentiment"], review_rows()[:-3])
    done = cli("train", "other.csv", "--backbone", tiny_backbone, "--plan", trained[0], cwd=tmp_path)
    assert done.returncode == 2
    assert "made for other data" in done.stderr
    assert len(done.stderr.strip().splitlines()[-2:]) == 2
    assert not (tmp_path / "other-model").exists()
