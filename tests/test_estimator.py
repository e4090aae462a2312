"""`TextClassifier` is a scikit-learn estimator: clone, pipeline, cross-validation, pickling."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

import plaintune as pt
from conftest import review_rows

TEXTS = [text for text, _ in review_rows()]
LABELS = [label for _, label in review_rows()]


@pytest.fixture(scope="module")
def fitted(tiny_backbone: Path) -> pt.TextClassifier:
    return pt.TextClassifier(backbone=str(tiny_backbone), minutes=1).fit(
        TEXTS, np.array([7, 3] * 60)[: len(TEXTS)]
    )


CHECKS = [
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
]


@pytest.mark.parametrize("name", CHECKS)
def test_it_passes_scikit_learns_checks_that_need_no_table_of_numbers(name: str) -> None:
    getattr(estimator_checks, name)("TextClassifier", pt.TextClassifier())


def test_parameters_can_be_read_set_and_cloned() -> None:
    given = pt.TextClassifier(minutes=3, random_state=4)
    copy = clone(given)
    assert copy is not given
    assert copy.get_params() == given.get_params()
    assert copy.set_params(minutes=5).minutes == 5
    assert is_classifier(given)


def test_predicting_before_fitting_is_an_error_of_scikit_learns_kind() -> None:
    with pytest.raises(NotFittedError):
        pt.TextClassifier().predict(["hello"])


def test_answers_have_the_type_of_the_labels(fitted: pt.TextClassifier) -> None:
    assert fitted.classes_.tolist() == [3, 7]
    assert set(fitted.predict(TEXTS[:5]).tolist()) <= {3, 7}
    proba = fitted.predict_proba(TEXTS[:5])
    assert proba.shape == (5, 2)
    assert np.allclose(proba.sum(axis=1), 1, atol=1e-5)


def test_a_pickled_classifier_answers_the_same(fitted: pt.TextClassifier) -> None:
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict_proba(TEXTS[:9]), fitted.predict_proba(TEXTS[:9]))


def test_a_process_that_was_forked_leaves_the_model_to_the_first(fitted: pt.TextClassifier) -> None:
    child = multiprocessing.get_context("fork").Process(target=fitted._finalizer)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert (fitted.model_.folder / "manifest.json").exists()
    other = pickle.loads(pickle.dumps(fitted))
    folder = other.model_.folder
    other._finalizer()
    assert not folder.exists()


def test_labels_that_do_not_fit_the_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="3 texts"):
        pt.TextClassifier().fit(["a b", "c d", "e f"], [1, 2])


def test_it_works_in_a_pipeline_under_cross_validation(tiny_backbone: Path) -> None:
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    steps = [("lower", lower), ("classify", pt.TextClassifier(backbone=str(tiny_backbone), minutes=1))]
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    scores = cross_val_score(Pipeline(steps), np.array(TEXTS, dtype=object), np.array(LABELS), cv=folds)
    assert scores.shape == (2,)
    assert scores.mean() > 0.6


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_python_takes_frames_and_lists(frame: type, tiny_backbone: Path, tmp_path: Path) -> None:
    table = frame({"review": TEXTS, "sentiment": LABELS})
    model = pt.train(table, out=tmp_path / "m", backbone=str(tiny_backbone), minutes=1, quiet=True)
    assert model.predict([TEXTS[0]])[0].answer == "positive"
    assert pt.load(tmp_path / "m").classes == ("negative", "positive")


def test_python_takes_two_lists(tiny_backbone: Path, tmp_path: Path) -> None:
    model = pt.train(TEXTS, LABELS, out=tmp_path / "m", backbone=str(tiny_backbone), minutes=1, quiet=True)
    assert model.predict(TEXTS[-1])[0].answer == "negative"


def test_settings_from_a_grid_of_numpy_numbers_are_plain_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(Exception):
        pass

    def train(*_: object, **options: object) -> None:
        given.update(options)
        raise Asked

    given: dict[str, object] = {}
    monkeypatch.setattr("plaintune.api.train", train)
    for seed, wanted in ((np.int64(3), 3), (None, 0)):
        with pytest.raises(Asked):
            pt.TextClassifier(random_state=seed, max_length=np.int32(64)).fit(TEXTS, LABELS)
        assert (type(given["seed"]), given["seed"]) == (int, wanted)
        assert type(given["max_length"]) is int


def test_a_table_of_several_columns_is_no_column_of_texts() -> None:
    with pytest.raises(ValueError, match="one column"):
        pt.TextClassifier().fit(np.array([["a b", "c d"]], dtype=object), [1, 2])
    with pytest.raises(ValueError, match="2 texts"):
        pt.TextClassifier().fit(np.array([["a b"], ["c d"]], dtype=object), [1])


def test_a_random_state_of_numpy_gives_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []

    def train(*_: object, seed: int, **__: object) -> None:
        seeds.append(seed)
        raise pt.UserError("These texts will not do.", "Give others.")

    monkeypatch.setattr("plaintune.api.train", train)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"These texts will not do\. Give others\."):
            pt.TextClassifier(random_state=np.random.RandomState(3)).fit(TEXTS, LABELS)
    assert seeds[0] == seeds[1] > 0
