"""What the report says is so: lines to type, numbers, rare answers; no word of a text where none is asked."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from browser import browser_that_notes
from conftest import Cli, review_rows
from plaintune.core.blending import Blend
from plaintune.core.errors import BrokenModel
from plaintune.core.events import Event
from plaintune.core.linear import NgramModel
from plaintune.core.tasks import Task
from plaintune.data.corrections import Correction, corrected
from plaintune.data.finding import DataCheck, Finding
from plaintune.data.leaks import leak_findings
from plaintune.data.read import read_examples
from plaintune.data.split import Splits
from plaintune.learn.self_training import KEPT, NAME
from plaintune.model.evaluate import evaluate
from plaintune.model.predict import Model
from plaintune.report.contents import LONGEST_TEXT, Doubt, contents
from plaintune.report.figures import HeldBack, by_confidence
from plaintune.report.page import render_page
from plaintune.report.readings import readings
from plaintune.report.stored import rewrite_report, write_report
from plaintune.reporting import doubtful_rows, learned_twice
from plaintune.scoring import score, scored_of
from test_report import TEXTS, held_back, told_of


@pytest.fixture
def mixed_up() -> HeldBack:
    """30 texts for three teams; five of billing's go to refunds, four of other's to billing."""
    given = [n % 3 for n in range(30)]
    for at in (0, 3, 6, 9, 12):
        given[at] = 1
    for at in (2, 5, 8, 11):
        given[at] = 0
    outputs = [[0.9 if c == answer else 0.05 for c in range(3)] for answer in given]
    texts = [f"text number {n}" for n in range(30)]
    return held_back(texts, [n % 3 for n in range(30)], outputs, ("billing", "refunds", "other"))


def several(truth: list[list[int]], outputs: list[list[float]]) -> HeldBack:
    """Rows to which several of the answers may apply."""
    classes = tuple(f"tag {n}" for n in range(len(truth[0])))
    texts = np.array([f"remark {n}" for n in range(len(truth))], dtype=TEXTS)
    return HeldBack(
        Task.MULTI, classes, texts, np.arange(len(truth)), np.array(truth),
        np.array(outputs, dtype=np.float32), np.full((len(truth), len(classes)), 0.5, dtype=np.float32),
        np.full(len(classes), 0.5), Blend(Task.MULTI, 1.0, 0.0),
    )  # fmt: skip


def numbers(truth: list[float], told: list[float]) -> HeldBack:
    """Rows that are answered with a number."""
    texts = np.array([f"house {n}" for n in range(len(truth))], dtype=TEXTS)
    return HeldBack(
        Task.NUMBER, (), texts, np.arange(len(truth)), np.array(truth), np.array(told)[:, None],
        np.zeros((len(truth), 1)), np.array([3.0, 1.0]), Blend(Task.NUMBER, 1.0, 0.0, half_width=1.0),
    )  # fmt: skip


def commands(held: HeldBack, **changes: Any) -> dict[str, str]:
    """The lines to type, by what they are for."""
    return {action["title"]: action["command"] for action in contents(told_of(held, **changes))["actions"]}


def test_a_line_that_trains_again_keeps_the_time_and_puts_the_model_in_its_place(mixed_up: HeldBack) -> None:
    report = contents(told_of(mixed_up, minutes_promised=15.0))
    assert report["corrections_command"] == (
        "plaintune train 'my mail.csv' --corrections fixes.csv --minutes 15 --out runs/mail-model --yes"
    )
    report = contents(told_of(mixed_up, minutes_promised=15.0, from_python=True))
    assert report["corrections_command"] == (
        "plaintune.train(…, corrections='fixes.csv', minutes=15.0, out='runs/mail-model', overwrite=True)"
    )


def test_more_time_is_twice_the_time_and_a_rented_machine_is_never_taken_unasked(mixed_up: HeldBack) -> None:
    held = replace(mixed_up, outputs=np.eye(3)[mixed_up.truth])
    short = [{"name": "passes over the data", "value": "0.5", "reason": "as many as the time allows"}]
    rented = {"gpu": "T4", "minutes": 9.4, "cost_usd": 0.031, "price_date": "2026-11-24"}
    told = commands(held, choices=short, rented=rented, minutes_promised=15.0)
    assert told["Give it more time"] == (
        "plaintune train 'my mail.csv' --minutes 30 --out runs/mail-model --yes"
    )
    assert told["Rent a GPU"] == "plaintune train 'my mail.csv' --on cloud --out runs/mail-model"
    long = commands(held, choices=short, rented=rented, minutes_promised=90.0)
    assert "--on cloud --minutes 90 --out" in long["Rent a GPU"]


def test_answers_with_an_equals_sign_are_not_proposed_to_be_one(mixed_up: HeldBack) -> None:
    held = replace(mixed_up, classes=("billing", "re=funds", "other"))
    merges = [line for title, line in commands(held).items() if title.startswith("Do you need")]
    assert merges == ["plaintune train 'my mail.csv' --merge other=billing --out runs/mail-model --yes"]


def test_more_examples_of_many_answers_are_added_to_those_there_are() -> None:
    classes = tuple(f"matter {n}" for n in range(31))
    truth = [n % 31 for n in range(62)]
    outputs = np.full((62, 31), 0.01)
    outputs[np.arange(62), [0 if t == 7 else t for t in truth]] = 0.7
    held = held_back([f"text {n}" for n in range(62)], truth, outputs.tolist(), classes)
    few = dict.fromkeys(classes, 5)
    for from_python, source in ((False, "`my mail.csv`"), (True, "your data")):
        report = contents(told_of(held, examples_by_class=few, from_python=from_python))
        (more,) = [action for action in report["actions"] if action["title"].startswith("Get more")]
        assert f"Add them to {source}, then train again:" in more["why"]
        assert more["command"].startswith("plaintune.train(…, out=" if from_python else "plaintune train 'my")


def test_label_is_told_where_the_text_stands_and_what_comes_after_it(mixed_up: HeldBack) -> None:
    few, options = dict.fromkeys(mixed_up.classes, 10), {"text": ("subject", "body")}
    report = contents(told_of(mixed_up, examples_by_class=few, options=options))
    (more,) = [action for action in report["actions"] if action["title"].startswith("Get more")]
    asked = "--answers billing,refunds,other --text subject --text body"
    assert more["command"] == f"plaintune label new-texts.csv {asked}"
    assert more["why"].endswith("Then add what you answered to `my mail.csv`, and train again.")


def test_examples_are_asked_for_of_the_answer_whose_texts_are_missed_most() -> None:
    truth = [0] * 50 + [1] + [2] * 30
    given = [0] * 30 + [2] * 20 + [2] + [2] * 30
    outputs = np.full((81, 3), 0.1)
    outputs[np.arange(81), given] = 0.8
    held = held_back([f"text {n}" for n in range(81)], truth, outputs.tolist(), ("often", "once", "other"))
    titles = commands(held, examples_by_class={"often": 60, "once": 3, "other": 90})
    assert "Get more examples of “often”" in titles


def test_words_of_a_number_raise_or_lower_it() -> None:
    held = numbers([9.0, 3.0], [1.0, 3.1])

    def explain(text: str, answer: str | None) -> list[tuple[str, int, int, float]]:
        return [("house", 0, 5, -2.0), (text[5:], 5, len(text), 1.0)]

    page = render_page(contents(told_of(held), explain=explain))
    assert "Words that raised the number are <mark" in page
    assert "words that lowered it <mark" in page
    assert "pulled towards" not in page
    assert '<mark class="against" style="--pull:1.00">house</mark>' in page


def test_rare_answers_that_are_left_out_do_not_speak_for_its_confidence() -> None:
    outputs = [[0.02, 0.01, 0.03]] * 400 + [[0.9, 0.01, 0.02]] * 60
    held = several([[0, 0, 0]] * 420 + [[1, 0, 0]] * 40, outputs)
    (only,) = by_confidence(held)
    assert (only["rows"], only["share"]) == (60, pytest.approx(40 / 60))
    report = contents(told_of(held))
    assert "Do not take its confidence literally" in readings(report)["confidence"].here
    page = render_page(report)
    assert "how often the answer applies" in page
    assert "how often it is right" not in page


def test_where_no_answer_is_probable_confidence_is_not_judged() -> None:
    report = contents(told_of(several([[0, 0]] * 100, [[0.02, 0.03]] * 100)))
    assert "there are too few to tell" in readings(report)["confidence"].here
    page = render_page(report)
    assert "there are too few to tell" in page
    assert "Confidence against truth" not in page


@pytest.mark.parametrize("private", ["", " write to jane.doe@example.com"])
def test_no_text_on_the_page_is_longer_than_is_said(private: str) -> None:
    texts = [f"{'never ending ' * 15_000}{n}{private}{' story' * 100}" for n in range(12)]
    held = held_back(texts, [0] * 12, [[0.1, 0.9]] * 12, ("bad", "good"))
    report = contents(told_of(held), explain=lambda text, _: [(text, 0, len(text), 0.0)])
    shown = ["".join(piece for piece, _ in mistake["texts"]) for mistake in report["mistakes"]]
    assert {len(text) for text in shown} == {LONGEST_TEXT + 2}
    assert all(text.endswith(" …") for text in shown)
    assert len(render_page(report)) < 500_000


def leaky() -> DataCheck:
    """A check-up of messages in which a word of ours gives an answer away."""
    texts = [f"{'zorvex ' if n % 2 else ''}message number {n} of {n % 7}" for n in range(200)]
    examples = read_examples(texts, ["billing" if n % 2 else "returns" for n in range(200)])
    (telling,) = leak_findings(examples)
    assert "zorvex" in telling.what
    return DataCheck("my mail.csv", 200, (telling,))


def test_a_report_without_texts_names_no_word_of_them(mixed_up: HeldBack) -> None:
    told = told_of(mixed_up, check=leaky())
    report = contents(told)
    assert json.dumps(report).count("zorvex") == 4  # the finding, its figure, the outcome, what to do next
    cleaned = contents(told, texts=False)
    for written in (json.dumps(cleaned), render_page(cleaned)):
        assert "zorvex" not in written
    (finding,) = cleaned["findings"]
    assert finding["values"] == {"score": 1.0, "texts_looked_at": 200}
    assert "… → `billing` (100% of its texts)" in finding["what"]


def stored(folder: Path, held: HeldBack) -> Path:
    """A folder with a report and a check-up that hold words of texts."""
    folder.mkdir()
    check = leaky()
    doubt = Doubt(2, "00", "a doubtful quaxle", "billing", "other", 0.9)
    write_report(folder, told_of(held, check=check, doubtful=[doubt]), explain=None, texts=True)
    (folder / "data-check.json").write_text(json.dumps(check.as_json()))
    return folder


def test_no_texts_leaves_none_in_the_folder_nor_in_its_numbers(
    cli: Cli, mixed_up: HeldBack, tmp_path: Path
) -> None:
    folder = stored(tmp_path / "m", mixed_up)
    done = cli("report", "m", "--no-texts", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "hold no examples any more" in done.stderr
    for file in folder.iterdir():
        assert not any(word in file.read_text() for word in ("zorvex", "quaxle", "text number"))


def test_a_page_without_texts_elsewhere_says_that_the_numbers_still_hold_them(
    cli: Cli, mixed_up: HeldBack, tmp_path: Path
) -> None:
    folder = stored(tmp_path / "m", mixed_up)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    done = cli("report", "m", "--no-texts", "--out", "page.html", cwd=tmp_path)
    assert "m/report.json still holds examples" in done.stderr
    assert "quaxle" not in (tmp_path / "page.html").read_text()
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_open_hands_the_page_to_the_browser(cli: Cli, mixed_up: HeldBack, tmp_path: Path) -> None:
    folder = stored(tmp_path / "my model", mixed_up)
    done = cli("report", "my model", "--open", cwd=tmp_path, BROWSER=str(browser_that_notes(tmp_path)))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "browser-asked.txt").read_text().splitlines() == [(folder / "report.html").as_uri()]


def test_where_there_is_no_browser_open_says_which_page_to_open(
    cli: Cli, mixed_up: HeldBack, tmp_path: Path
) -> None:
    stored(tmp_path / "m", mixed_up)
    nothing = dict.fromkeys(("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "PATH"), "")
    done = cli("report", "m", "--open", cwd=tmp_path, **nothing)
    assert done.returncode == 0, done.stderr
    assert "open m/report.html yourself" in done.stderr


@pytest.mark.parametrize(
    ("written", "problem"),
    [("{}", "damaged"), ("[]", "damaged"), ("{", "damaged"), ('{"format": 99}', "another plaintune")],
)
def test_numbers_that_are_no_report_are_refused_in_words(written: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(written)
    with pytest.raises(BrokenModel, match=problem):
        rewrite_report(tmp_path, None, texts=True, replace_existing=False)


def trained_for(points: int, *, second: bool) -> dict[str, Any]:
    seen = [(float(at + 1), 0.5, 0.5) for at in range(points)]
    return {"seen": seen, "steps": points, "steps_per_pass": 10, "second": second}


def test_the_moment_at_which_every_layer_starts_to_move_is_marked(mixed_up: HeldBack) -> None:
    report = contents(told_of(mixed_up, history=trained_for(20, second=False)))
    assert ">every layer starts to move<" in render_page(report)
    assert "First only the last layer was fitted" in readings(report)["history"].how


def test_a_second_training_is_not_said_to_begin_with_the_last_layer(mixed_up: HeldBack) -> None:
    report = contents(told_of(mixed_up, history=trained_for(20, second=True)))
    assert ">every layer starts to move<" not in render_page(report)
    how = readings(report)["history"].how
    assert "second training" in how
    assert "First only the last layer" not in how


@pytest.mark.parametrize("kept", KEPT)
def test_a_second_training_is_one_whose_network_was_kept(kept: tuple[bool, bool]) -> None:
    choices = [{"name": "other", "value": KEPT[kept]}, {"name": NAME, "value": KEPT[kept]}]
    assert learned_twice(choices) is kept[0]
    assert not learned_twice(choices[:1])


def doubts(proposed: Sequence[str], given: str) -> list[Doubt]:
    return [Doubt(line, f"{line:02}", f"text {line}", given, to, 0.9) for line, to in enumerate(proposed, 2)]


def test_any_of_many_answers_can_be_chosen_for_a_doubtful_one() -> None:
    for count, offered in ((12, False), (13, True)):
        classes = tuple(f"matter {n}" for n in range(count))
        held = held_back(["one", "two"], [0, 1], np.eye(count)[:2].tolist(), classes)
        page = render_page(contents(told_of(held, doubtful=doubts([classes[1]], classes[0]))))
        assert ('<input list="answers"' in page) is offered
        assert ('<option value="matter 11"></option>' in page) is offered


def test_any_number_can_be_given_for_a_doubtful_one() -> None:
    page = render_page(contents(told_of(numbers([1.0, 2.0], [1.0, 2.0]), doubtful=doubts(["2.5"], "25"))))
    assert 'placeholder="another number"' in page


def test_the_page_says_where_a_saved_file_belongs(mixed_up: HeldBack) -> None:
    page = render_page(contents(told_of(mixed_up, doubtful=doubts(["other"], "billing"))))
    assert "move it to the folder in which you run this" in page


def test_proposals_that_would_change_what_the_next_score_is_measured_against_are_marked(
    mixed_up: HeldBack,
) -> None:
    found = [replace(doubt, scored=doubt.line == 3) for doubt in doubts(["other", "other"], "billing")]
    report = contents(told_of(mixed_up, doubtful=found))
    page = render_page(report)
    assert '<th scope="row">2</th>' in page
    assert '<th scope="row">3 <span class="where">scored on</span></th>' in page
    assert "1 of these, marked “scored on”, is among the examples that the score was measured on." in page
    for doubt in report["doubtful"]:
        del doubt["scored"]  # as in the folder of an earlier release
    assert "marked “scored on”" not in render_page(report)


@pytest.mark.parametrize("own_test", [False, True])
def test_a_proposal_is_for_a_row_that_was_scored_where_that_row_was_held_back(own_test: bool) -> None:
    texts, answers = [f"text {n}" for n in range(120)], ["bad", "good"] * 60
    said = np.eye(2)[np.arange(120) % 2]
    said[[10, 70]] = said[[11, 71]]  # a row to check on, and one to score on, are given the wrong answer
    examples = read_examples(texts, answers)
    valid, test = np.arange(60), np.arange(60, 60 if own_test else 120)
    learned: Any = SimpleNamespace(splits=Splits(valid[:0], valid, test, ""), checked=None)
    logits = (said[:60] * 8).astype(np.float32)
    checked: Any = SimpleNamespace(network_logits=logits, ngram_logits=logits)
    held = held_back(texts[60:], [n % 2 for n in range(60)], said[60:].tolist(), ("bad", "good"))
    found = doubtful_rows(examples, learned, checked, Blend(Task.SINGLE, 1.0, 0.0), held)
    told = {(doubt.line, doubt.scored) for doubt in found}
    first = (int(examples.rows[10]), False)
    assert told == ({first} if own_test else {first, (int(examples.rows[70]), True)})


def test_a_run_says_how_many_of_the_answers_it_is_scored_on_were_corrected(
    trained: tuple[Path, dict[str, Any]], mixed_up: HeldBack, tmp_path: Path
) -> None:
    texts, answers = zip(*review_rows(), strict=True)
    examples = read_examples([f"{text}, number {n}" for n, text in enumerate(texts)], list(answers))
    fixes = [Correction(int(line), None, "", "negative") for line in examples.rows[:7]]
    fixes.append(Correction(int(examples.rows[50]), None, "positive", "positive"))  # looked at, and left
    model, words = Model.load(trained[0]), NgramModel.load(trained[0] / "ngrams.safetensors")
    heard: list[Event] = []
    for part, mended in ((examples, 0), (corrected(examples, fixes, tmp_path), 2)):
        held = part.take(np.arange(5, 105))
        result = evaluate(model, held)
        scores, _ = score(model, scored_of(held, result, heard.append), result, words, 0.5)
        assert scores["corrected_rows"] == mended
    (said,) = heard
    assert said.message.startswith("You corrected the answers of 2 of the 100 examples that it is scored on.")
    page = render_page(contents(told_of(mixed_up, scores={**told_of(mixed_up).scores, **scores})))
    assert "it had never seen; you corrected 2 of their answers" in page


def test_answers_in_any_script_are_drawn_without_a_warning(mixed_up: HeldBack) -> None:
    held = replace(mixed_up, classes=("账单", "환불", "अन्य"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = render_page(contents(told_of(held)))
    assert "账单" in page


def test_a_finding_without_words_of_texts_stays_as_it_is(mixed_up: HeldBack) -> None:
    (telling,) = leaky().findings
    other = Finding("markup", telling.severity, 9, "9 texts hold “zorvex” → markup.", "Why.", "Kept.")
    report = contents(told_of(mixed_up, check=DataCheck("my mail.csv", 30, (other,))), texts=False)
    assert report["findings"] == [other.as_json()]
