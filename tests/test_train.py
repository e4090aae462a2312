"""The main job through the real command line: a file in, a model folder out, answers from it."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import BAD, GOOD, Cli, review_rows, write_csv
from plaintune.api import _settings, load, train
from plaintune.core.errors import OutputExists, UserError
from plaintune.core.events import silent
from plaintune.data.read import read_examples
from plaintune.faces.batch import answers_of, read_for_model
from plaintune.model.evaluate import FEWEST_SCORED, evaluate
from plaintune.model.folder import require_free
from plaintune.model.predict import Model
from plaintune.reporting import explained_pieces

Trained = tuple[Path, dict[str, Any]]


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A program of ours in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_train_prints_the_json_contract(trained: Trained) -> None:
    _, printed = trained
    assert printed["model"] == "reviews-model"
    assert printed["metric"] == "accuracy"
    low, high = printed["score_interval"]
    assert 0 <= low <= printed["score"] <= high <= 1
    assert 0 < printed["majority_score"] < 0.8
    assert printed["baseline_score"] > 0.6
    assert 0 < printed["seconds"] < 60


def test_the_model_folder_holds_exactly_its_parts(trained: Trained) -> None:
    folder, _ = trained
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "manifest.json", "model.onnx", "tokenizer.json", "ngrams.safetensors", "README.md", "plan.json",
        "data-check.json", "report.json", "report.html",
    }  # fmt: skip
    left_behind = {path.name for path in folder.parent.iterdir()} - {"reviews.csv", "reviews-model"}
    assert not left_behind


def test_the_manifest_keeps_every_choice_with_its_reason(trained: Trained) -> None:
    manifest = json.loads((trained[0] / "manifest.json").read_text())
    choices = {choice["name"]: choice for choice in manifest["choices"]}
    assert {"learning rate", "text length", "passes over the data", "examples", "blend"} <= set(choices)
    assert all(choice["reason"] for choice in choices.values())
    assert manifest["parity"]["largest_difference"] <= 1e-3


def test_texts_of_the_user_stand_in_the_report_alone(trained: Trained) -> None:
    folder, _ = trained
    words = [text for text, _ in review_rows()]
    readable = [p for p in folder.iterdir() if p.suffix in (".json", ".md") and p.name != "report.json"]
    assert len(readable) >= 4
    for file in readable:
        assert not any(text in file.read_text() for text in words), file.name


def test_predict_answers_texts_with_confidence_and_every_probability(cli: Cli, trained: Trained) -> None:
    folder, _ = trained
    done = cli("predict", folder, GOOD[2], BAD[0], "--json", cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    predictions = json.loads(done.stdout)["predictions"]
    assert [p["answer"] for p in predictions] == ["positive", "negative"]
    for prediction in predictions:
        assert set(prediction["probabilities"]) == {"negative", "positive"}
        assert math.isclose(sum(prediction["probabilities"].values()), 1, abs_tol=1e-4)
        assert prediction["confidence"] == max(prediction["probabilities"].values())


def test_predict_keeps_every_row_and_column_of_a_file(cli: Cli, trained: Trained, tmp_path: Path) -> None:
    rows = [
        ("1", "brilliant acting and a story,\nfull of heart", "x"),
        ("2", "", "y"),
        ("3", f"“{BAD[0]}”", "z"),
    ]
    write_csv(tmp_path / "new.csv", ["id", "review", "answer"], rows)
    done = cli("predict", trained[0], "--file", "new.csv", "--out", "out.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out.csv").open(newline="") as file:
        header, *answered = list(csv.reader(file))
    assert header == ["id", "review", "answer", "answer (2)", "confidence"]
    assert [tuple(row[:3]) for row in answered] == rows
    assert [row[3] for row in answered] == ["positive", "", "negative"]


def test_evaluate_leaves_out_texts_it_has_learned_from(cli: Cli, trained: Trained, tmp_path: Path) -> None:
    fresh = [("a lovely, lovely film", "positive"), ("dreadful and slow", "negative")]
    met = [(text.upper() + "!", label) for text, label in review_rows()]
    write_csv(tmp_path / "held.csv", ["review", "sentiment"], fresh + met)
    done = cli("evaluate", trained[0], "held.csv", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["rows"] == 122
    learned = 120 - trained[1]["rows"]
    assert printed["overlap_rows"] == learned
    assert printed["majority_accuracy"] == 0.5
    for name in ("accuracy", "accuracy_without_overlap", "macro_f1", "score"):
        assert 0 <= printed[name] <= 1
    assert printed["score"] == printed["accuracy_without_overlap"]
    low, high = printed["accuracy_interval"]
    assert low <= printed["accuracy"] <= high


def test_an_answer_the_model_does_not_know_counts_as_wrong(
    cli: Cli, trained: Trained, tmp_path: Path
) -> None:
    rows = [("so so", "neutral"), ("meh", "neutral"), ("a truly lovely film", "positive")]
    write_csv(tmp_path / "held.csv", ["review", "sentiment"], rows)
    done = cli("evaluate", trained[0], "held.csv", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["accuracy"] == pytest.approx(1 / 3)
    assert printed["unknown_rows"] == 2
    assert "neutral" in done.stderr
    assert (
        "2 of 3 examples count as wrong"
        in cli("evaluate", trained[0], "held.csv", "--quiet", cwd=tmp_path).stderr
    )


def test_rows_of_a_test_that_cannot_be_scored_are_told_of(cli: Cli, trained: Trained, tmp_path: Path) -> None:
    rows = [("a truly lovely film", "positive"), ("so so", ""), ("", "negative")]
    write_csv(tmp_path / "held.csv", ["review", "sentiment"], rows)
    done = cli("evaluate", trained[0], "held.csv", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["set_aside_rows"] == 2
    assert "Set aside 2 rows: no answer (line 3); empty text (line 4)" in " ".join(done.stderr.split())


def test_answers_that_are_all_spelled_otherwise_are_not_scored(
    cli: Cli, trained: Trained, tmp_path: Path
) -> None:
    write_csv(tmp_path / "held.csv", ["review", "sentiment"], [("so so", "Positive"), ("meh", "Negative")])
    done = cli("evaluate", trained[0], "held.csv", "--json", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "No answer in held.csv is one of those in the training data" in " ".join(done.stderr.split())


def test_what_was_merged_for_training_is_merged_where_it_is_scored(trained: Trained, tmp_path: Path) -> None:
    model = load(trained[0])
    model.manifest = replace(model.manifest, settings={"merge": ["great=good", "good=positive"]})
    rows = [("one", "great"), ("two", "positive"), ("three", "negative"), ("four", "good")]
    held = write_csv(tmp_path / "held.csv", ["review", "sentiment"], rows)
    examples = read_for_model(model, str(held), text=(), label=(), listener=silent)
    assert [examples.classes[label] for label in examples.labels] == [
        "positive", "positive", "negative", "positive",
    ]  # fmt: skip
    assert examples.classes == model.classes


def test_the_figures_beside_a_score_are_of_the_same_rows(trained: Trained) -> None:
    model = load(trained[0])
    rows = read_examples(trained[0].parent / "reviews.csv", classes=model.classes)
    result = evaluate(model, rows)
    told = result.as_json()
    assert told["scored_rows"] == told["rows"] - told["overlap_rows"]
    assert told["macro_f1"] == result.headline.others["macro_f1"]
    assert told["macro_f1"] != result.all_rows.others["macro_f1"] or result.headline.value == 1


def test_in_python_a_model_that_is_there_is_told_in_words_of_python(trained: Trained) -> None:
    with pytest.raises(OutputExists, match="already holds a model") as refused:
        train(["so so", "meh"] * 10, ["a", "b"] * 10, out=trained[0], quiet=True)
    assert "overwrite=True" in refused.value.fix


def test_a_row_without_text_has_the_same_fields_as_the_others(trained: Trained, tmp_path: Path) -> None:
    write_csv(tmp_path / "mail.csv", ["review", "nr"], [("a film", "1"), ("", "2")])
    for unsure in (None, 0.8):
        answered, empty = answers_of(
            load(trained[0]), str(tmp_path / "mail.csv"), unsure=unsure, listener=silent
        )
        assert answered.keys() == empty.keys()
        assert set(empty.values()) == {None}


def test_a_mounted_folder_whose_place_no_model_can_take_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path)
    with pytest.raises(UserError, match="is mounted here") as refused:
        require_free(tmp_path, replace_existing=True)
    assert refused.value.fix.endswith("/model")


def test_what_goes_to_a_pipe_is_written_as_utf_8(cli: Cli, trained: Trained, tmp_path: Path) -> None:
    done = cli(
        "explain",
        trained[0],
        "a lovely film 🎬",
        "--json",
        cwd=tmp_path,
        PYTHONIOENCODING="cp1252",
        PYTHONUTF8="0",
    )
    assert done.returncode == 0, done.stderr
    assert "🎬" in done.stdout


def test_prediction_needs_no_training_stack_to_answer_the_same(cli: Cli, trained: Trained) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'sklearn', 'scipy', 'pandas', 'pyarrow', 'huggingface_hub'):\n"
        "    sys.modules[name] = None\n"
        f"sys.argv = ['plaintune', 'predict', {str(trained[0])!r}, 'brilliant acting']\n"
        "from plaintune.faces.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    with_everything = cli("predict", trained[0], "brilliant acting", cwd=trained[0].parent)
    assert "sure)" in done.stdout
    assert done.stdout == with_everything.stdout


def test_training_without_its_packages_says_what_to_install(tmp_path: Path) -> None:
    write_csv(tmp_path / "reviews.csv", ["review", "sentiment"], review_rows())
    code = (
        "import sys, importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'torch' else find(name, *rest)\n"
        "sys.argv = ['plaintune', 'train', 'reviews.csv']\n"
        "from plaintune.faces.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "pip install '.[train]'" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["reviews.csv"]


def test_the_users_own_test_file_is_scored_without_the_texts_that_are_in_training(
    cli: Cli, tiny_backbone: Path, tmp_path: Path
) -> None:
    write_csv(tmp_path / "reviews.csv", ["review", "sentiment"], review_rows())
    fresh = [("a lovely, lovely film", "positive"), ("dreadful and slow to watch", "negative")] * 3
    own = [(f"{text} {number}", label) for number, (text, label) in enumerate(fresh)] + review_rows()[:5]
    write_csv(tmp_path / "held.csv", ["review", "sentiment"], own)
    done = cli(
        "train", "reviews.csv", "--test", "held.csv", "--backbone", tiny_backbone, "--minutes", 5, "--json",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["rows"] == 6
    assert printed["overlap_rows"] == 5
    assert "5 test texts are also in the training data" in done.stderr


def test_a_test_file_of_learned_texts_only_is_refused(cli: Cli, tmp_path: Path) -> None:
    write_csv(tmp_path / "reviews.csv", ["review", "sentiment"], review_rows())
    write_csv(tmp_path / "part.csv", ["review", "sentiment"], review_rows()[:7])
    for test in ("reviews.csv", "part.csv"):
        done = cli("train", "reviews.csv", "--test", test, "--quiet", cwd=tmp_path)
        assert done.returncode == 2
        assert "is also in the training data" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part.csv", "reviews.csv"]


def test_two_runs_with_the_same_seed_give_the_same_answers(
    cli: Cli, tiny_backbone: Path, trained: Trained, tmp_path: Path
) -> None:
    shutil.copy(trained[0].parent / "reviews.csv", tmp_path)
    done = cli("train", "reviews.csv", "--backbone", tiny_backbone, "--minutes", 5, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert (again["score"], again["rows"]) == (trained[1]["score"], trained[1]["rows"])


CUT_OFF = ["train", "reviews.csv", "--minutes", "1.5", "--quiet"]


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="cutting the network needs root on Linux",
)
@pytest.mark.slow
def test_the_main_job_runs_with_the_network_cut(tiny_backbone: Path, tmp_path: Path) -> None:
    write_csv(tmp_path / "reviews.csv", ["review", "sentiment"], review_rows())
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "plaintune", *CUT_OFF],
        cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("Right ")
    assert "(95% sure: " in lines[0]
    assert lines[4].startswith("Next: plaintune predict reviews-model")


def test_progress_says_what_it_understood_and_why_it_chose(
    cli: Cli, tiny_backbone: Path, tmp_path: Path
) -> None:
    rows = [(f"f{n // 6}", text, label) for n, (text, label) in enumerate(review_rows())]
    write_csv(tmp_path / "reviews.csv", ["film", "review", "sentiment"], rows)
    done = cli(
        "train", "reviews.csv", "--backbone", tiny_backbone, "--minutes", 5, "--group", "film", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "I will predict `sentiment` (2 answers: negative, positive) from `review`." in done.stderr
    assert "learning rate: " in done.stderr
    assert "groups and repeated texts stay on one side" in done.stderr
    assert len(done.stdout.splitlines()) == 5


@pytest.mark.slow
def test_an_archive_in_the_layout_of_imdb_brings_its_own_test_part(
    cli: Cli, tiny_backbone: Path, tmp_path: Path
) -> None:
    for part, rows in (("train", review_rows()[6:-6]), ("test", review_rows()[:6] + review_rows()[-6:])):
        for number, (text, label) in enumerate(rows):
            folder = tmp_path / "reviews" / part / label[:3]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}_7.txt").write_text(text)
    archive = shutil.make_archive(str(tmp_path / "reviews"), "gztar", tmp_path, "reviews")
    shutil.rmtree(tmp_path / "reviews")
    done = cli("train", archive, "--backbone", tiny_backbone, "--minutes", 5, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert (printed["rows"], printed["classes"]) == (12, ["neg", "pos"])


def test_where_time_is_up_fewer_rows_are_scored_and_the_rest_is_no_guess(trained: Trained) -> None:
    model = Model.load(trained[0])
    rows = [(f"{text} number {n}", label) for n in range(10) for text, label in review_rows()]
    texts, labels = zip(*rows, strict=True)
    examples = read_examples(list(texts), list(labels))
    whole, short = evaluate(model, examples), evaluate(model, examples, until=0.0)
    assert len(whole.scored) == len(whole.outputs) == 1200
    assert len(short.scored) == len(short.outputs) == FEWEST_SCORED
    assert np.allclose(short.outputs, whole.outputs[short.scored], atol=1e-5)
    assert short.all_rows.rows == len(short.scored)
    assert len(np.unique(examples.labels[short.scored])) == 2


def test_the_python_model_takes_any_texts_and_no_table(trained: Trained) -> None:
    model = Model.load(trained[0])
    texts = ["A lovely film", "A dull film"]
    wanted = [said.answer for said in model.predict(texts)]
    assert [said.answer for said in model.predict(text for text in texts)] == wanted  # type: ignore[arg-type]
    for table in (pd.DataFrame({"text": texts}), {"text": texts}):
        with pytest.raises(UserError, match="A table is not a list of texts"):
            model.predict(table)  # type: ignore[arg-type]


def test_a_mistake_of_a_million_characters_is_shown_in_one_piece(trained: Trained) -> None:
    long = "A lovely film. " * 70_000
    assert explained_pieces(Model.load(trained[0]), long, None, until=math.inf) == [(long, 0, len(long), 0.0)]


def test_settings_from_python_are_kept_whatever_numbers_and_paths_they_are() -> None:
    said = _settings("", "", None, minutes=np.int64(5), seed=np.int64(1), backbone=Path("my-bert"))
    assert json.loads(json.dumps(asdict(said)))["backbone"] == "my-bert"
    assert (type(said.minutes), type(said.seed)) == (int, int)
