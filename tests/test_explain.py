"""Explanations: the words that decide are named, the whole text is told back, for every kind of answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import Cli
from plaintune.core.blending import Blend
from plaintune.core.errors import UserError
from plaintune.core.tasks import Task
from plaintune.faces import cli_explain
from plaintune.faces.cli_explain import _coloured, as_page
from plaintune.model.explain import MOST_UNITS, SHORT_TEXT, Explanation, Piece, _read, _short, _units, explain
from plaintune.model.predict import Model, Prediction

Trained = tuple[Path, dict[str, Any]]
TEXT = "The music was wonderful, I loved every minute; <b>but</b> the seats were hard."


@pytest.fixture(scope="module")
def model(trained: Trained) -> Model:
    return Model.load(trained[0])


def test_half_a_character_is_answered_and_explained(model: Model) -> None:
    halved = "The music was wonderful \ud83d indeed"
    assert model.predict(halved)[0].answer == model.predict("The music was wonderful \ufffd indeed")[0].answer
    assert "".join(piece.text for piece in explain(model, halved).pieces) == halved.replace(
        "\ud83d", "\ufffd"
    )


def test_the_pieces_are_the_whole_text_in_order(model: Model) -> None:
    for text in (TEXT, "", "?!", TEXT * 30, "word " * (2 * MOST_UNITS)):
        found = explain(model, text)
        assert "".join(piece.text for piece in found.pieces) == text
        assert all(text[piece.start : piece.end] == piece.text for piece in found.pieces)
        assert sum(piece.weight != 0 for piece in found.pieces) <= MOST_UNITS


def test_words_that_the_network_does_not_read_have_no_pull_of_its(model: Model) -> None:
    most = model.manifest.max_length_tokens * model.manifest.windows
    text = "it was a film<br />and then " + "wonderful " * (2 * most) + "we went home"
    gap, tail = model.unread_by_network(text)
    assert 0 < gap < tail < len(text)
    head, end = text[: text.index(" ", gap)], text[text.rindex(" ", 0, tail) :]
    other = head + " dreadful" * (2 * most) + end
    assert model.network_logits([text]) == pytest.approx(model.network_logits([other]), abs=1e-5)
    units = _units(text)
    read = _read(model, text, units)
    assert read[0] > 1
    assert read[-1] > 1
    assert read[len(units) // 2] == 0
    assert (_read(model, "a film", _units("a film")) == 1).all()


def test_each_sign_of_a_script_without_spaces_is_explained(model: Model) -> None:
    pieces = explain(model, "这部 film 很好").pieces
    assert [piece.text for piece in pieces if piece.text.strip()] == ["这", "部", "film", "很", "好"]


def test_two_words_that_say_the_same_are_both_found() -> None:
    text = "we loved the play , a delightful evening in town"
    units = _units(text)

    def ask(texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Leaving one of the two out changes nothing."""
        said = np.array([3.0 * ("loved" in text or "delightful" in text) for text in texts])
        return said, 1 / (1 + np.exp(-said))

    weights = _short(text, units, ask)
    words = [text[start:end] for start, end in units]
    assert {words[at] for at in np.argsort(-weights)[:2]} == {"loved", "delightful"}
    assert sorted(weights)[-2] > 4 * sorted(weights)[-3]


def test_words_that_add_up_get_what_they_add() -> None:
    text = "not good but not bad"
    worth = {"not": -1.0, "good": 2.0, "but": 0.5, "bad": -2.0}

    def ask(texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        said = np.array([float(sum(map(worth.get, text.split()))) for text in texts])
        return said, 1 / (1 + np.exp(-said))

    weights = _short(text, _units(text), ask)
    assert weights == pytest.approx([-1.0, 2.0, 0.5, -1.0, -2.0], abs=0.1)


def test_what_speaks_for_one_of_two_answers_speaks_against_the_other(model: Model) -> None:
    one, other = (explain(model, TEXT, answer=answer) for answer in model.classes)
    assert one.given != other.given
    assert [p.weight for p in one.pieces] == pytest.approx([-p.weight for p in other.pieces], abs=1e-4)


def test_the_words_that_matter_in_a_long_text_are_found_in_stretches(model: Model) -> None:
    dull = "they sat down and then they stood up again near the door of the room " * 10
    text = f"{dull} I loved every minute, what a delightful evening. {dull}"
    assert len(text.split()) > SHORT_TEXT
    found = explain(model, text, answer="positive")
    strongest = {piece.text for piece in found.strongest[:6]}
    assert strongest & {"loved", "every", "minute", "delightful", "evening", "what"}


def test_an_answer_that_the_model_does_not_have_is_refused_with_the_nearest(model: Model) -> None:
    with pytest.raises(UserError, match="Did you mean 'positive'"):
        explain(model, TEXT, answer="postive")


def test_the_command_marks_words_and_writes_a_page_that_runs_nothing(
    cli: Cli, trained: Trained, tmp_path: Path
) -> None:
    folder, _ = trained
    text = "I loved it <script>alert(1)</script>"
    told = cli("explain", folder, text, "--html", "why.html", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "loved" in told.stdout
    assert any(line.strip().startswith(("+", "-")) for line in told.stdout.splitlines())
    page = (tmp_path / "why.html").read_text()
    assert "<script" not in page
    assert "&lt;" in page
    assert cli("explain", folder, text, "--html", "why.html", cwd=tmp_path).returncode == 2
    as_json = json.loads(cli("explain", folder, text, "--json", cwd=tmp_path).stdout)
    assert "".join(piece["text"] for piece in as_json["pieces"]) == text


def test_no_answer_or_word_steers_the_terminal() -> None:
    piece = Piece("bad\x1b]0;x\x07 text\nnext", 0, 18, 1.0)
    coloured = _coloured(Explanation("good", 0.9, True, (piece,)))
    assert "\x1b" not in coloured.plain
    assert coloured.plain.endswith(" text\nnext")


class Rating:
    """A model of numbers: a point more for each "good", one less for each "bad"."""

    task, classes = Task.NUMBER, ()
    blend = Blend(Task.NUMBER, 1.0, 0.0, centre=3.0, spread=1.0, half_width=2.0)

    def network_logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        said = [text.split().count("good") - text.split().count("bad") for text in texts]
        return np.array(said, dtype=np.float32)[:, None]

    def ngram_logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.zeros((len(texts), 1), dtype=np.float32)

    def predict(self, text: str) -> list[Prediction]:
        number = 3.0 + float(self.network_logits([text])[0, 0])
        return [Prediction(number, 0.9, {}, (number - 2.0, number + 2.0))]


def test_a_pull_above_nothing_raises_a_number_and_the_interval_is_told() -> None:
    found = explain(Rating(), "good food but bad and bad service")
    assert (found.answer, found.told, found.interval) == (2.0, "2", (0.0, 4.0))
    assert json.loads(json.dumps(found.as_json()))["answer"] == 2.0
    signs = {piece.text: np.sign(round(piece.weight, 1)) for piece in found.pieces if piece.text.strip()}
    assert signs == {"good": 1, "food": 0, "but": 0, "bad": -1, "and": 0, "service": 0}


def test_of_a_number_the_command_tells_its_interval_and_what_raised_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Model, "load", lambda folder: Rating())
    cli_explain.explain(Path("model"), "good food")
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first == "4  (90% sure: 2 to 6)"
    assert last == "+ raised the number, - lowered it (in its unit)."
    page = as_page(explain(Rating(), "good food"))
    assert "90% sure: 2 to 6. Words that raised the number are" in page
    assert "towards" not in page
