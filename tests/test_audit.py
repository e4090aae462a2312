"""What models see in data: planted wrong labels, shuffled answers, too few rows, what more data bring."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plaintune as pt
from conftest import Cli, write_csv
from plaintune.core.metrics import softmax
from plaintune.core.tasks import Task
from plaintune.data.finding import DataCheck, Finding, Severity
from plaintune.learn import evidence
from plaintune.learn.curve import LearningCurve, plausible_curves
from plaintune.learn.suspects import find_suspects
from plaintune.learn.verdict import Measured, Verdict, judge

PRAISE = ["wonderful", "lovely", "great", "charming", "superb", "delightful", "brilliant", "moving"]
BLAME = ["awful", "dull", "boring", "terrible", "clumsy", "lifeless", "silly", "dreadful"]
THINGS = ["film", "story", "cast", "script", "music", "ending", "picture", "hero", "villain", "scene"]


def reviews(count: int, *, seed: int = 0) -> list[tuple[str, str]]:
    """Short reviews whose adjectives decide their answer, in words that vary."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        good = number % 2 == 0
        words = PRAISE if good else BLAME
        text = f"a {chance.choice(words)} {chance.choice(THINGS)} and a {chance.choice(words)} "
        text += f"{chance.choice(THINGS)}, seen in week {chance.randrange(1000)} of {chance.randrange(1000)}"
        rows.append((text, "good" if good else "bad"))
    return rows


def checked(rows: list[tuple[str, str]], **options: Any) -> DataCheck:
    return pt.check([text for text, _ in rows], [answer for _, answer in rows], **options)


def test_planted_wrong_labels_are_listed_with_their_lines() -> None:
    rows = reviews(300)
    planted = {10, 55, 120, 201, 260}
    for at in planted:
        rows[at] = (rows[at][0], "bad" if rows[at][1] == "good" else "good")
    found = checked(rows)
    wrong = found.of("wrong_label")
    assert wrong is not None
    listed = {row["line"] - 1 for row in wrong.values["rows"]}
    assert planted <= listed
    assert len(listed) <= 2 * len(planted)
    assert {row["proposed"] for row in wrong.values["rows"] if row["line"] - 1 == 10} == {"good"}


def test_where_time_is_short_models_look_at_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "AUDIT_SECONDS", 0.01)
    found = checked(reviews(450))
    assert found.measured is not None
    assert found.measured["rows"] == evidence.FEWEST_ROWS


def parts(count: int, *, seed: int = 0) -> list[tuple[str, set[str]]]:
    """Texts of one to three sentences, each about something of its own: several answers."""
    topics = {
        "kitchen": ["the oven burnt the bread", "salt the soup", "a knife for the onions"],
        "garage": ["the engine lost oil", "the brakes squeal", "a new tyre for the van"],
        "garden": ["the roses need water", "weeds in the lawn", "sow the seeds in spring"],
    }
    chance = random.Random(seed)
    made = []
    for number in range(count):
        chosen = chance.sample(sorted(topics), chance.choice((1, 2, 2)))
        told = [f"{chance.choice(topics[one])} on day {chance.randrange(400)}" for one in chosen]
        made.append((f"{number}: " + ", and ".join(told), set(chosen)))
    return made


def test_of_several_answers_the_one_that_was_left_out_is_proposed() -> None:
    rows, whole = parts(600), parts(600)
    planted = [at for at, (_, answers) in enumerate(rows) if len(answers) == 2][::20]
    for at in planted:
        rows[at] = (rows[at][0], set(sorted(rows[at][1])[:1]))
    found = pt.check([text for text, _ in rows], [sorted(answers) for _, answers in rows])
    wrong = found.of("wrong_label")
    assert wrong is not None
    proposed = {row["line"] - 1: set(row["proposed"].split(";")) for row in wrong.values["rows"]}
    assert len(set(planted) & set(proposed)) >= len(planted) / 2
    assert len(proposed) <= 2 * len(planted)
    assert all(proposed[at] == whole[at][1] for at in planted if at in proposed)
    assert found.verdict is not None
    assert found.measured is not None
    assert found.measured["metric"] == "micro_f1"
    assert "an F1 of 0.9" in (found.verdict_words or "")


def test_a_number_from_anywhere_is_found_among_numbers_that_follow_from_the_text() -> None:
    chance = random.Random(3)
    texts, numbers = [], []
    for number in range(300):
        good = chance.randrange(6)
        words = chance.choices(PRAISE, k=good) + chance.choices(BLAME, k=5 - good)
        texts.append(f"{number}: " + ", ".join(words))
        numbers.append(2.0 * good + chance.choice((-0.5, 0, 0.5)))
    planted = {20, 90, 170, 240}
    for at in planted:
        numbers[at] = 10.0 if numbers[at] < 5 else 0.0
    found = pt.check(texts, numbers, task="regression")
    wrong = found.of("wrong_label")
    assert wrong is not None
    listed = {row["line"] - 1 for row in wrong.values["rows"]}
    assert len(planted & listed) >= 3
    assert len(listed) <= 8
    assert found.measured is not None
    assert found.measured["metric"] == "r2"


def test_shuffled_answers_are_called_random() -> None:
    rows = reviews(300)
    answers = [answer for _, answer in rows]
    random.Random(1).shuffle(answers)
    found = checked([(text, answer) for (text, _), answer in zip(rows, answers, strict=True)])
    assert found.verdict == "random labels"


def test_three_dozen_rows_are_too_few() -> None:
    assert checked(reviews(36)).verdict == "too few"


def test_a_goal_that_the_answers_forbid_is_named() -> None:
    rows = reviews(400)
    chance = random.Random(2)
    rows = [
        (text, chance.choice(("good", "bad")) if chance.random() < 0.25 else answer) for text, answer in rows
    ]
    found = checked(rows, goal=0.97)
    assert found.verdict == "goal out of reach"
    assert "97%" in (found.verdict_words or "")


def test_a_gain_that_may_be_chance_is_not_said_to_pay() -> None:
    measured = Measured(Task.SINGLE, 160, 0.5, 0.99, 0.988, 1.0, (0.98, 1.0), (-0.005, 0.03), 1.1, 0.1)
    nothing = DataCheck("r.csv", 160, ())
    assert judge(measured, nothing, None, ceiling=1.0, goal=None)[0] is Verdict.COUNTING
    room = replace(measured, ngrams=0.9, both=0.91, interval=(0.86, 0.95))
    assert judge(room, nothing, None, ceiling=1.0, goal=None)[0] is Verdict.MAY_PAY
    surely = replace(room, gain=(0.004, 0.02))
    assert judge(surely, nothing, None, ceiling=1.0, goal=None)[0] is Verdict.PAYS


def test_a_pre_trained_model_that_beats_counting_words_has_something_to_say_in_any_language() -> None:
    german = Finding("language", Severity.MEDIUM, 900, "what", "why", "done")
    check = DataCheck("r.csv", 1000, (german,))
    measured = Measured(Task.SINGLE, 1000, 0.5, 0.84, 0.80, 0.86, (0.84, 0.88), (0.02, 0.08), 1.5, 0.5)
    assert judge(measured, check, None, ceiling=1.0, goal=None)[0] is Verdict.PAYS
    deaf = replace(measured, frozen=0.79)
    assert judge(deaf, check, None, ceiling=1.0, goal=None)[0] is Verdict.FOREIGN


def test_suspicion_follows_from_probability_and_noise() -> None:
    probabilities = softmax(np.array([[4.0, 0.0]] * 90 + [[0.3, 0.0]] * 10, dtype=np.float32))
    labels = np.zeros(100, dtype=np.int64)
    labels[:4] = 1
    labels[95] = 1
    suspects = find_suspects(Task.SINGLE, probabilities, labels)
    assert set(suspects.shown) == {0, 1, 2, 3}
    assert suspects.chance[95] < 0.5
    assert suspects.chance[50] == 0.0


def drawn_on(truth: Callable[[float], float], *, guess: float, rows: int) -> LearningCurve:
    """The curve from noisy errors at a few sizes up to ``rows``."""
    rng = np.random.default_rng(0)
    points = [
        (size, truth(size) + rng.normal(0, 0.005), 0.005)
        for size in (rows // 8, rows // 4, rows // 2, rows)
        for _ in "abc"
    ]
    return LearningCurve((), (), 0.0, (0.0, 0.0), rows, guess, plausible_curves(points, guess, rng))


def test_the_learning_curve_draws_a_power_law_on() -> None:
    curve = drawn_on(lambda n: 2.0 * n**-0.4, guess=0.5, rows=2000)
    promised, truth = curve.error_at(4000), 2.0 * 4000**-0.4
    assert np.quantile(promised, 0.02) < truth < np.quantile(promised, 0.98)
    assert abs(np.median(promised) - truth) < 0.01


def test_with_few_rows_of_each_answer_the_steepest_part_is_still_to_come() -> None:
    curve = drawn_on(lambda n: 0.98 / (1 + n / 150), guess=0.98, rows=300)
    gained = curve.error_at(300) - curve.error_at(600)
    assert np.median(gained) == pytest.approx(0.98 / 3 - 0.98 / 5, abs=0.02)  # a power law says 0.08


@pytest.mark.parametrize("goal", ["0", "1.5"])
def test_a_goal_that_is_no_share_is_refused(cli: Cli, tmp_path: Path, goal: str) -> None:
    source = write_csv(tmp_path / "r.csv", ["text", "answer"], reviews(40))
    told = cli("check", source.name, "--goal", goal, cwd=tmp_path)
    assert told.returncode == 2
    assert "--goal 0.95" in told.stderr


def test_the_command_gives_verdict_and_curve_as_json(cli: Cli, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "r.csv", ["text", "answer"], reviews(300))
    told = json.loads(cli("check", source.name, "--json", cwd=tmp_path).stdout)
    assert told["verdict"]
    assert told["measured"]["rows"] == 300
    low, high = told["measured"]["learning_curve"]["interval"]
    assert low <= told["measured"]["learning_curve"]["gain_of_twice_the_data"] <= high
