"""Several answers at once, numbers, uneven classes: trained by the real command, scored as they should be."""

from __future__ import annotations

import csv
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Cli, write_csv
from plaintune.core.blending import Blend
from plaintune.core.errors import UserError
from plaintune.core.events import silent
from plaintune.core.metrics import best_set, calibration_error, gain_over, score_outputs
from plaintune.core.settings import Settings
from plaintune.core.tasks import Task
from plaintune.data.examples import TEXT_DTYPE, Examples, Understood
from plaintune.data.repeats import Repeats
from plaintune.learn.blend import _half_width, fit_blend, weigh
from plaintune.model.folder import staging_folder
from plaintune.reporting import cheap_curve
from plaintune.scoring import say_overlap

TOPICS = {
    "price": ["it costs too much", "far too dear", "the bill was a shock", "overpriced for what it is"],
    "food": ["the soup was cold", "lovely bread", "the fish tasted of nothing", "best cake in town"],
    "staff": ["the waiter was rude", "such kind people", "nobody came for an hour", "they smiled at us"],
}
COUNTS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
THINGS = ["chairs", "lamps", "books", "cups", "plates", "keys", "coats", "boxes"]


def remarks(separator: str) -> list[tuple[str, str]]:
    """300 remarks on a restaurant, each about none to three topics."""
    chance = random.Random(0)
    rows = []
    for number in range(300):
        topics = [topic for topic in TOPICS if chance.random() < 0.5]
        text = ", ".join(chance.choice(TOPICS[topic]) for topic in topics) or "we went there"
        rows.append((f"{text} on day {number}", separator.join(topics)))
    return rows


def counted_things() -> list[tuple[str, str]]:
    """500 sentences and a number that their words decide, but for some noise."""
    chance = random.Random(1)
    rows = []
    for number in range(500):
        count = chance.randrange(10)
        rows.append((f"{COUNTS[count]} {chance.choice(THINGS)} in room {number}", f"{count * 1000.5:.1f}"))
    return rows


def test_several_answers_to_a_text_are_learned_scored_and_given_as_a_list(
    cli: Cli, tiny_backbone: Path, tmp_path: Path
) -> None:
    write_csv(tmp_path / "remarks.csv", ["remark", "tags"], remarks(";"))
    done = cli("train", "remarks.csv", "--backbone", tiny_backbone, "--minutes", 5, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert (printed["task"], printed["metric"]) == ("multi-label", "micro_f1")
    low, high = printed["score_interval"]
    assert low <= printed["score"] <= high
    assert printed["score"] > max(0.85, printed["majority_score"] + 0.1)
    report = json.loads((tmp_path / "remarks-model" / "report.json").read_text())
    gain = report["figures"]["gain_over_counting"]["value"]
    assert math.isclose(printed["score"] - printed["baseline_score"], gain, abs_tol=1e-6)
    done = cli("predict", "remarks-model", "lovely bread, such kind people", "--json", cwd=tmp_path)
    prediction = json.loads(done.stdout)["predictions"][0]
    assert sorted(prediction["answer"]) == ["food", "staff"]
    assert set(prediction["probabilities"]) == set(TOPICS)
    cli("predict", "remarks-model", "--file", "remarks.csv", "--out", "out.csv", cwd=tmp_path)
    with (tmp_path / "out.csv").open(newline="") as file:
        answers = [row["answer"] for row in csv.DictReader(file)]
    assert any(";" in answer for answer in answers)
    done = cli("evaluate", "remarks-model", "remarks.csv", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["rows"] == len(answers)


def test_a_number_is_learned_and_given_with_an_interval_that_holds(
    cli: Cli, tiny_backbone: Path, tmp_path: Path
) -> None:
    rows = counted_things()
    write_csv(tmp_path / "rooms.csv", ["sentence", "score"], rows[:240])
    write_csv(tmp_path / "held.csv", ["sentence", "score"], rows[240:])
    done = cli(
        "train", "rooms.csv", "--test", "held.csv", "--backbone", tiny_backbone,
        "--minutes", 5, "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert (printed["task"], printed["metric"]) == ("regression", "r2")
    assert printed["score"] > 0.6 > abs(printed["majority_score"])
    assert printed["mean_absolute_error"] < printed["majority_mean_absolute_error"] / 1.5
    done = cli("predict", "rooms-model", *(text for text, _ in rows[240:]), "--json", cwd=tmp_path)
    predictions = json.loads(done.stdout)["predictions"]
    truth = [float(number) for _, number in rows[240:]]
    within = [p["interval"][0] <= t <= p["interval"][1] for p, t in zip(predictions, truth, strict=True)]
    assert np.mean(within) >= 0.75
    assert all(isinstance(p["answer"], float) for p in predictions)
    cli("predict", "rooms-model", "--file", "held.csv", "--out", "out.jsonl", cwd=tmp_path)
    told = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert all(row["low"] < row["answer"] < row["high"] for row in told)
    refused = cli("predict", "rooms-model", "two cups", "--unsure", "0.8", cwd=tmp_path)
    assert (refused.returncode, "interval" in refused.stderr) == (2, True)


def test_a_rare_answer_is_found_where_nineteen_of_twenty_are_the_other(
    cli: Cli, tiny_backbone: Path, tmp_path: Path
) -> None:
    chance = random.Random(0)
    usual = TOPICS["food"] + TOPICS["staff"]
    rows = [(f"{chance.choice(TOPICS['price'])}, visit {n}", "complaint") for n in range(30)]
    rows += [(f"{chance.choice(usual)}, visit {n}", "other") for n in range(570)]
    write_csv(tmp_path / "visits.csv", ["remark", "kind"], rows[:20] + rows[30:410])
    write_csv(tmp_path / "later.csv", ["remark", "kind"], rows[20:30] + rows[410:])
    done = cli(
        "train", "visits.csv", "--test", "later.csv", "--backbone", tiny_backbone,
        "--minutes", 5, "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["majority_score"] == 0.95
    cli("predict", "visits-model", "--file", "later.csv", "--out", "out.csv", cwd=tmp_path)
    with (tmp_path / "out.csv").open(newline="") as file:
        answers = [(row["kind"], row["answer"]) for row in csv.DictReader(file)]
    assert answers.count(("complaint", "complaint")) >= 9
    assert answers.count(("other", "complaint")) <= 1


def test_predict_says_where_it_is_not_sure(cli: Cli, trained: tuple[Path, dict], tmp_path: Path) -> None:
    asked = ("predict", trained[0], "it was a film", "--unsure")
    assert cli(*asked, 1.0, cwd=tmp_path).stdout.startswith("not sure")
    surely = json.loads(cli(*asked, 0.01, "--json", cwd=tmp_path).stdout)["predictions"][0]
    assert surely["unsure"] is False
    assert cli(*asked, 7, cwd=tmp_path).returncode == 2


def test_the_score_of_sets_counts_right_wrong_and_missed_answers() -> None:
    truth = np.array([[1, 0, 1], [0, 1, 0]])
    outputs = np.array([[0.9, 0.8, 0.1], [0.1, 0.7, 0.2]], dtype=np.float32)
    score = score_outputs(Task.MULTI, truth, outputs, prior=np.array([0.5, 0.5, 0.5]))
    assert score.value == 2 * 2 / (3 + 3)
    assert score.others["exact_match"] == 0.5


def test_sets_are_scored_against_the_best_that_one_can_say_without_reading() -> None:
    truth = (np.random.default_rng(0).random((5000, 10)) < 0.3).astype(np.int64)
    prior = truth.mean(axis=0)
    score = score_outputs(Task.MULTI, truth, np.zeros((5000, 10), dtype=np.float32), prior=prior)
    assert score.majority == pytest.approx(2 * 0.3 / (1 + 0.3), abs=0.01)  # all of them, always
    assert best_set(np.array([0.1, 0.9, 0.0])).tolist() == [False, True, False]


def test_of_answers_as_frequent_the_better_one_is_the_guess_to_beat() -> None:
    truth = np.array([0, 1, 1, 2, 2, 2])
    outputs = np.eye(3, dtype=np.float32)[truth]
    alike = score_outputs(Task.SINGLE, truth, outputs, prior=np.array([0.4, 0.4, 0.2]))
    assert alike.majority == pytest.approx(2 / 6)  # the third is more frequent, but nobody could know that
    first = score_outputs(Task.SINGLE, truth, outputs, prior=np.array([0.5, 0.3, 0.2]))
    assert first.majority == pytest.approx(1 / 6)


def test_numbers_are_scored_against_always_guessing_the_mean() -> None:
    truth = np.arange(10.0)
    prior = np.array([4.5, 3.0])
    perfect = score_outputs(Task.NUMBER, truth, truth[:, None].astype(np.float32), prior=prior)
    assert (perfect.value, perfect.majority) == (1.0, 0.0)
    blind = score_outputs(Task.NUMBER, truth, np.full((10, 1), 4.5, dtype=np.float32), prior=prior)
    assert abs(blind.value) < 1e-9
    assert blind.others["mean_absolute_error"] == 2.5


def test_numbers_that_are_all_alike_do_not_make_the_score_explode() -> None:
    truth = np.array([5.0, 5.0, 5.0])
    score = score_outputs(Task.NUMBER, truth, truth[:, None] + 0.1, prior=np.array([4.0, 1e-8]))
    assert (score.value, score.interval) == (0.0, (0.0, 0.0))


def test_a_test_without_any_of_the_answers_has_a_score_that_json_can_hold() -> None:
    score = score_outputs(
        Task.MULTI, np.zeros((3, 2), dtype=np.int64), np.full((3, 2), 0.7), prior=np.array([0.5, 0.1])
    )
    json.dumps({"value": score.value, **score.others}, allow_nan=False)


def test_of_several_answers_the_least_sure_decision_counts() -> None:
    given = np.array([[0.3, 0.9]])
    assert Blend(Task.MULTI, 1.0, 0.0, threshold=0.25).sureness(given).tolist() == [0.3]


def test_the_interval_of_a_number_holds_nine_of_ten_new_rows() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(100, 20, 2000)
    seen = ((truth - 100) / 20 + rng.normal(0, 0.5, 2000)).astype(np.float32)[:, None]
    half, prior = np.arange(2000) < 1000, np.array([100.0, 20.0])
    blend = fit_blend(Task.NUMBER, seen[half], seen[half] * 0, truth[half], prior=prior)
    given = blend.outputs(seen[~half], seen[~half] * 0)[:, 0]
    held = np.abs(given - truth[~half]) <= blend.half_width
    assert 0.87 < held.mean() < 0.93


def test_confidence_that_matches_the_share_of_right_answers_is_calibrated() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 20_000).astype(np.float32)
    honest = rng.random(20_000) < confidence
    assert calibration_error(confidence, honest) < 0.02
    assert calibration_error(confidence, rng.random(20_000) < 0.5) > 0.2


def test_a_blend_of_several_answers_keeps_each_probability_its_own() -> None:
    logits = np.array([[5.0, 5.0, -5.0]], dtype=np.float32)
    given = Blend(Task.MULTI, 1.0, 0.0).outputs(logits, logits * 0)
    assert (given > 0.9).tolist() == [[True, True, False]]


def test_rows_of_one_group_alone_have_no_learning_curve() -> None:
    texts = np.array([f"text number {n}" for n in range(200)], dtype=TEXT_DTYPE)
    understood = Understood("here", "Python", ("text",), "label")
    rows = np.arange(200)
    examples = Examples(texts, rows % 2, ("a", "b"), rows, understood)
    learned: Any = None  # is not asked
    curve = cheap_curve(
        examples, np.zeros(200, dtype=np.int64), learned, Settings(),
        rows_per_second=1e6, seconds=1e6, listener=lambda _: None,
    )  # fmt: skip
    assert curve is None


def test_a_score_of_sets_that_are_all_right_or_all_wrong_has_an_interval() -> None:
    truth, prior = np.tile([[1, 0], [0, 1]], (10, 1)), np.array([0.5, 0.5])
    low, high = score_outputs(Task.MULTI, truth, truth.astype(np.float32), prior=prior).interval
    assert (0.8 < low < 0.9, high) == (True, 1.0)
    low, high = score_outputs(Task.MULTI, truth, 1 - truth.astype(np.float32), prior=prior).interval
    assert (low, 0.1 < high < 0.2) == (0.0, True)


def test_two_models_that_are_right_on_the_same_rows_may_still_differ_on_others() -> None:
    truth, prior = np.arange(20) % 2, np.array([0.5, 0.5])
    outputs = np.eye(2)[truth]
    gain, (low, high) = gain_over(Task.SINGLE, truth, outputs, 0.8 * outputs + 0.1, prior=prior)
    assert gain == 0.0
    assert -0.2 < low < -0.1 < 0.1 < high < 0.2


def test_texts_met_in_training_are_counted_among_the_scored_ones() -> None:
    said: list[Any] = []
    test = np.arange(8, dtype=np.uint64)
    repeats = Repeats(test[:4], test[:4].astype(np.int64), test, test.astype(np.int64))
    scores = {"overlap_rows": 2, "all_rows": {"rows": 5, "value": 0.5}, "without_overlap": {"value": 0.4}}
    say_overlap(scores, repeats, np.arange(5), said.append)
    assert "2 test texts of the 5 scored are also in the training data; they are left out" in str(said)
    say_overlap(scores | {"without_overlap": None}, repeats, np.arange(5), said.append)
    assert "there are no others" in said[-1].message


def test_texts_nearly_met_in_training_are_counted_among_the_scored_ones() -> None:
    learned, test = (
        np.arange(4),
        np.arange(10, 18),
    )  # all texts differ; each of the first four has a near copy
    repeats = Repeats(
        learned.astype(np.uint64), learned, test.astype(np.uint64), np.array([0, 1, 2, 3, 4, 5, 6, 7])
    )
    scores = {"overlap_rows": 0, "all_rows": {"rows": 3, "value": 0.5}, "without_overlap": {"value": 0.5}}
    assert say_overlap(scores, repeats, np.array([1, 3, 6]), silent) == {"near_overlap_rows": 2}


@pytest.mark.parametrize("rows", [2, 4, 8])
def test_the_interval_of_a_number_is_wide_enough_where_it_was_checked_on_few_rows(rows: int) -> None:
    off = np.abs(np.random.default_rng(0).normal(size=(2000, rows + 1)))
    held = [one[-1] <= _half_width(one[:-1]) for one in off]
    assert np.mean(held) >= 0.88


def test_the_interval_of_a_number_allows_for_a_finished_model_that_is_worse_than_those_checked() -> None:
    rng, missed = np.random.default_rng(0), []
    turns, prior = np.repeat(np.arange(4), 60), np.array([0.0, 1.0])
    for _ in range(200):
        errors = rng.lognormal(sigma=0.4, size=5)  # of four trainings, and of the finished model
        truth = rng.normal(0, 20, 240)
        seen = (truth + rng.normal(size=240) * errors[turns]).astype(np.float32)[:, None]
        usual, wider = (
            weigh(Task.NUMBER, seen, seen * 0, truth, prior=prior, trainings=one, listener=lambda _: None)[0]
            for one in (None, turns)
        )
        assert wider.half_width > usual.half_width
        off = np.abs(rng.normal(size=500) * errors[-1])
        missed.append([np.mean(off > one.half_width) for one in (usual, wider)])
    usual_missed, wider_missed = (np.array(missed) > 0.2).mean(axis=0)
    assert wider_missed < 0.1 < 0.15 < usual_missed


def test_two_runs_do_not_write_the_same_model(tmp_path: Path) -> None:
    out = tmp_path / "new" / "model"
    with staging_folder(out) as staged:
        with pytest.raises(UserError, match="Another run is writing"), staging_folder(out):
            pass
        assert staged.is_dir()
    assert not list(tmp_path.iterdir())
    (tmp_path / ".model.lock").touch()  # of a run that was killed
    with staging_folder(tmp_path / "model"):
        pass
    assert not list(tmp_path.iterdir())
