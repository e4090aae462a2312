"""The report in a real browser: from disk, without a request, readable by all, for every kind of model."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser import browser_that_notes, take_picture
from conftest import BAD, GOOD, Cli, review_rows, write_csv
from plaintune.core.features import text_hash
from plaintune.core.tasks import Task
from plaintune.model.predict import Model
from plaintune.report.contents import Doubt, contents
from plaintune.report.page import render_page
from test_report import held_back, told_of

pytestmark = pytest.mark.slow
PHONE = 375  # pixels across
KINDS = {
    "two answers": Task.SINGLE,
    "77 answers": Task.SINGLE,
    "several answers": Task.MULTI,
    "numbers": Task.NUMBER,
}
SCRIPT = "<script>document.title = 'gone'</script><img src=x onerror=\"document.title='gone'\">"


def rows_of(kind: str) -> list[tuple[str, ...]]:
    """Small data of ours; one review in ten holds a script, and some answers are wrong."""
    reviews = [
        (f"{text} {SCRIPT if n % 10 == 0 else ''}", says) for n, (text, says) in enumerate(review_rows())
    ]
    if kind == "two answers":
        wrong = {"positive": "negative", "negative": "positive"}
        return [(text, wrong[says] if n % 15 == 7 else says) for n, (text, says) in enumerate(reviews)]
    if kind == "77 answers":
        words, rng = " ".join(GOOD + BAD).split(), random.Random(0)
        return [
            (f"matter{n} {' '.join(rng.sample(words, 9))} {SCRIPT}", f"matter {n} <b>{n % 7}</b>")
            for n in range(77)
            for _ in range(10)
        ]
    if kind == "several answers":
        texts = [f"{g} but {b}" for g in GOOD for b in BAD]
        return [(text, ("warm", "warm;dull", "dull")[n % 11 % 3]) for n, text in enumerate(texts)]
    stars = [(len(text) % 17) / 2 + (says == "positive") for text, says in reviews]
    slipped = [10 * number if n % 15 == 7 else number for n, number in enumerate(stars)]  # a point left out
    return [(text, f"{number:.1f}") for (text, _), number in zip(reviews, slipped, strict=True)]


@pytest.fixture(scope="session")
def reports(cli: Cli, tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of a model of each kind, trained by the real command."""
    pages = {}
    for kind, task in KINDS.items():
        folder = tmp_path_factory.mktemp(kind.replace(" ", "-"))
        write_csv(folder / "mail.csv", ["text", "answer"], rows_of(kind))
        arguments = ("--task", task, "--backbone", tiny_backbone, "--minutes", 3, "--quiet")
        done = cli("train", "mail.csv", *arguments, cwd=folder)
        assert done.returncode == 0, done.stderr
        pages[kind] = folder / "mail-model" / "report.html"
        assert json.loads(pages[kind].with_name("report.json").read_text())["task"] == task
    return pages


@pytest.fixture
def opened(browser_page: Any, reports: dict[str, Path], complaints: list[str]) -> Callable[[str], Any]:
    """Opens the page of a kind; any request but for the file itself counts as a complaint."""

    def heard(request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            complaints.append(f"asked for {request.url}")

    browser_page.on("request", heard)
    browser_page.on("console", lambda message: complaints.append(message.text))

    def open_page(kind: str) -> Any:
        browser_page.goto(reports[kind].as_uri())
        return browser_page

    return open_page


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_opens_from_disk_in_light_dark_on_a_phone_and_on_paper(
    kind: str, opened: Callable[[str], Any], accessibility_faults: Callable[[], list[str]], tmp_path: Path
) -> None:
    page = opened(kind)
    assert page.title() == "mail-model · plaintune report"
    backgrounds = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert accessibility_faults() == []
        take_picture(page, tmp_path / f"{scheme}.png")
    assert len(backgrounds) == 2
    page.set_viewport_size({"width": PHONE, "height": 812})
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
    assert accessibility_faults() == []  # once: colours do not depend on the width
    take_picture(page, tmp_path / "phone.png")
    page.emulate_media(media="print", color_scheme="light")
    assert len(page.pdf()) > 20_000
    assert not page.locator("nav").first.is_visible()


def test_the_page_of_77_answers_is_at_most_two_megabytes(reports: dict[str, Path]) -> None:
    assert reports["77 answers"].stat().st_size <= 2_000_000


def test_a_script_in_a_review_is_shown_and_not_run(opened: Callable[[str], Any]) -> None:
    page = opened("77 answers")
    shown = page.locator("#mistakes .text, #doubtful .text").all_inner_texts()
    assert any(SCRIPT[:30] in text for text in shown)
    assert page.title() == "mail-model · plaintune report"


def test_a_glossary_link_leads_to_its_meaning_by_keyboard(opened: Callable[[str], Any]) -> None:
    page = opened("two answers")
    link = page.locator("a.term", has_text="learning rate").first
    link.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#word-learning-rate"
    assert "How far" in page.locator(":target").inner_text()


def test_corrections_chosen_on_the_page_are_saved_and_taken_by_train_which_counts_those_it_is_scored_on(
    cli: Cli, opened: Callable[[str], Any], reports: dict[str, Path], tiny_backbone: Path
) -> None:
    page = opened("two answers")
    page.locator("#save").click()
    assert "Nothing is changed yet" in page.locator("#saved").inner_text()
    row = page.locator("#doubtful tbody tr").first
    line, was = row.get_attribute("data-line"), row.get_attribute("data-was")
    row.locator("select").select_option(index=1)
    with page.expect_download() as download:
        page.locator("#save").click()
    folder = reports["two answers"].parents[1]
    download.value.save_as(folder / "fixes.csv")
    header, saved = (folder / "fixes.csv").read_text().splitlines()
    assert header == "line,key,was,answer"
    assert saved.startswith(f"{line},")
    assert was != saved.rsplit(",", 1)[1]
    slips = [(f"{n + 2}", says) for n, (_, says) in enumerate(review_rows()) if n % 15 == 7]
    write_csv(folder / "more.csv", ["line", "answer"], slips)
    files = ("--corrections", "fixes.csv", "--corrections", "more.csv")
    arguments = ("--backbone", tiny_backbone, "--minutes", 3, "--out", "mended", "--open")
    shown = {"BROWSER": str(browser_that_notes(folder))}
    done = cli("train", "mail.csv", *files, *arguments, cwd=folder, **shown)
    assert done.returncode == 0, done.stderr
    assert "1 answers are corrected" in done.stderr
    assert (folder / "browser-asked.txt").read_text() == f"{(folder / 'mended' / 'report.html').as_uri()}\n"
    learned = Model.load(folder / "mended").manifest.training_text_hashes
    scored = [line for line, _ in slips if text_hash(rows_of("two answers")[int(line) - 2][0]) not in learned]
    assert scored
    assert f"You corrected the answers of {len(scored)} of the 24 examples" in done.stderr


def test_any_of_many_answers_is_typed_and_a_slip_is_not_saved(
    browser_page: Any, accessibility_faults: Callable[[], list[str]], tmp_path: Path
) -> None:
    classes = tuple(f"matter {n}" for n in range(20))
    held = held_back(["one", "two"], [0, 1], np.eye(20)[:2].tolist(), classes)
    doubtful = [Doubt(n, f"{n:02}", f"text {n}", "matter 0", "matter 1", 0.9, n == 3) for n in (2, 3)]
    (tmp_path / "report.html").write_text(render_page(contents(told_of(held, doubtful=doubtful))))
    browser_page.goto((tmp_path / "report.html").as_uri())
    for width in (1200, PHONE):
        browser_page.set_viewport_size({"width": width, "height": 812})
        assert accessibility_faults() == [], width
    fields = browser_page.locator("#doubtful tbody input")
    fields.nth(1).fill("mater 7")
    fields.nth(1).press("Enter")
    browser_page.locator("#save").click()
    assert "there is no answer “mater 7”" in browser_page.locator("#saved").inner_text()
    fields.nth(1).fill("matter 7")
    browser_page.locator("#doubtful select").first.select_option(index=1)
    with browser_page.expect_download() as download:
        browser_page.locator("#save").click()
    download.value.save_as(tmp_path / "fixes.csv")
    _, *saved = (tmp_path / "fixes.csv").read_text().splitlines()
    assert saved == ["2,02,matter 0,matter 1", "3,03,matter 0,matter 7"]
