"""Long texts: learned from in windows anywhere, answered from all of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import BAD, GOOD, Cli, review_rows, write_csv
from plaintune.core.events import silent
from plaintune.core.settings import Settings
from plaintune.data.encode import MARKS, Tokens, both, joined, mean_by_text, windows_of
from plaintune.learn.budget import MOST_WINDOWS, Probe
from plaintune.learn.learner import Learner, prepare
from plaintune.model.predict import Model

CLS, SEP, WINDOW = 101, 102, 12


def tokens_of(*lengths: int) -> Tokens:
    """Texts of so many different tokens between their marks, seen in windows of `WINDOW`."""
    parts = [np.array([CLS, *range(1000, 1000 + n - MARKS), SEP], dtype=np.int32) for n in lengths]
    plain = joined(parts)
    return Tokens(plain.ids, plain.start, WINDOW)


@pytest.fixture(scope="module")
def learner(tiny_backbone: Path) -> Learner:
    return prepare(Settings(backbone=str(tiny_backbone)), silent)


def test_windows_hold_every_token_of_a_text_between_its_marks() -> None:
    tokens = tokens_of(5, 12, 13, 47)
    seen, text_of = tokens.windows()
    assert max(seen.lengths) <= WINDOW
    assert np.bincount(text_of).tolist() == windows_of(tokens.lengths, WINDOW).tolist() == [1, 1, 2, 5]
    for text in range(len(tokens)):
        windows = [seen.of(int(at)) for at in np.flatnonzero(text_of == text)]
        assert all(window[0] == CLS and window[-1] == SEP for window in windows)
        inside = np.unique(np.concatenate([window[1:-1] for window in windows]))
        assert np.array_equal(inside, tokens.of(text)[1:-1])


def test_each_pass_sees_another_part_of_a_long_text_and_the_same_seed_the_same_part() -> None:
    tokens = tokens_of(5, 200)
    first, again, other = tokens.drawn(0), tokens.drawn(0), tokens.drawn(1)
    assert np.array_equal(first.ids, again.ids)
    assert not np.array_equal(first.of(1), other.of(1))
    assert len(first.of(1)) == WINDOW
    assert np.array_equal(first.of(0), tokens.of(0))


def test_texts_put_one_after_another_stay_what_they_were() -> None:
    first, second = tokens_of(5, 20), tokens_of(7)
    together = both(first, second)
    assert [together.of(at).tolist() for at in range(3)] == [
        first.of(0).tolist(), first.of(1).tolist(), second.of(0).tolist(),
    ]  # fmt: skip
    assert together.window == WINDOW


def test_what_is_seen_in_windows_is_averaged_by_text() -> None:
    seen = np.array([[1.0], [2.0], [6.0]], dtype=np.float32)
    assert mean_by_text(seen, np.array([0, 1, 1]), 2).ravel().tolist() == [1.0, 4.0]


def test_a_far_longer_text_keeps_its_head_and_its_tail(learner: Learner) -> None:
    words = np.array(["good " * 3000 + "bad"], dtype=object)
    tokens = learner.tokens(words, 16, windows=3)
    seen, text_of = tokens.windows()
    assert len(text_of) == 3
    assert seen.of(2)[-2] == learner.tokens(np.array(["bad"], dtype=object), 16).ids[1]


def test_windows_are_as_many_as_nearly_all_texts_need() -> None:
    lengths = np.array([100] * 60 + [300] * 36 + [5000] * 4)
    assert Probe(lengths, 1000.0, 1700.0).windows(256) == 2
    assert Probe(lengths, 1000.0, 1700.0).windows(64) == MOST_WINDOWS
    assert Probe(lengths, 1000.0, 1700.0, most_windows=1).windows(64) == 1
    assert Probe(lengths, 1000.0, 1700.0).mean_tokens_seen(256) == pytest.approx(0.6 * 100 + 0.4 * 512)


@pytest.mark.slow
def test_a_model_of_long_texts_answers_by_what_stands_in_their_middle(
    cli: Cli, tiny_backbone: Path, tmp_path: Path
) -> None:
    filler = "the film was shown on a screen in a room with chairs and people sat there and looked at it "
    middle = {"positive": "wonderful, lovely, " * 20, "negative": "dreadful, boring, " * 20}

    def long(text: str, label: str) -> str:
        return f"{filler * 12} {middle[label]} {text}. {filler * 12}"

    rows = [(long(text, label), label) for text, label in review_rows()]
    write_csv(tmp_path / "long.csv", ["text", "label"], rows)
    done = cli(
        "train",
        "long.csv",
        "--backbone",
        str(tiny_backbone),
        "--json",
        "--quiet",
        "--minutes",
        1.5,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "long-model" / "manifest.json").read_text())
    assert manifest["windows"] > 1
    (reason,) = [c["reason"] for c in manifest["choices"] if c["name"] == "text length"]
    assert "parts whose answers are averaged" in reason
    model = Model.load(tmp_path / "long-model")
    middles = [long(GOOD[0], "positive"), long(BAD[0], "negative")]
    assert np.abs(np.diff(model.network_logits(middles), axis=0)).max() > 1e-4
