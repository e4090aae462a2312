"""The quote: what a run would take and reach, said before it starts."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from conftest import Cli, review_rows, write_csv
from plaintune.compute.quote import Quote, Way, _command, _different
from plaintune.core.events import silent
from plaintune.core.settings import Settings
from plaintune.core.tasks import Task
from plaintune.data.read import read_examples
from plaintune.faces.cli_quote import _lines
from plaintune.learn.budget import Probe, rows_per_batch
from plaintune.learn.forecast import TURN_SECONDS, run_seconds, swept_seconds
from plaintune.learn.learner import prepare
from plaintune.learn.outline import outline
from plaintune.learn.steps import CONTRASTED_ROWS
from plaintune.learn.train import contrastive_steps, head_rows
from plaintune.learn.trial import Forecast, Moved, Trial, should, try_out


@pytest.fixture
def trial() -> Trial:
    return Trial(Task.SINGLE, 400, 0.15, 600, 0.5)


def test_more_examples_promise_more(trial: Trial) -> None:
    few = trial.expected(400, passes_share=1, judged_rows=1000)
    many = trial.expected(10_000, passes_share=1, judged_rows=1000)
    assert many[0] > few[0]
    assert many[1] > few[1]


def test_less_time_promises_less(trial: Trial) -> None:
    hurried = trial.expected(2000, passes_share=0.1, judged_rows=1000)
    assert hurried[1] < trial.expected(2000, passes_share=1, judged_rows=1000)[1]


def test_fewer_judges_leave_more_open(trial: Trial) -> None:
    low, high = trial.expected(2000, passes_share=1, judged_rows=50)
    narrow = trial.expected(2000, passes_share=1, judged_rows=5000)
    assert high - low > narrow[1] - narrow[0]


def test_where_a_few_steps_help_a_whole_training_is_foreseen_to_help_more(trial: Trial) -> None:
    before = np.full(600, 0.5)
    ranges = {}
    for name, after in (
        ("helped", before - 0.05 - 0.01 * (np.arange(600) % 2)),
        ("nothing", before + 0.1 * (-1.0) ** np.arange(600)),
        ("doubtful", before - 0.05 + 3.0 * (-1.0) ** np.arange(600)),  # as much, but of some rows alone
    ):
        moved = Moved.between(before, after)
        ranges[name] = replace(trial, moved=moved).expected(400, passes_share=1, judged_rows=1000)
    assert ranges["helped"][0] > ranges["nothing"][1]
    assert ranges["doubtful"][1] - ranges["doubtful"][0] > ranges["nothing"][1] - ranges["nothing"][0]


def test_each_row_that_is_read_judges_by_turns_and_one_cluster_alone_foretells_nothing(
    tiny_backbone: Path,
) -> None:
    rows = 200
    examples = read_examples(
        [f"{'good' if n % 2 else 'bad'} film number {n}" for n in range(rows)], ["b", "g"] * 100
    )
    measured = Probe(np.full(100, 10), tokens_per_second=50_000.0, read_per_second=100_000.0)
    learner = prepare(Settings(backbone=str(tiny_backbone)), silent)
    tried = partial(try_out, examples, learner=learner, measured=measured, seconds=5.0, seed=0)
    found = tried(np.arange(rows))
    assert found is not None
    assert found.moved is not None
    assert (found.rows, found.held_rows) == (133, rows)
    assert tried(np.arange(rows) % 4) is None  # three of four to learn from: those of one cannot be parted


def test_texts_that_are_cut_shorter_leave_time_to_score_more_of_them() -> None:
    examples = read_examples([f"review number {n}" for n in range(6000)], ["a", "b"] * 3000)
    measured = Probe(np.array([100, 600] * 50), tokens_per_second=2000.0, read_per_second=4000.0)
    cut, whole = (
        outline(
            examples, np.arange(6000), None, Settings(minutes=2, max_length_tokens=length),
            measured=measured, longest=256, seconds_left=100.0,
        )
        for length in (None, 256)
    )  # fmt: skip
    assert cut.length[0] < whole.length[0]
    assert len(cut.splits.test) > 1.5 * len(whole.splits.test)


def test_texts_that_teach_nothing_promise_the_guess() -> None:
    nothing = Trial(Task.SINGLE, 400, 0.5, 600, 0.5)
    low, high = nothing.expected(10_000, passes_share=1, judged_rows=1000)
    assert low < 0.6
    assert high < 0.75


def test_no_score_below_nothing_is_promised() -> None:
    for task in Task:
        assert "-" not in should(task, -0.02, 0.3)


def test_a_forecast_is_said_in_the_terms_of_the_task() -> None:
    assert "be right 90.0% to 94.0% of the time" in Forecast(360, 0.9, 0.94).say(Task.SINGLE)
    assert "reach an F1 of 0.900 to 0.940" in Forecast(360, 0.9, 0.94).say(Task.MULTI)
    assert "explain 0.0% to 30.0% of the differences" in Forecast(360, -0.1, 0.3).say(Task.NUMBER)
    assert Forecast(50, None, None).say(Task.SINGLE) == "This should take about 50 seconds."
    assert Forecast(104, None, None).say(Task.SINGLE) == "This should take about 1.7 minutes."
    assert Forecast(1234, None, None).say(Task.SINGLE) == "This should take about 21 minutes."


@pytest.mark.parametrize("rows", [16, 48, 96, 192, 700])
def test_turns_of_few_labels_take_what_is_foretold_whichever_technique_is_likely_to_win(rows: int) -> None:
    examples = read_examples([f"question number {n}" for n in range(rows)], ["a", "b"] * (rows // 2))
    measured = Probe(np.full(100, 10), tokens_per_second=500.0, read_per_second=1000.0)
    made = outline(
        examples, np.arange(rows), examples, Settings(), measured=measured, longest=16, seconds_left=1e5
    )
    assert (made.work.rows, made.work.folds) == (rows, 4)
    learned = made.steps * rows_per_batch(rows) * made.passes.cost
    once = (learned + head_rows(rows, 10) / 2) * 10 / 500
    contrasted, last = (contrastive_steps(n) * CONTRASTED_ROWS * 10 / 500 for n in (rows * 3 // 4, rows))
    beside = 4 * made.counting_seconds + swept_seconds(made) + made.work.scoring_seconds(measured, 16)
    foretold = run_seconds(made) - beside - 8 * TURN_SECONDS
    fine_tuning = (4 * 3 / 4 + 1) * once + 2 * contrasted  # it learns three parts by turns, then all rows
    contrasting = 3 / 4 * once + 4 * contrasted + last
    took = contrasting if rows < 400 else fine_tuning  # with hundreds of rows fine-tuning wins
    assert abs(took / foretold - 1) < 0.25


def test_few_labels_without_time_for_turns_are_contrasted_once_which_is_what_is_foretold() -> None:
    examples = read_examples([f"question number {n}" for n in range(192)], ["a", "b"] * 96)
    measured = Probe(np.full(100, 10), tokens_per_second=500.0, read_per_second=1000.0)
    made = outline(
        examples, np.arange(192), None, Settings(minutes=1), measured=measured, longest=16, seconds_left=50.0
    )
    rows = made.work.rows
    assert made.contrasts_untried
    assert (made.work.folds, made.steps, made.sweep_seconds) == (0, contrastive_steps(rows), 0)
    contrasted = contrastive_steps(rows) * CONTRASTED_ROWS
    assert made.passes.count == pytest.approx(made.passes.share * contrasted / rows)
    took = (contrasted + head_rows(rows, 10) / 2) * 10 / 500
    assert run_seconds(made) == pytest.approx(made.counting_seconds + took + made.scoring_seconds)


def test_texts_that_cannot_be_contrasted_are_foretold_to_be_fine_tuned_on() -> None:
    texts, truths = [f"question number {n}" for n in range(192)], [n + 0.5 for n in range(192)]
    numbers = read_examples(texts, truths, task=Task.NUMBER)
    measured = Probe(np.full(100, 10), tokens_per_second=500.0, read_per_second=1000.0)
    made = outline(
        numbers, np.arange(192), numbers, Settings(), measured=measured, longest=16, seconds_left=1e5
    )
    assert (made.task, made.work.folds) == (Task.NUMBER, 4)
    assert run_seconds(made) > 4 * made.learned_tokens / 500


def test_no_more_time_is_foretold_for_the_sweep_than_all_its_steps_take() -> None:
    examples = read_examples([f"question number {n}" for n in range(200)], ["a", "b"] * 100)
    measured = Probe(np.full(100, 10), tokens_per_second=5000.0, read_per_second=10_000.0)
    planned = partial(outline, examples, np.arange(200), examples, Settings(), measured=measured, longest=16)
    short, long = (run_seconds(planned(seconds_left=60.0 * minutes)) for minutes in (10, 100))
    assert long == pytest.approx(short)


def test_a_quote_is_not_rounded_past_what_it_promises() -> None:
    ways = [Way("quick", 2, 1.44, 0.986, 0.999, 0.5, "a"), Way("thorough", 15, 12.4, 0.99, 0.9991, 1, "b")]
    told = _lines(Quote(400, Task.SINGLE, "a laptop", tuple(ways), (), "prices"))
    assert told[1].split(maxsplit=1) == ["quick", "1.4 min   should be right 98.6% to 99.9% of the time"]
    assert told[3].split(maxsplit=1) == ["thorough", "12 min   should be right 99.0% to 99.9% of the time"]


def test_a_way_that_promises_what_the_next_one_does_is_not_offered() -> None:
    quick = Way("quick", 2, 0.63, 0.9861, 0.999, 0.9, "a")
    standard = Way("standard", 3, 0.94, 0.9863, 0.999, 1.0, "b")
    thorough = Way("thorough", 4, 0.94, 0.9871, 0.999, 1.0, "c")
    assert _different([quick, standard, thorough]) == (standard, thorough)
    assert _different([replace(way, low=None, high=None) for way in (quick, standard)])[0].name == "standard"
    assert _different([thorough]) == (thorough,)


@pytest.mark.slow
def test_a_quote_has_ways_whose_commands_train_and_say_the_same(
    cli: Cli, tiny_backbone: Path, tmp_path: Path
) -> None:
    write_csv(tmp_path / "my reviews.csv", ["review", "sentiment"], review_rows())
    done = cli("quote", "my reviews.csv", "--label", "sentiment", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert told["rows"] == 120
    minutes = [way["minutes"] for way in told["ways"]]
    assert minutes == sorted(set(minutes))
    assert told["ways"][-1]["name"] == "thorough"
    assert all(0 < way["expected_minutes"] <= way["minutes"] for way in told["ways"])
    command = shlex.split(told["ways"][0]["command"])
    assert command[:5] == ["plaintune", "train", "my reviews.csv", "--label", "sentiment"]
    command[command.index("--minutes") + 1] = "0.5"
    run = cli(*command[1:], "--backbone", tiny_backbone, cwd=tmp_path)
    assert "This should take about" in run.stderr
    plan = json.loads((tmp_path / "my reviews-model" / "plan.json").read_text())
    assert plan["forecast"]["seconds"] > 0


def test_a_quote_reads_well_and_leaves_nothing_behind(cli: Cli, tmp_path: Path) -> None:
    write_csv(tmp_path / "reviews.csv", ["review", "sentiment"], review_rows())
    done = cli("quote", "reviews.csv", cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("On this machine (")
    assert any("plaintune train reviews.csv --minutes" in line for line in lines)
    assert [path.name for path in tmp_path.iterdir()] == ["reviews.csv"]


def test_what_cannot_be_quoted_is_refused_in_words(cli: Cli, tmp_path: Path) -> None:
    done = cli("quote", "nothing.csv", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "There is no file nothing.csv" in done.stderr


def test_what_a_quote_says_to_type_trains_what_was_quoted() -> None:
    asked = Settings(backbone="some/model", seed=3)
    line = _command(Path("r.csv"), asked, None, 5)
    assert line == "plaintune train r.csv --backbone some/model --seed 3 --minutes 5"
    assert _command({"text": []}, asked, None, 5).startswith("plaintune.train(…, backbone='some/model'")
