"""The pages of `plaintune serve` in a real browser: with a mouse, a keyboard, a phone, and in the dark."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import take_picture
from conftest import BAD, GOOD, write_csv
from plaintune.model.explain import explain
from plaintune.model.predict import Model
from service import Service, serving

pytestmark = pytest.mark.slow
TOKEN = "a-token-for-the-tests-0123456789"


@pytest.fixture(scope="module")
def service(trained: tuple[Path, dict[str, Any]]) -> Iterator[Service]:
    with serving(trained[0], "--unsure", 1, cwd=trained[0].parent) as running:
        yield running


@pytest.fixture(scope="module")
def model(trained: tuple[Path, dict[str, Any]]) -> Model:
    return Model.load(trained[0])


def answer(page: Any, address: str, text: str) -> str:
    page.goto(address)
    page.fill("#text", text)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#result:visible")
    return str(page.inner_text("#answer"))


def test_a_text_gets_its_answer_and_confidence_by_keyboard_alone(
    browser_page: Any, service: Service, model: Model
) -> None:
    browser_page.goto(service.address)
    browser_page.wait_for_selector("#text:focus")
    browser_page.wait_for_selector("#curl:not(:empty)")
    browser_page.keyboard.type(GOOD[0])
    browser_page.keyboard.press("Tab")
    browser_page.keyboard.press("Enter")
    browser_page.wait_for_selector("#result:visible")
    expected = model.predict(GOOD[0])[0]
    assert browser_page.inner_text("#answer") == expected.answer
    said = "Over 99%" if expected.confidence > 0.99 else f"{round(100 * expected.confidence)}%"
    assert f"{said} sure" in browser_page.inner_text("#sure")
    assert browser_page.locator("#bars li").count() == 2


def test_a_text_of_markup_is_shown_as_text(browser_page: Any, service: Service) -> None:
    answer(browser_page, service.address, "<img src=x onerror=alert(1)> <b>bold</b>")
    assert browser_page.locator("main img, main b").count() == 0
    assert "onerror" in browser_page.inner_text("#python")


def test_the_deciding_words_are_marked(browser_page: Any, service: Service) -> None:
    pieces = [
        {"text": "loved", "start": 4, "end": 9, "weight": 0.9},
        {"text": "boring", "start": 13, "end": 19, "weight": -0.3},
        {"text": "it", "start": 10, "end": 12, "weight": 0.001},
    ]
    body = json.dumps({"model": "m", "explanation": {"pieces": pieces}})
    browser_page.route("**/explain", lambda route: route.fulfill(body=body, content_type="application/json"))
    answer(browser_page, service.address, "🎈 I loved it boring")
    browser_page.wait_for_selector("#why:visible")
    assert browser_page.locator("#words mark").all_inner_texts() == ["loved", "boring"]
    assert browser_page.locator("#words mark.against").all_inner_texts() == ["boring"]
    assert browser_page.inner_text("#words") == "🎈 I loved it boring"
    assert "“loved”" in browser_page.inner_text("#why-told")


def test_the_marked_words_are_those_that_the_model_names(
    browser_page: Any, service: Service, model: Model
) -> None:
    answer(browser_page, service.address, GOOD[0])
    browser_page.wait_for_selector("#why:visible")
    found = explain(model, GOOD[0])
    least = 0.1 * abs(found.strongest[0].weight)
    pulling = [piece.text for piece in found.pieces if abs(piece.weight) > least]
    assert browser_page.locator("#words mark").all_inner_texts() == pulling
    assert browser_page.inner_text("#words") == GOOD[0]


def saved(page: Any, folder: Path, delimiter: str = ",") -> list[list[str]]:
    page.wait_for_selector("#done:visible", timeout=60_000)
    with page.expect_download() as download:
        page.click("#save")
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    return list(csv.reader(file.open(encoding="utf-8-sig", newline=""), delimiter=delimiter))


def test_a_file_comes_back_with_the_answers_of_predict_in_every_row(
    browser_page: Any, service: Service, model: Model, tmp_path: Path
) -> None:
    texts = [f'{text}, "quoted"\nand {number}' for number in range(12) for text in GOOD + BAD]
    rows = [(str(number), text, "kept") for number, text in enumerate([*texts, "  "])]
    file = write_csv(tmp_path / "mail.csv", ["id", "Review", "answer"], rows)
    browser_page.goto(service.address)
    browser_page.set_input_files("#file", file)
    header, *found = saved(browser_page, tmp_path)
    assert header == ["id", "Review", "answer", "answer_2", "confidence", "unsure"]
    assert [tuple(row[:3]) for row in found] == rows
    for row, expected in zip(found, model.predict(texts), strict=False):
        assert row[3] == expected.answer
        assert float(row[4]) == pytest.approx(expected.confidence, abs=2e-4)
    assert found[-1][3:] == ["", "", ""]
    assert "240 rows answered. 1 row without a usable text" in browser_page.inner_text("#done-told")


def test_a_file_that_is_dropped_is_answered(browser_page: Any, service: Service, tmp_path: Path) -> None:
    browser_page.goto(service.address)
    browser_page.wait_for_selector("#curl:not(:empty)")
    dropped = browser_page.evaluate_handle(
        "text => { const dropped = new DataTransfer();"
        " dropped.items.add(new File([text], 'mail.csv', {type: 'text/csv'})); return dropped; }",
        f"review\n{GOOD[0]}\n{BAD[0]}\n",
    )
    browser_page.dispatch_event("#drop", "dragover", {"dataTransfer": dropped})
    assert browser_page.get_attribute("#drop", "class") == "drop over"
    browser_page.dispatch_event("#drop", "drop", {"dataTransfer": dropped})
    assert [row[0] for row in saved(browser_page, tmp_path)] == ["review", GOOD[0], BAD[0]]
    assert browser_page.get_attribute("#drop", "class") == "drop"
    assert browser_page.inner_text("#save") == "Save mail-answered.csv"


def test_a_file_of_other_columns_asks_which_one_and_tells_its_progress(
    browser_page: Any, service: Service, tmp_path: Path
) -> None:
    file = tmp_path / "windows.csv"
    file.write_bytes("nr;café\r\n1;très bon\r\n2;nul\r\n".encode("cp1252"))
    browser_page.goto(service.address)
    browser_page.evaluate(
        "window.told = [];"
        "new MutationObserver(() => told.push(document.getElementById('progress-told').textContent))"
        ".observe(document.getElementById('progress-told'), {childList: true})"
    )
    browser_page.set_input_files("#file", file)
    browser_page.wait_for_selector("#column-choice:visible")
    browser_page.select_option("#column", label="café")
    browser_page.click("#start")
    header, *found = list(csv.reader([";".join(row) for row in saved(browser_page, tmp_path)], delimiter=";"))
    assert header[:2] == ["nr", "café"]
    assert [row[1] for row in found] == ["très bon", "nul"]
    assert browser_page.evaluate("told") == ["0 of 2 rows answered"]


def test_a_text_with_commas_is_answered_whole_and_no_cell_is_lost(
    browser_page: Any, service: Service, model: Model, tmp_path: Path
) -> None:
    browser_page.goto(service.address)
    for content, kept in (
        ("review\nSlow, but superb\nGood\n", [["Slow, but superb"], ["Good"]]),
        ("nr,review\n1,Slow, but superb\n2,Good,\n", [["1", "Slow, but superb"], ["2", "Good"]]),
    ):
        file = tmp_path / "mail.csv"
        file.write_text(content)
        browser_page.set_input_files("#file", file)
        header, *found = saved(browser_page, tmp_path)
        width = header.index("answer")
        assert [row[:width] for row in found] == kept
        for row, expected in zip(found, model.predict([cells[-1] for cells in kept]), strict=True):
            assert row[width] == expected.answer
            assert float(row[width + 1]) == pytest.approx(expected.confidence, abs=2e-4)


def test_bars_and_lone_quotes_are_read_as_predict_reads_them(
    browser_page: Any, service: Service, tmp_path: Path
) -> None:
    browser_page.goto(service.address)
    lone = [['"Good, he said', "1"], ['the "new" one', "2"]]
    for mark, content, kept in (
        ("|", "nr|review\n1|Good\n2|Bad\n", [["1", "Good"], ["2", "Bad"]]),
        (";", 'sep=;\nnr;review\n1;"Good; really"\n', [["1", "Good; really"]]),
        ("\t", "review\tnr\n" + "".join("\t".join(row) + "\n" for row in lone), lone),
    ):
        file = tmp_path / "mail.csv"
        file.write_text(content)
        browser_page.set_input_files("#file", file)
        header, *found = saved(browser_page, tmp_path, mark)
        assert [row[: header.index("answer")] for row in found] == kept


def test_a_busy_service_is_asked_again_until_the_file_is_done(
    browser_page: Any, service: Service, tmp_path: Path
) -> None:
    file = write_csv(tmp_path / "mail.csv", ["review"], [(text,) for text in GOOD])
    refusals = [503, 429]

    def refuse_twice(route: Any) -> None:
        if refusals:
            route.fulfill(status=refusals.pop(), headers={"Retry-After": "1"}, json={"detail": "Busy."})
        else:
            route.continue_()

    browser_page.route("**/predict", refuse_twice)
    browser_page.goto(service.address)
    browser_page.set_input_files("#file", file)
    assert len(saved(browser_page, tmp_path)) == len(GOOD) + 1
    assert refusals == []


def test_a_file_goes_on_where_the_service_was_away_for_a_moment(
    browser_page: Any, service: Service, tmp_path: Path
) -> None:
    file = write_csv(tmp_path / "mail.csv", ["review"], [(text,) for text in GOOD])
    away = [True, True]
    browser_page.route(
        "**/predict", lambda route: route.abort() if away and away.pop() else route.continue_()
    )
    browser_page.goto(service.address)
    browser_page.set_input_files("#file", file)
    assert len(saved(browser_page, tmp_path)) == len(GOOD) + 1
    assert away == []


@pytest.mark.parametrize("status", [500, 503])
def test_what_is_answered_is_offered_where_a_file_ends_early(
    browser_page: Any, service: Service, tmp_path: Path, status: int
) -> None:
    file = write_csv(tmp_path / "mail.csv", ["review"], [(f"mail {number}",) for number in range(250)])
    blocks = [True, True]

    def only_two(route: Any) -> None:
        if blocks and blocks.pop():
            route.continue_()
        else:
            route.fulfill(status=status, headers={"Retry-After": "1"}, json={"detail": "Broken."})

    browser_page.route("**/predict", only_two)
    browser_page.goto(service.address)
    browser_page.set_input_files("#file", file)
    if status == 503:  # it would be asked for ever
        browser_page.wait_for_selector("#progress-told:has-text('200 of 250')")
        browser_page.click("#stop")
    assert [row[0] for row in saved(browser_page, tmp_path)][-1] == "mail 199"
    assert browser_page.inner_text("#save") == "Save mail-partly-answered.csv"
    assert "200 rows answered. Not reached: 50 rows." in browser_page.inner_text("#done-told")
    assert ("Broken." in browser_page.inner_text("#file-fault")) == (status == 500)


def test_a_second_file_takes_the_place_of_the_first(
    browser_page: Any, service: Service, tmp_path: Path
) -> None:
    first = write_csv(tmp_path / "first.csv", ["review"], [(f"first {number}",) for number in range(500)])
    second = write_csv(tmp_path / "second.csv", ["review"], [("second one",), ("second two",)])

    def busy_with_the_first(route: Any) -> None:
        if "first" in (route.request.post_data or ""):
            route.fulfill(status=503, headers={"Retry-After": "1"}, json={"detail": "Busy."})
        else:
            route.continue_()

    browser_page.route("**/predict", busy_with_the_first)
    browser_page.goto(service.address)
    browser_page.set_input_files("#file", first)
    browser_page.wait_for_selector("#progress:visible")
    browser_page.set_input_files("#file", second)
    assert [row[0] for row in saved(browser_page, tmp_path)] == ["review", "second one", "second two"]
    browser_page.wait_for_timeout(1500)  # the first would have been asked again by now
    assert browser_page.is_hidden("#progress")
    assert browser_page.inner_text("#save") == "Save second-answered.csv"


def test_a_file_without_rows_is_a_problem_in_words(
    browser_page: Any, service: Service, tmp_path: Path
) -> None:
    (tmp_path / "empty.csv").write_text("review\n")
    browser_page.goto(service.address)
    browser_page.set_input_files("#file", tmp_path / "empty.csv")
    browser_page.wait_for_selector("#file-fault .fault")
    assert "empty.csv holds no rows." in browser_page.inner_text("#file-fault")


def test_the_snippets_work_as_they_are(browser_page: Any, service: Service, model: Model) -> None:
    text = "I can't say \"good\" — it's 100% $HOME `fine`\\"
    told = answer(browser_page, service.address, text)
    for name, command in [("curl", ["sh", "-c"]), ("python", [sys.executable, "-c"])]:
        code = browser_page.inner_text(f"#{name}")
        done = subprocess.run([*command, code], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert told in done.stdout


@pytest.mark.parametrize("name", ["curl", "python"])
def test_a_snippet_is_copied_or_at_least_selected(browser_page: Any, service: Service, name: str) -> None:
    browser_page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=service.address)
    browser_page.goto(service.address)
    browser_page.wait_for_selector(f"#{name}:not(:empty)")
    code = browser_page.text_content(f"#{name}")
    browser_page.click(f"[data-copies={name}]")
    browser_page.wait_for_selector("#copied:text-is('Copied.')")
    assert browser_page.evaluate("navigator.clipboard.readText()") == code
    browser_page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error()); }")
    browser_page.click(f"[data-copies={name}]")
    browser_page.wait_for_selector("#copied:text-matches('^Selected')")
    assert browser_page.evaluate("getSelection().toString()") == code


def test_the_examples_for_programs_bear_the_token_where_one_is_asked_for(
    browser_page: Any, service: Service, model: Model
) -> None:
    def example(address: str, path: str) -> str:
        browser_page.goto(f"{address}/docs")
        heading = browser_page.locator(f"h2 code:text-is('{path}')")
        shown = browser_page.locator("section.route", has=heading).locator("pre").first
        return str(shown.inner_text())

    assert "PLAINTUNE_TOKEN" not in example(service.address, "/predict")
    with serving(model.folder, cwd=model.folder.parent, PLAINTUNE_TOKEN=TOKEN) as guarded:
        assert "PLAINTUNE_TOKEN" not in example(guarded.address, "/health")
        for path, told in (("/predict", "predictions"), ("/models", "models")):
            command = ["sh", "-c", example(guarded.address, path)]
            asked = subprocess.check_output(command, env={**os.environ, "PLAINTUNE_TOKEN": TOKEN}, timeout=60)
            assert told in json.loads(asked)


def test_a_token_is_asked_for_once(browser_page: Any, service: Service, model: Model) -> None:
    with serving(model.folder, cwd=model.folder.parent, PLAINTUNE_TOKEN=TOKEN) as guarded:
        browser_page.goto(guarded.address)
        browser_page.fill("#token", "wrong")
        browser_page.keyboard.press("Enter")
        browser_page.wait_for_selector("text=not the right one")
        browser_page.fill("#token", TOKEN)
        browser_page.keyboard.press("Enter")
        browser_page.wait_for_selector(f"h1:has-text('{model.folder.name}')")
        assert answer(browser_page, guarded.address, GOOD[0]) == model.predict(GOOD[0])[0].answer
        assert TOKEN not in browser_page.content()
        browser_page.goto(f"{guarded.address}/watch")
        browser_page.wait_for_selector("#figures:visible")


def test_the_watch_page_tells_what_differs(browser_page: Any, service: Service) -> None:
    service.ask("/predict", {"texts": ["zxq vbn wrt"] * 400})
    browser_page.goto(f"{service.address}/watch")
    row = browser_page.locator("tr", has_text="Share of words it never met")
    row.wait_for()
    assert "Very different" in row.inner_text()
    assert browser_page.locator("#bars li").count() == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_no_page_shuts_anybody_out_or_scrolls_sideways(
    browser_page: Any,
    accessibility_faults: Callable[[], list[str]],
    service: Service,
    tmp_path: Path,
    scheme: str,
    width: int,
) -> None:
    browser_page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    browser_page.set_viewport_size({"width": width, "height": 844})
    answer(browser_page, service.address, GOOD[0])
    for path, shown in [("", None), ("/watch", "#figures:visible"), ("/docs", ".route")]:
        if shown:
            browser_page.goto(service.address + path)
            browser_page.wait_for_selector(shown)
        assert accessibility_faults() == [], path
        assert browser_page.evaluate("document.documentElement.scrollWidth") <= width, path
        take_picture(browser_page, tmp_path / "page.png")
