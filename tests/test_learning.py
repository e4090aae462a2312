"""Splits, duplicates, tokens, n-grams, scores: the parts that decide whether a figure can be trusted."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info

from conftest import review_rows
from plaintune.core.blending import Blend
from plaintune.core.errors import UserError
from plaintune.core.events import silent
from plaintune.core.features import NgramHasher, NgramShape, normalised, split_words, text_hash
from plaintune.core.files import kept_array
from plaintune.core.linear import MAX_BYTES, NgramModel
from plaintune.core.metrics import macro_f1, score_outputs, wilson_interval
from plaintune.core.settings import Choice, Settings
from plaintune.core.tasks import Task
from plaintune.data.duplicates import text_clusters
from plaintune.data.encode import batches, head_and_tail, like_lengths, shuffled_batches
from plaintune.data.examples import TEXT_DTYPE, Examples, Understood
from plaintune.data.read import read_examples
from plaintune.data.sample import drawn_for
from plaintune.data.split import Splits, rows_that_belong_together, split
from plaintune.learn import lr_finder
from plaintune.learn import train as training
from plaintune.learn.baseline import NEVER, fit_baseline
from plaintune.learn.blend import fit_blend, threshold_alone
from plaintune.learn.budget import (
    SAFETY,
    Probe,
    Work,
    choose_length,
    choose_passes,
    rows_per_batch,
    sweep_seconds,
)
from plaintune.learn.checkpoint import Checkpoint
from plaintune.learn.crossval import counted_in_turns, known_in_turns
from plaintune.learn.evidence import gather
from plaintune.learn.learner import Learner, prepare, seconds_to_count_one, standard_labels
from plaintune.learn.lr_finder import FEW_ROWS, SAFE_RATES, pick_rate, usual_rate
from plaintune.learn.network import Network, weights_of
from plaintune.learn.outline import _counting, outline
from plaintune.learn.plan import Plan
from plaintune.learn.steps import Stepper
from plaintune.learn.train import NO_PACE, Pace, Schedule, Trained, fit_linear, go_on, train

EVEN = np.array([0.5, 0.5])


def examples_of(texts: list[str], labels: list[int], **more: object) -> Examples:
    understood = Understood("here", "Python", ("text",), "label")
    classes = tuple(f"class {n}" for n in range(max(labels) + 1))
    return Examples(
        np.array(texts, dtype=TEXT_DTYPE),
        np.array(labels),
        classes,
        np.arange(len(texts)),
        understood,
        **more,
    )  # type: ignore[arg-type]


WORDS = [
    "amber",
    "birch",
    "cedar",
    "dune",
    "ember",
    "fjord",
    "grove",
    "heath",
    "islet",
    "juniper",
    "kelp",
    "larch",
    "moss",
    "north",
    "oak",
    "pine",
]


def sentence(number: int, words: int = 14) -> str:
    rng = np.random.default_rng(number)
    return " ".join([*rng.choice(WORDS, words), str(number)])


def divided(examples: Examples, **options: object) -> Splits:
    return split(examples, rows_that_belong_together(examples, text_clusters(examples.texts)), **options)  # type: ignore[arg-type]


def side_of(splits: Splits, rows: int) -> np.ndarray:
    side = np.full(rows, -1)
    for number, part in enumerate((splits.train, splits.valid, splits.test)):
        assert (side[part] == -1).all()
        side[part] = number
    assert (side >= 0).all()
    return side


@pytest.mark.parametrize("seed", range(5))
def test_a_repeated_review_never_sits_on_both_sides_of_the_split(seed: int) -> None:
    texts = [sentence(n) for n in range(100)]
    texts += [text.upper() + " !!" for text in texts[:40]] + [text + " indeed" for text in texts[40:60]]
    labels = [n % 2 for n in range(100)] + [n % 2 for n in range(60)]
    side = side_of(divided(examples_of(texts, labels), seed=seed, max_test_rows=50, own_test=False), 160)
    assert (side[100:140] == side[:40]).all()
    assert (side[140:] == side[40:60]).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_group_never_sits_on_both_sides_of_the_split(seed: int) -> None:
    texts = [sentence(n) for n in range(200)]
    groups = np.arange(200) // 8
    grouped = examples_of(texts, [n % 2 for n in range(200)], groups=groups)
    side = side_of(divided(grouped, seed=seed, max_test_rows=100, own_test=False), 200)
    for group in range(25):
        assert len(set(side[groups == group])) == 1


def test_the_test_part_has_every_class_by_its_share() -> None:
    labels = [0] * 700 + [1] * 200 + [2] * 100
    splits = divided(
        examples_of([sentence(n) for n in range(1000)], labels), seed=1, max_test_rows=500, own_test=False
    )
    assert np.bincount(np.array(labels)[splits.test]).tolist() == [140, 40, 20]


def test_where_few_rows_can_be_scored_in_time_no_more_are_held_back_to_check_on() -> None:
    examples = examples_of([sentence(n) for n in range(1000)], [n % 2 for n in range(1000)])
    ample = divided(examples, seed=1, max_test_rows=500, own_test=False)
    short = divided(examples, seed=1, max_test_rows=40, own_test=False)
    assert (len(ample.valid), len(short.valid), len(short.test)) == (120, 40, 40)
    assert len(short.train) == 920


def test_by_time_everything_in_test_is_later_than_everything_learned_from() -> None:
    times = np.random.default_rng(0).permutation(300).astype(float)
    timed = examples_of([sentence(n) for n in range(300)], [n % 2 for n in range(300)], times=times)
    splits = divided(timed, seed=0, max_test_rows=60, own_test=False)
    assert times[splits.test].min() > times[splits.valid].max() > times[splits.train].max()
    assert len(splits.test) == 60


def test_by_time_a_last_moment_of_many_rows_leaves_something_to_learn_from() -> None:
    times = np.repeat([2019.0, 2020.0, 2021.0, 2022.0, 2023.0], [40, 40, 40, 40, 240])
    timed = examples_of([sentence(n) for n in range(400)], [n % 2 for n in range(400)], times=times)
    splits = divided(timed, seed=0, max_test_rows=80, own_test=False)
    assert set(times[splits.test]) == {2023.0}
    assert set(times[splits.valid]) == {2022.0}
    assert len(splits.train) == 120


def test_with_more_answers_than_rows_to_hold_back_some_are_held_back_all_the_same() -> None:
    labels = [n % 300 for n in range(1200)]
    many = examples_of([sentence(n) for n in range(1200)], labels)
    splits = divided(many, seed=0, max_test_rows=100, own_test=False)
    assert 80 <= len(splits.test) <= 120
    assert len(set(labels)) == len({labels[at] for at in splits.train})


def test_answers_that_are_rare_one_by_one_are_scored_as_often_as_they_come() -> None:
    kinds = np.concatenate([np.repeat(np.arange(20), 300), np.repeat(np.arange(20, 500), 8)])
    many = examples_of([sentence(n) for n in range(len(kinds))], kinds.tolist())
    splits = split(many, np.arange(len(kinds)), seed=0, max_test_rows=200, own_test=False)
    rare = [(kinds[part] >= 20).mean() for part in (splits.test, splits.valid)]
    assert rare == pytest.approx([0.39, 0.39], abs=0.05)
    assert (len(splits.test), len(splits.valid)) == (200, 200)


def test_groups_larger_than_what_is_held_back_are_held_back_whole() -> None:
    groups = np.repeat(np.arange(4), [120, 100, 110, 130])
    rows = examples_of([sentence(n) for n in range(460)], [n % 2 for n in range(460)], groups=groups)
    splits = divided(rows, seed=0, max_test_rows=20, own_test=False)
    assert [len(splits.test), len(splits.valid), len(splits.train)] == [100, 110, 250]
    assert "one group alone" in splits.reason


def test_by_time_two_moments_leave_some_of_the_first_to_check_on() -> None:
    times = np.repeat([2023.0, 2024.0], [80, 20])
    timed = examples_of([sentence(n) for n in range(100)], [n % 2 for n in range(100)], times=times)
    splits = divided(timed, seed=0, max_test_rows=20, own_test=False)
    assert set(times[splits.test]) == {2024.0}
    assert (len(splits.train), len(splits.valid)) == (68, 12)


def test_an_answer_that_comes_in_two_groups_alone_is_learned_from_one_of_them() -> None:
    groups = np.concatenate([np.repeat([0, 1], 3), np.arange(2, 196)])
    labels = [0, 1, 1, 0, 1, 1] + [1, 2] * 97
    rows = examples_of([sentence(n) for n in range(200)], labels, groups=groups)
    for seed in range(200):
        splits = split(rows, groups, seed=seed, max_test_rows=100, own_test=False)
        assert set(np.array(labels)[splits.train]) == {0, 1, 2}


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    given = examples_of([sentence(n) for n in range(200)], [n % 2 for n in range(200)])
    first, again, other = (divided(given, seed=s, max_test_rows=99, own_test=False).test for s in (3, 3, 4))
    assert (first == again).all()
    assert not np.array_equal(first, other)


def test_too_few_different_texts_are_refused() -> None:
    with pytest.raises(UserError, match="too few"):
        divided(
            examples_of(["so good"] * 9 + ["so bad"] * 9, [0, 1] * 9), seed=0, max_test_rows=9, own_test=False
        )


def test_a_shared_signature_does_not_make_two_messages_duplicates() -> None:
    signature = " kind regards the whole team of the little shop on the corner"
    texts = [sentence(n, words=30) + signature for n in range(30)]
    assert len(np.unique(text_clusters(np.array(texts, dtype=TEXT_DTYPE)))) == 30


def test_one_changed_word_in_a_short_question_is_another_question() -> None:
    texts = ["how do I top up my card", "how do I block my card", "HOW do I top-up my card?"]
    clusters = text_clusters(np.array(texts, dtype=TEXT_DTYPE))
    assert clusters[0] == clusters[2] != clusters[1]


def test_normalising_ignores_case_marks_and_spacing_but_not_words() -> None:
    assert normalised("Great<br />FILM!!") == normalised("great film")
    assert text_hash("great film") != text_hash("great films")
    assert normalised("😀😀") != normalised("😡")


def test_a_long_text_keeps_its_head_and_its_tail() -> None:
    ids = np.arange(1000, dtype=np.int32)
    kept = head_and_tail(ids, 100)
    assert kept.tolist() == [*range(25), *range(925, 1000)]
    assert head_and_tail(ids[:100], 100).tolist() == list(range(100))


def test_every_text_is_in_an_epoch_once() -> None:
    lengths = np.random.default_rng(0).integers(3, 200, size=500)
    epoch = shuffled_batches(lengths, rows_per_batch=16, seed=5)
    assert sorted(np.concatenate(epoch).tolist()) == list(range(500))
    assert max(map(len, epoch)) == 16


def test_a_batch_is_parted_where_padding_would_cost_more_than_another_part() -> None:
    lengths = np.array([10, 90, 12, 11, 95, 9])

    def parted(tokens_at_once: int, part_cost: int) -> list[list[int]]:
        return [
            part.tolist()
            for part in like_lengths(lengths, tokens_at_once=tokens_at_once, part_cost=part_cost)
        ]

    assert parted(10_000, 50) == [[4, 1], [2, 3, 0, 5]]
    assert parted(10_000, 10_000) == [[4, 1, 2, 3, 0, 5]]
    assert parted(100, 50) == [[4], [1], [2, 3, 0, 5]]
    assert parted(5, 0) == [[4], [1], [2], [3], [0], [5]]


def test_no_part_of_a_batch_holds_more_tokens_than_asked() -> None:
    lengths = np.random.default_rng(0).integers(3, 200, size=500)
    parts = list(batches(lengths, rows_per_batch=64, tokens_per_batch=1024))
    assert sorted(np.concatenate(parts).tolist()) == list(range(500))
    assert max(len(part) * lengths[part].max() for part in parts) <= 1024
    lone = list(batches(np.array([5000, 3]), rows_per_batch=8, tokens_per_batch=1024))
    assert [batch.tolist() for batch in lone] == [[0], [1]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I'd say: naïve café", ["i'd", "say", ":", "naïve", "café"]),
        ("这部 film很好!", ["这", "部", "film", "很", "好", "!"]),
        ("とても2回", ["と", "て", "も", "2", "回"]),
        ("кино – нет", ["кино", "–", "нет"]),
    ],
)
def test_words_are_parted_where_their_script_parts_them(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_ngrams_do_not_cross_from_one_text_into_the_next() -> None:
    hasher = NgramHasher(NgramShape(words=2))
    apart = hasher.hash_block(["one two", "three four"])
    together = hasher.hash_block(["one two three four"])
    assert np.diff(apart.start).tolist() == [3, 3]
    assert set(apart.hashes) < set(together.hashes)
    assert len(together.hashes) == 7


@pytest.mark.parametrize("answers", [2, 3])
def test_the_ngram_model_comes_back_from_disk_as_it_was_scored(tmp_path: Path, answers: int) -> None:
    rows = review_rows()
    texts = np.array([text for text, _ in rows], dtype=TEXT_DTYPE)
    labels = np.array(
        [(n % 3 if answers == 3 else int(label == "positive")) for n, (_, label) in enumerate(rows)]
    )
    model = fit_baseline(texts, labels, answers, seed=0)
    model.save(tmp_path / "ngrams.safetensors")
    loaded = NgramModel.load(tmp_path / "ngrams.safetensors")
    assert np.allclose(loaded.logits(texts), model.logits(texts), atol=0.02)  # weights are kept in float16
    assert (loaded.logits(texts).argmax(axis=1) == model.logits(texts).argmax(axis=1)).all()
    assert model.logits(texts).shape == (120, answers)
    assert (model.logits(texts).argmax(axis=1) == labels).mean() > 0.9


def test_the_ngram_model_stays_within_its_size_whatever_the_number_of_answers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = np.array([" ".join(map(str, rng.integers(0, 10**6, 160))) for _ in range(600)], dtype=TEXT_DTYPE)
    model = fit_baseline(texts, np.arange(600) % 60, 60, seed=0)
    model.save(tmp_path / "ngrams.safetensors")
    assert len(model.vocabulary) < 600 * (160 + 159 + 158) - 1000  # some were left out
    assert (tmp_path / "ngrams.safetensors").stat().st_size <= MAX_BYTES


def test_a_sample_is_no_larger_for_having_thousands_of_answers() -> None:
    texts = np.array([f"text {number}" for number in range(900)], dtype=TEXT_DTYPE)
    few = fit_baseline(texts, np.arange(900) % 300, 300, max_rows=60, seed=0)
    assert (few.bias > NEVER).sum() <= 60
    every = fit_baseline(texts, np.arange(900) % 6, 6, max_rows=60, seed=0)
    assert (every.bias > NEVER).all()


def test_words_are_counted_in_one_thread_which_other_programs_cannot_keep_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: set[int] = set()
    fit = LogisticRegression.fit

    def watched(model: LogisticRegression, *given: Any) -> LogisticRegression:
        threads.update(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return fit(model, *given)

    monkeypatch.setattr(LogisticRegression, "fit", watched)
    fit_baseline(["good film", "bad film"] * 20, np.array([1, 0] * 20), 2, seed=0)
    assert threads == {1}


def test_texts_that_share_no_words_or_have_none_are_no_error() -> None:
    labels = np.arange(1200) % 2
    letters = np.random.default_rng(0).choice(list("acgt"), (1200, 400))
    unlike = ["".join(row) for row in letters]  # each one word that no other has
    for texts in (unlike, ["?!"] * 1200):
        model = fit_baseline(np.array(texts, dtype=TEXT_DTYPE), labels, 2, seed=0)
        assert np.isfinite(model.logits(texts[:10])).all()
    learned = fit_baseline(np.array(unlike, dtype=TEXT_DTYPE), labels, 2, seed=0)
    assert (learned.logits(unlike).argmax(axis=1) == labels).all()


def test_an_answer_that_always_applies_is_always_given() -> None:
    labels = np.array([[1, 0, 0], [1, 1, 0]] * 10)
    found = fit_linear(Task.MULTI, np.eye(2, dtype=np.float32)[labels[:, 1]], labels, answers=3, strength=1.0)
    assert found is not None
    assert found[1][0] > 0 > found[1][2]


def test_by_turns_words_are_counted_in_no_more_rows_than_memory_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = examples_of([sentence(n) for n in range(100)], [n % 2 for n in range(100)])
    fitted = Mock(wraps=fit_baseline)
    monkeypatch.setattr("plaintune.learn.crossval.fit_baseline", fitted)
    said = counted_in_turns(rows, [np.arange(50), np.arange(50, 100)], seed=0, max_rows=30)
    assert said.shape == (100, 2)
    assert [call.kwargs["max_rows"] for call in fitted.call_args_list] == [30, 30]


def test_numbers_that_are_mostly_the_highest_can_be_learned() -> None:
    texts = [f"text {number} of {number % 7}" for number in range(200)]
    examples = read_examples(texts, [5.0 if n % 10 else n / 100 for n in range(200)], task=Task.NUMBER)
    parts = split(examples, np.arange(200), seed=0, max_test_rows=50, own_test=False)
    assert len(np.unique(examples.labels[parts.train])) > 1


def test_a_past_of_one_answer_is_said_to_be_the_trouble() -> None:
    when = [f"2025-{1 + at // 28:02d}-{1 + at % 28:02d}" for at in range(300)]
    columns = {"text": [sentence(at) for at in range(300)], "label": ["a"] * 240 + ["b"] * 60, "when": when}
    examples = read_examples(columns, time="when")
    with pytest.raises(UserError, match=r"earliest rows, to learn from, all have the same answer") as told:
        split(examples, np.arange(300), seed=0, max_test_rows=60, own_test=False)
    assert "Leave --time out" in told.value.fix


def test_the_blend_listens_to_the_model_that_is_right() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 2000)
    right = (np.eye(3)[labels] * 4 + rng.normal(size=(2000, 3))).astype(np.float32)
    noise = rng.normal(size=(2000, 3)).astype(np.float32)
    blend = fit_blend(Task.SINGLE, right, noise, labels, prior=EVEN)
    assert blend.network > 5 * blend.ngrams
    other_way = fit_blend(Task.SINGLE, noise, right, labels, prior=EVEN)
    assert other_way.ngrams > 5 * other_way.network


def test_a_dozen_rows_do_not_tell_which_of_two_models_to_trust() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(16) % 2
    unlucky = (-np.eye(2)[labels] * 2 + rng.normal(size=(16, 2))).astype(np.float32)
    right = (np.eye(2)[labels] * 2 + rng.normal(size=(16, 2))).astype(np.float32)
    blend = fit_blend(Task.SINGLE, unlucky, right, labels, prior=EVEN)
    assert blend.network == pytest.approx(2 * blend.ngrams)
    sure = fit_blend(Task.SINGLE, right, right, labels, prior=EVEN)
    assert 0 < blend.network < 0.5 < sure.network
    many = [np.tile(part, (4, 1)) for part in (unlucky, right)]
    assert fit_blend(Task.SINGLE, *many, np.tile(labels, 4), prior=EVEN).network < 0.1 < blend.ngrams * 10


def test_rows_whose_answer_no_model_had_met_do_not_move_the_blend() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 500)
    network = (np.eye(3)[labels] * 2 + rng.normal(size=(500, 3))).astype(np.float32)
    words = (np.eye(3)[labels] * 2 + rng.normal(size=(500, 3))).astype(np.float32)
    rare, unmet = np.full(40, 2), np.array([[1.0, 0.0, -8.0], [1.0, 0.0, -20.0]], dtype=np.float32)
    both = [
        np.vstack([said, np.tile(one, (40, 1))]) for said, one in zip((network, words), unmet, strict=True)
    ]
    known = np.arange(540) < 500
    alone = fit_blend(Task.SINGLE, network, words, labels, prior=EVEN)
    every = np.concatenate([labels, rare])
    assert fit_blend(Task.SINGLE, *both, every, prior=EVEN, known=known) == alone
    assert fit_blend(Task.SINGLE, *both, every, prior=EVEN).ngrams < 0.7 * alone.ngrams


def test_a_row_is_known_by_turns_where_another_part_has_its_answer() -> None:
    lesson = read_examples(list("stuvwx"), list("aabbcc"))
    parts = [np.array([0, 2, 4, 5]), np.array([1, 3])]
    assert known_in_turns(lesson, parts).tolist() == [True, True, True, True, False, False]


def test_the_blend_does_not_sound_surer_than_it_is() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 2000)
    truth = np.where(rng.random(2000) < 0.8, labels, 1 - labels)
    overconfident = (np.eye(2)[truth] * 30).astype(np.float32)
    silence = overconfident * 0
    blend = fit_blend(Task.SINGLE, overconfident, silence, labels, prior=EVEN)
    given = blend.outputs(overconfident, silence)
    assert abs(given.max(axis=1).mean() - 0.8) < 0.03


def test_a_model_that_is_twice_as_sure_as_it_should_be_is_halved() -> None:
    rng = np.random.default_rng(2)
    evidence = rng.normal(size=5000)
    labels = (rng.random(5000) < 1 / (1 + np.exp(-evidence))).astype(np.int64)
    boastful = np.stack([-evidence, evidence], axis=1).astype(np.float32)
    found = fit_blend(Task.SINGLE, boastful, boastful * 0, labels, prior=EVEN)
    assert found.network == pytest.approx(0.5, abs=0.05)
    several = np.stack([labels, 1 - labels], axis=1)
    found = fit_blend(Task.MULTI, boastful[:, ::-1] * 2, boastful * 0, several, prior=EVEN)
    assert found.network == pytest.approx(0.5, abs=0.05)


def test_two_numbers_are_weighed_by_how_much_each_knows() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(size=4000)
    one = (truth + rng.normal(size=4000)).astype(np.float32)[:, None]
    other = (truth + 0.5 * rng.normal(size=4000)).astype(np.float32)[:, None]
    found = fit_blend(Task.NUMBER, one, other, 7 + 3 * truth, prior=np.array([7.0, 3.0]))
    assert (found.network, found.ngrams) == pytest.approx((1 / 6, 4 / 6), abs=0.05)


def test_probabilities_sum_to_one() -> None:
    logits = np.array([[1000.0, -1000.0, 0.0]], dtype=np.float32)
    assert math.isclose(Blend(Task.SINGLE, 1, 1).outputs(logits, logits).sum(), 1, abs_tol=1e-6)


def test_the_interval_of_a_share_is_wilsons() -> None:
    low, high = wilson_interval(45, 50)
    assert (round(low, 4), round(high, 4)) == (0.7864, 0.9565)
    assert wilson_interval(20, 20)[1] == 1.0
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_the_interval_widens_when_rows_come_in_groups() -> None:
    truth = np.ones(400, dtype=np.int64)
    answers = np.repeat([1, 1, 1, 0], 100)
    groups = np.repeat(np.arange(8), 50)
    outputs = np.eye(2, dtype=np.float32)[answers]
    alone = score_outputs(Task.SINGLE, truth, outputs, prior=EVEN)
    grouped = score_outputs(Task.SINGLE, truth, outputs, prior=EVEN, groups=groups)
    assert np.ptp(grouped.interval) > 2 * np.ptp(alone.interval)


def test_macro_f1_counts_every_class_alike() -> None:
    truth = np.array([0] * 8 + [1] * 2)
    assert math.isclose(macro_f1(truth, np.zeros(10, dtype=np.int64)), (16 / 18 + 0) / 2)


def test_the_rate_rises_for_a_tenth_and_falls_to_almost_nothing() -> None:
    schedule = Schedule(steps=100, rows_per_batch=8, learning_rate=1.0, seed=0)
    rates = [schedule.rate(step, 100) for step in range(100)]
    assert int(np.argmax(rates)) == 10
    assert rates[0] < 0.1
    assert rates[-1] < 0.02


def test_a_slower_machine_gets_fewer_steps_than_planned_and_a_faster_one_more_that_are_of_use() -> None:
    schedule = Schedule(steps=100, rows_per_batch=8, learning_rate=1.0, seed=0, most=300)
    assert schedule.fitting(10, left=50.7, sure=45.0) == 60
    assert schedule.fitting(10, left=-2.0, sure=-9.0) == 10
    assert schedule.fitting(10, left=95.0, sure=80.0) == 100
    assert schedule.fitting(10, left=200.0, sure=180.0) == 190
    assert schedule.fitting(10, left=2000.0, sure=1900.0) == 300
    assert replace(schedule, most=None).fitting(10, left=2000.0, sure=1900.0) == 100


@pytest.mark.parametrize(("seconds", "steps"), [(60.0, 30), (3.0, 13), (math.inf, 6)])
def test_time_that_was_not_expected_is_used_for_steps_up_to_what_the_data_need(
    tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, steps: int
) -> None:
    assert trained_by_the_clock(monkeypatch, tiny_backbone, [], seconds=seconds).steps == steps


@pytest.mark.parametrize(("slow_steps", "steps"), [(5, 30), (30, 9)])
def test_training_ends_early_on_a_slow_machine_but_not_after_a_slow_moment(
    tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch, slow_steps: int, steps: int
) -> None:
    pace = Pace(step_seconds=0.2, reserve_seconds=8.0)  # a machine as slow as that needs 20
    waits = [0.5] * slow_steps
    trained = trained_by_the_clock(monkeypatch, tiny_backbone, waits, seconds=16.0, pace=pace)
    assert trained.steps == steps


def trained_by_the_clock(
    monkeypatch: pytest.MonkeyPatch,
    backbone: Path,
    waits: list[float],
    *,
    seconds: float,
    pace: Pace = NO_PACE,
) -> Trained:
    """Six steps planned, thirty of use; the first steps take as long as ``waits`` says, the others 0.2 s."""
    stepper, network = reviews_to_learn(prepare(Settings(backbone=str(backbone)), silent))
    schedule = Schedule(steps=6, rows_per_batch=8, learning_rate=1e-4, seed=0, most=30)
    monkeypatch.setattr(training, "time", clock := Clock())
    return train(
        network, timed(stepper, clock, waits), schedule, begin=go_on,
        deadline=seconds, pace=pace, checkpoint=None, listener=silent,
    )  # fmt: skip


class Clock:
    """What time it is, for a module that asks `time`: no test waits for it."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def reviews_to_learn(learner: Learner) -> tuple[Stepper, Network]:
    """Our twenty reviews, and a network that has not learned them."""
    texts = np.array([text for text, _ in review_rows()], dtype=TEXT_DTYPE)
    labels = np.array([int(label == "positive") for _, label in review_rows()])
    stepper = learner.stepper(learner.tokens(texts, 32), labels)
    return stepper, learner.network(examples_of(list(texts), list(labels)))


def timed(stepper: Stepper, clock: Clock, waits: list[float]) -> Stepper:
    """The same, each step taking the next of ``waits`` by the clock, then 0.2 s."""
    step, todo = Stepper.step, iter(waits)

    class Timed(Stepper):
        def step(self, *args: Any, **options: Any) -> Any:
            clock.now += next(todo, 0.2)
            return step(self, *args, **options)

    return Timed(stepper.tokens, stepper.labels, stepper.pad_id, stepper.device)


def test_the_plan_that_is_kept_tells_the_steps_that_were_done() -> None:
    schedule = Schedule(steps=100, rows_per_batch=8, learning_rate=1.0, seed=0, most=300)
    passes = Choice("passes over the data", "1.0", "as many as the time allows")
    plan = Plan(1000, 1000, 0, 64, schedule, 5.0, (passes, Choice("text length", 64, "fits")))
    trained = Trained(steps=150, step_seconds=0.06, seen=(), steps_per_pass=100, shortened=False)

    def done_by(plan: Plan, steps: int) -> Plan:
        return plan.as_done(replace(trained, steps=steps), contrasted=None, rows=1000)

    done = done_by(plan, 150)
    assert done.schedule.steps == 150
    assert [(c.value, c.reason) for c in done.choices] == [
        ("1.5", "as many as the time allows"),
        (64, "fits"),
    ]
    assert "faster than it seemed" in done_by(plan, 300).choices[0].reason
    assert done_by(plan, 100) == plan
    enough = replace(plan, choices=(replace(passes, reason="what 1,000 examples need"),))
    assert "as many as the time" in done_by(enough, 50).choices[0].reason


def test_contrasting_that_was_cut_short_is_kept_with_the_passes_it_had() -> None:
    schedule = Schedule(steps=120, rows_per_batch=16, learning_rate=1e-4, seed=0)
    passes = Choice("passes over the data", "6.0", "what contrasting 320 examples takes")
    plan = Plan(1000, 1000, 0, 64, schedule, 5.0, (passes,), contrasts_untried=True)
    nothing = Trained(steps=0, step_seconds=0.0, seen=(), steps_per_pass=20, shortened=False)
    assert plan.as_done(nothing, contrasted=120, rows=320) == plan
    short = plan.as_done(nothing, contrasted=40, rows=320)
    for told in (
        short,
        short.as_done(nothing, contrasted=40, rows=320),
    ):  # a run that was killed says it again
        assert (told.choices[0].value, told.schedule.steps) == ("2.0", 120)
        assert "as many as the time allows" in told.choices[0].reason


def test_the_picked_rate_is_well_below_where_training_breaks() -> None:
    rates = tuple(np.geomspace(1e-6, 1e-2, 60))
    losses = tuple(1.0 - 0.5 * min(r, 2e-3) / 2e-3 if r < 2.2e-3 else 3.0 for r in rates)
    pick, reason = pick_rate(rates, losses)
    assert 1e-4 < pick < 1e-3
    assert SAFE_RATES[0] <= pick <= SAFE_RATES[1]
    assert "lowest" in reason


def test_a_sweep_that_is_four_times_off_moves_the_pick_by_half_as_much() -> None:
    rates = tuple(np.geomspace(1e-6, 1e-2, 60))
    low, high = (
        pick_rate(rates, tuple(abs(math.log(r / turn)) for r in rates))[0] for turn in (4e-4, 1.6e-3)
    )
    assert high / low == pytest.approx(2.0, rel=0.1)
    assert low < usual_rate(FEW_ROWS) < high


def test_a_loss_that_fell_to_the_end_of_the_sweep_is_not_said_to_have_risen() -> None:
    rates = tuple(np.geomspace(1e-6, 1e-2, 60))
    pick, reason = pick_rate(rates, tuple(1.0 - 0.01 * step for step in range(60)))
    assert pick == pytest.approx(math.sqrt(1e-2 / 4 * 2e-4))
    assert "still fell at 1.0e-02" in reason
    assert "rose" not in reason


def test_what_a_broken_network_reaches_later_in_the_sweep_is_no_rate_to_train_at() -> None:
    """Seen on 20,000 film reviews: broken at 9.6e-4, yet the lowest loss came at 2.9e-3."""
    rates = tuple(np.geomspace(1e-6, 1e-2, 60))
    flat, fall = [0.693] * 32, [0.692, 0.690, 0.686, 0.687, 0.678, 0.684, 0.683, 0.682, 0.679, 0.655]
    later = [0.706, 0.772, 0.751, 0.737, 0.729, 0.718, 0.698, 0.667, 0.640, 0.687] + [0.68] * 8
    pick, _ = pick_rate(rates, (*flat, *fall, *later))
    assert 1e-4 < pick < 2e-4


def test_a_sweep_that_time_ended_while_the_loss_fell_takes_the_usual_rate() -> None:
    rates = tuple(np.geomspace(1e-6, 1e-2, 60))[:36]
    pick, reason = pick_rate(rates, tuple(1.0 - 0.01 * step for step in range(36)))
    assert pick == usual_rate(FEW_ROWS)
    assert "time for 36 steps" in reason


def test_a_sweep_that_broke_early_is_not_said_to_have_been_short_of_time() -> None:
    rates = tuple(np.geomspace(1e-6, 1e-2, 60))[20:42]
    pick, reason = pick_rate(rates, (*[0.7] * 20, 0.72, 2.0), broken=True)
    assert pick == usual_rate(FEW_ROWS)
    assert reason == "a sweep broke after 22 steps, too few to tell, so the usual rate is taken"


def test_a_sweep_that_was_best_where_nothing_is_learned_takes_the_usual_rate() -> None:
    rates = tuple(np.geomspace(1e-6, 1e-2, 60))
    pick, reason = pick_rate(rates, (0.9, *[1.0] * 59))
    assert pick == usual_rate(FEW_ROWS)
    assert "nothing was learned" in reason


def test_a_sweep_over_numbers_begins_at_what_saying_their_mean_costs(tiny_backbone: Path) -> None:
    learner = prepare(Settings(backbone=str(tiny_backbone)), silent)
    texts = [text for text, _ in review_rows()]
    numbers = [float(n**3) for n in range(len(texts))]  # batches differ by far in how large theirs are
    examples = read_examples(texts, numbers, task=Task.NUMBER)
    stepper = learner.stepper(learner.tokens(examples.texts, 32), standard_labels(examples), Task.NUMBER)
    curve = lr_finder.find_learning_rate(
        learner.network(examples), stepper, rows_per_batch=4, seconds=60.0, seed=0, listener=silent
    )
    assert curve.losses[:8] == pytest.approx([1.0] * 8, abs=0.02)


def test_a_sweep_too_short_to_tell_anything_is_left_out() -> None:
    minute = Work(10_000, 500, 50.0)
    assert sweep_seconds(minute, training_seconds=50.0, step_seconds=0.5) == 10.0
    assert sweep_seconds(minute, training_seconds=50.0, step_seconds=0.8) == 0.0  # 25 steps of half a batch
    assert sweep_seconds(minute, training_seconds=5.0, step_seconds=0.5) == 0.0  # nor is there time to train


def test_a_hurried_sweep_leaves_out_the_lowest_rates(
    tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepper, network = reviews_to_learn(prepare(Settings(backbone=str(tiny_backbone)), silent))
    monkeypatch.setattr(lr_finder, "time", clock := Clock())
    hurried = timed(stepper, clock, [])
    curve = lr_finder.find_learning_rate(
        network, hurried, rows_per_batch=8, seconds=7.01, seed=0, listener=silent
    )
    assert len(curve.rates) <= 35
    assert curve.rates[2] < 2e-6
    assert 1e-5 < curve.rates[3] < 1e-4


def test_a_step_that_overflows_leaves_the_weights_as_they_were(tiny_backbone: Path) -> None:
    learner = prepare(Settings(backbone=str(tiny_backbone)), silent)
    stepper, network = reviews_to_learn(learner)
    optimizer = stepper.optimizer(network)
    batch = next(stepper.endless_batches(rows_per_batch=8, seed=0))
    before = weights_of(network)
    with torch.no_grad():
        network.head.bias[0] = math.inf
    stepper.step(network, optimizer, batch, rate=1e-3)
    with torch.no_grad():
        network.head.bias[0] = 0.0
    after = weights_of(network)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_little_time_means_shorter_texts_and_then_fewer_passes() -> None:
    measured = Probe(np.full(100, 250), tokens_per_second=4000.0, read_per_second=6800.0)
    ample = Work(rows=20_000, scored_rows=2_000, seconds=6000)
    scarce = Work(rows=20_000, scored_rows=2_000, seconds=900)
    assert choose_length(measured, ample, longest=256, fixed=False)[0] == 256
    assert choose_length(measured, scarce, longest=256, fixed=False)[0] < 256
    assert choose_length(measured, scarce, longest=256, fixed=True)[0] == 256
    assert choose_passes(measured, scarce, 256).count < 1 < choose_passes(measured, ample, 256).count


def test_texts_are_made_harder_where_that_takes_no_longer_than_the_passes_they_need() -> None:
    measured = Probe(np.full(100, 250), tokens_per_second=4000.0, read_per_second=6800.0)
    needed = Work(rows=8_000, scored_rows=0, seconds=1.0).wanted_passes
    one = 8_000 * 250 / 4000 / SAFETY
    hardly, most, all_of_it = (
        choose_passes(measured, Work(8_000, 0, 60 + share * needed * one), 256) for share in (0.4, 0.8, 1.5)
    )
    assert (hardly.adversarial, hardly.cost) == (False, 1.0)
    assert hardly.count == pytest.approx(0.4 * needed, rel=0.1)
    assert (most.adversarial, all_of_it.adversarial) == (True, True)
    assert most.count * most.cost == pytest.approx(0.8 * needed, rel=0.1)
    assert all_of_it.count * all_of_it.cost == needed
    for rows, reason in ((600, "so few"), (8_001, "so many")):
        plain = choose_passes(measured, Work(rows, 0, 1e6), 256)
        assert (plain.count, plain.adversarial) == (Work(rows, 0, 1e6).wanted_passes, False)
        assert reason in plain.hard_reason


def test_texts_without_an_answer_wait_until_the_examples_have_what_they_need() -> None:
    examples = replace(
        read_examples([f"question number {n}" for n in range(5000)], ["a", "b"] * 2500),
        unlabeled=np.array([f"statement number {n}" for n in range(5000)], dtype=TEXT_DTYPE),
    )
    measured = Probe(np.full(100, 10), tokens_per_second=1000.0, read_per_second=2000.0)
    planned = partial(outline, examples, np.arange(5000), None, Settings(), measured=measured, longest=16)
    in_little, in_ample = planned(seconds_left=300.0), planned(seconds_left=1500.0)
    assert in_little.unlabeled == in_little.guessed_rows == 0
    assert in_ample.guessed_rows >= 2500
    assert in_ample.passes.adversarial


def test_the_examples_and_the_texts_answered_by_a_model_are_learned_in_one_whole_pass() -> None:
    examples = replace(
        read_examples([f"question number {n}" for n in range(1200)], ["a", "b"] * 600),
        unlabeled=np.array([f"statement number {n}" for n in range(5000)], dtype=TEXT_DTYPE),
    )
    measured = Probe(np.full(100, 10), tokens_per_second=1000.0, read_per_second=2000.0)
    made = outline(
        examples, np.arange(1200), None, Settings(), measured=measured, longest=16, seconds_left=3000.0
    )
    texts, batch = made.work.rows + made.guessed_rows, rows_per_batch(made.work.rows)
    assert (made.work.rows < 3000 <= texts, batch) == (True, 16)
    assert 0 <= made.second_steps * batch - texts < batch


def test_adversarial_training_learns_something_else_and_the_same_each_time(tiny_backbone: Path) -> None:
    learned = []
    for adversarial in (False, True, True):
        stepper, network = reviews_to_learn(prepare(Settings(backbone=str(tiny_backbone)), silent))
        schedule = Schedule(4, 8, learning_rate=1e-3, seed=0, adversarial=adversarial)
        train(
            network, stepper, schedule,
            begin=go_on, deadline=math.inf, checkpoint=None, listener=silent,
        )  # fmt: skip
        learned.append(weights_of(network))
    plain, once, again = learned
    assert any(not torch.equal(plain[name], once[name]) for name in plain)
    assert all(torch.equal(once[name], again[name]) for name in once)


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in ({"minutes": 0}, {"minutes": math.inf}, {"max_length_tokens": 2}, {"seed": -1}):
        with pytest.raises(UserError):
            Settings(**wrong)


def test_a_rare_answer_is_kept_when_only_some_rows_are_counted() -> None:
    texts = np.array([sentence(n) for n in range(400)], dtype=TEXT_DTYPE)
    labels = np.zeros(400, dtype=np.int64)
    labels[250] = 1
    for seed in range(3):
        model = fit_baseline(texts, labels, 2, max_rows=20, seed=seed)
        assert model.logits(texts).shape == (400, 2)


def test_a_checkpoint_knows_how_many_steps_the_optimizer_took(tiny_backbone: Path, tmp_path: Path) -> None:
    learner = prepare(Settings(backbone=str(tiny_backbone)), silent)
    texts, named = zip(*review_rows(), strict=True)
    lesson = examples_of(list(texts), [int(label == "positive") for label in named])
    stepper = learner.stepper(learner.tokens(lesson.texts, 32), lesson.labels)
    network = learner.network(lesson)
    optimizer = stepper.optimizer(network)
    stepper.step(network, optimizer, next(iter(stepper.epoch(rows_per_batch=8, seed=0))), rate=1e-3)
    Checkpoint(tmp_path, silent).save(
        network, optimizer, stepper.scaler, step=2, steps=9, seen=[]
    )  # one step overflowed
    fresh = learner.network(lesson)
    again = stepper.optimizer(fresh)
    assert Checkpoint(tmp_path, silent).load(fresh, again, stepper.scaler) == (2, 9, [])
    for before, after in zip(network.trained, fresh.trained, strict=True):
        assert torch.equal(before, after)
        for name, value in optimizer.state[before].items():
            assert torch.equal(value, again.state[after][name])


def test_an_unfinished_run_that_another_takes_the_place_of_is_told_of(tmp_path: Path) -> None:
    heard: list[str] = []
    kept = Checkpoint(tmp_path / "run", lambda event: heard.append(event.message))
    kept.save_plan({"key": "an hour of work"})
    assert kept.load_plan("an hour of work") == {"key": "an hour of work"}
    assert not heard
    assert kept.load_plan("something else") is None
    assert heard == [
        "The unfinished run of before had other data, settings or release: this one starts anew."
    ]


@pytest.mark.parametrize("written", ["[1, 2]", "{half of"])
def test_a_plan_that_cannot_be_read_is_told_of(tmp_path: Path, written: str) -> None:
    (tmp_path / "plan.json").write_text(written)
    heard: list[str] = []
    assert Checkpoint(tmp_path, lambda event: heard.append(event.message)).load_plan("any") is None
    assert heard == ["The plan of an unfinished run is damaged; training starts anew."]


def test_what_was_kept_of_a_run_and_is_damaged_is_made_again(tmp_path: Path) -> None:
    file = tmp_path / "kept.npz"
    made = kept_array(file, lambda: np.arange(1000, dtype=np.float32))
    assert np.array_equal(kept_array(file, lambda: np.zeros(1, dtype=np.float32)), made)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert np.array_equal(kept_array(file, lambda: np.ones(3, dtype=np.float32)), np.ones(3))


def test_training_after_a_damaged_checkpoint_starts_from_a_fitted_last_layer(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    learner = prepare(Settings(backbone=str(tiny_backbone)), silent)
    rows = review_rows()
    texts = np.array([text for text, _ in rows], dtype=TEXT_DTYPE)
    labels = np.array([int(label == "positive") for _, label in rows])
    lesson = examples_of(list(texts), list(labels))
    stepper = learner.stepper(learner.tokens(texts, 32), labels)
    checkpoint = Checkpoint(tmp_path, silent)
    (tmp_path / "state.json").write_text('{"file": "step-00000001.safetensors", "sha256": "0"}')
    (tmp_path / "step-00000001.safetensors").write_bytes(b"half a file")
    network = learner.network(lesson)
    nothing_to_learn = Schedule(steps=0, rows_per_batch=8, learning_rate=1e-4, seed=0)
    train(network, stepper, nothing_to_learn, deadline=math.inf, checkpoint=checkpoint, listener=silent)
    assert float(network.head.weight.detach().abs().sum()) > 0
    assert (tmp_path / "damaged" / "step-00000001.safetensors").exists()


def test_more_examples_than_time_to_look_at_them_are_drawn_and_rare_answers_keep_theirs() -> None:
    rows = 40_000
    texts, labels = (
        [f"text {n}" for n in range(rows)],
        ["rare" if n % 1000 == 0 else "usual" for n in range(rows)],
    )
    examples = read_examples(texts, labels)
    drawn = drawn_for(examples, 0.05, seed=0)
    assert 1_000 < len(drawn) < rows / 2
    assert (drawn.labels == examples.classes.index("rare")).sum() == rows / 1000
    assert np.array_equal(drawn.rows, drawn_for(examples, 0.05, seed=0).rows)
    assert drawn_for(examples, 60.0, seed=0) is examples


def test_hundreds_of_rare_answers_do_not_take_more_time_than_there_is() -> None:
    examples = examples_of([f"text {n} " * 40 for n in range(20_000)], [n % 500 for n in range(20_000)])
    drawn = drawn_for(examples, 0.05, seed=0)
    assert len(drawn) < 3_500  # a little over 2,000 fit
    assert np.bincount(drawn.labels).min() >= 2


@pytest.mark.parametrize("many", [True, False])
def test_counting_words_by_turns_is_for_where_it_takes_no_more_than_its_share(many: bool) -> None:
    rows, kinds = 3000, 500 if many else 2
    examples = examples_of([sentence(n) for n in range(rows)], [n % kinds for n in range(rows)])
    measured = Probe(
        np.full(100, 6),
        tokens_per_second=1e6,
        read_per_second=2e6,
        counted_seconds=seconds_to_count_one(examples),
    )
    made = outline(
        examples, np.arange(rows), None, Settings(minutes=2), measured=measured, longest=16, seconds_left=100
    )
    assert bool(made.work.folds) is not many


def test_how_long_words_take_to_count_is_what_this_machine_needed_for_some() -> None:
    kinds = 60
    examples = examples_of([sentence(n) for n in range(3000)], [n % kinds for n in range(3000)])
    told = seconds_to_count_one(examples) * len(examples)
    started = time.perf_counter()
    fit_baseline(examples.texts, examples.labels, kinds, seed=0)
    assert 1 / 4 < told / (time.perf_counter() - started) < 4


def test_the_time_to_count_words_grows_with_the_answers_that_a_sample_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("plaintune.learn.learner.fit_baseline", lambda *args, **options: None)
    monkeypatch.setattr("plaintune.learn.learner.time.perf_counter", lambda: float(next(clock)))
    marks = np.arange(3000) % 600
    many = examples_of([sentence(n) for n in range(3000)], marks.tolist())
    sets = replace(many, labels=np.eye(600, dtype=np.int64)[marks], task=Task.MULTI)
    few = replace(sets, labels=sets.labels[:, :1])
    assert seconds_to_count_one(sets) == pytest.approx(seconds_to_count_one(many))
    assert seconds_to_count_one(sets) > 2 * seconds_to_count_one(few)


def test_long_texts_are_counted_in_as_many_as_fit_into_memory() -> None:
    examples = examples_of(["word " * 20_000] * 3000, [0, 1] * 1500)
    assert _counting(examples, 1e-4, 1e6)[0] == 1500


def test_where_a_sample_is_of_one_cluster_a_row_of_another_joins_it() -> None:
    examples = examples_of([sentence(n) for n in range(300)], [n % 2 for n in range(300)])
    clusters = np.zeros(300, dtype=np.int64)
    clusters[7] = 1
    found = gather(
        examples, clusters, prepare(Settings(), silent), seconds=1e-9, fewest=20, seed=0, listener=silent
    )
    assert 20 <= len(found.labels) <= 21


def test_counted_words_alone_have_a_threshold_of_their_own() -> None:
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]] * 20)
    timid = (labels * 2.0 - 2.5).astype(np.float32)  # never above a half
    blend = Blend(Task.MULTI, 1.0, 0.1, threshold=0.5)
    assert threshold_alone(blend, timid, labels, np.array([0.5, 0.5])) < 0.5
    assert threshold_alone(Blend(Task.SINGLE, 1.0, 0.1), timid, labels, EVEN) == 0.5
