"""Every word of the trade that a user may meet is explained, and found however it is typed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import plaintune
from plaintune.core.errors import UserError
from plaintune.report import words
from plaintune.report.words import Entry, glossary, look_up, parted_by_terms

PROMISED = """
neural network, layer, sigmoid, ReLU, activation function, learning rate, convergence, transfer learning,
learning-rate finder, pre-trained model, fine-tuning, backbone, encoder, token, tokenizer, embedding,
epoch, step, batch, loss, gradient, optimizer, AdamW, weight decay, one-cycle schedule, warm-up,
layer-wise learning rates, gradual unfreezing, freezing, overfitting, early stopping, dropout, training
set, validation set, test set, split, group, leak, accuracy, macro-F1, precision, recall, confidence
interval, confidence, calibration, temperature, probability, baseline, majority guess, n-gram, TF-IDF,
logistic regression, blend, cross-validation, class, label, multi-label, regression, imbalance,
duplicates, seed, checkpoint, ONNX, quantization, bf16, float32, AMX, GPU, CPU, manifest, model card,
logit, softmax, pooling, head, attention, transformer, hyperparameter, weights, data drift
"""


def terms_in(text: str) -> list[Entry]:
    """The entries that a page would make links of, each once."""
    return list(dict.fromkeys(entry for _, entry in parted_by_terms(text) if entry is not None))


def test_every_promised_term_has_an_entry_of_its_own() -> None:
    promised = {" ".join(term.split()) for term in PROMISED.split(",")}
    assert len(promised) == 80
    assert promised - {entry.term for entry in glossary()} == set()


def test_every_meaning_is_two_sentences_of_readable_length() -> None:
    for entry in glossary():
        sentences = re.findall(r"[.!?](?=\s+[A-Z'\d]|\s+plaintune|$)", entry.meaning)
        assert len(sentences) == 2, entry.term
        assert 60 < len(entry.meaning) < 320, entry.term


def test_no_two_entries_answer_to_one_name() -> None:
    names = [words._key(name) for entry in glossary() for name in entry.names]
    assert sorted(names) == sorted(set(names))


def test_every_see_leads_to_another_entry() -> None:
    terms = {entry.term for entry in glossary()}
    assert [(e.term, see) for e in glossary() for see in e.see if see not in terms - {e.term}] == []


def test_entries_stand_from_a_to_z() -> None:
    terms = [entry.term.lower() for entry in glossary()]
    assert terms == sorted(terms)


@pytest.mark.parametrize(
    ("typed", "term"),
    [
        ("convergence", "convergence"),
        ("CONVERGES", "convergence"),
        ("learning rate finder", "learning-rate finder"),
        ("Learning Rates", "learning rate"),
        ("warmup", "warm-up"),
        ("n gram", "n-gram"),
        ("ngrams", "n-gram"),
        ("tfidf", "TF-IDF"),
        ("batches", "batch"),
        ("probabilities", "probability"),
        ("classes", "class"),
        ("class", "class"),
        ("losses", "loss"),
        ("pretrained", "pre-trained model"),
        ("weight", "weights"),
        ("frozen", "freezing"),
        ("near-duplicates", "duplicates"),
        ("MACRO F1", "macro-F1"),
    ],
)
def test_a_term_is_found_however_it_is_typed(typed: str, term: str) -> None:
    assert look_up(typed).term == term


def test_every_name_of_every_entry_is_found_in_a_text_and_looked_up() -> None:
    for entry in glossary():
        for name in entry.names:
            assert look_up(name) is entry
            assert terms_in(f"The {name}, of course.") == [entry]
    assert terms_in("batches; categories; biases") == [look_up("batch"), look_up("class"), look_up("bias")]


def test_an_unknown_term_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UserError, match="Did you mean 'convergence'") as unknown:
        look_up("convergance")
    assert "plaintune glossary" in unknown.value.fix


def test_the_longest_term_of_a_text_wins_and_each_comes_once() -> None:
    text = (
        "The learning-rate finder chose a Learning Rate; the learning rate then fell. Validation losses too."
    )
    assert [entry.term for entry in terms_in(text)] == ["learning-rate finder", "learning rate", "loss"]


def test_only_whole_words_count() -> None:
    assert terms_in("A headline on batchwise stepping, overall, in classics and 2steps") == []
    assert [entry.term for entry in terms_in("(batch) step, GPU/CPU")] == ["batch", "step", "GPU", "CPU"]


TERMS_OF_ART = """
access token, accuracy, activation function, active learning, ablation, AdamW, AMX, ANN, annealing,
attention, AUC, backbone, backpropagation, bag of words, baseline, batch, BERT, bf16, bias term,
bootstrap, Brier score, calibration, checkpoint, class imbalance, confidence interval, confusion matrix,
contrastive, convergence, convex, cosine similarity, cross-entropy, cross-validation, data drift,
decoder, distillation, dropout, early stopping, embedding, encoder, ensemble, epoch, expected calibration
error, F1, few-shot, fine-tuning, float32, fold, FP16, freezing, gradient, gradient descent, hub,
hyperparameter, inference, kernel, label noise, latent, layer, leaderboard, learning curve, learning
rate, learning-rate finder, lemmatization, log odds, logistic regression, logit, loss, LSTM, macro-F1,
manifest, mean absolute error, micro-F1, momentum, multi-label, n-gram, neural network, one-cycle, ONNX,
optimizer, out-of-fold, overfitting, perceptron, perplexity, pooling, precision, pre-trained, prior,
probe, quantization, quota, recall, regression, regularization, ReLU, R², ROC, saliency, scheduler, seed,
self-training, semi-supervised, sigmoid, softmax, spot machine, stemming, stratified, temperature, test
set, TF-IDF, token, tokenizer, transfer learning, transformer, underfitting, unfrozen, validation set,
vanishing gradient, variance, warm-up, weight decay, weights, zero-shot, zone
"""  # what a reader without machine learning would stumble over; terms that plaintune never says are here too


SOURCE = Path(plaintune.__file__).parent
SHOWN_WHOLE = {".html", ".j2", ".js", ".md", ".toml"}  # what they say stands in attributes and code as well
PUBLIC = {SOURCE / f"{home.replace('.', '/')}.py" for home in plaintune._HOME.values()}


def what_plaintune_says() -> Iterator[str]:
    """Every string in the code, and everything in the pages, the glossary and what `export` writes.

    Docstrings count where somebody reads them: `--help` and the service's /docs show those of the faces,
    Python's help those of what can be imported from plaintune.
    """
    for file in SOURCE.rglob("*.py"):
        tree = ast.parse(file.read_text())
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        unread = set() if file.parent == SOURCE / "faces" or file in PUBLIC else docstrings
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in unread:
                yield node.value
    for file in SOURCE.rglob("*"):
        if file.suffix in SHOWN_WHOLE:
            yield file.read_text()


def test_what_is_shown_by_help_by_scripts_and_by_attributes_counts_as_said() -> None:
    said = "\n".join(what_plaintune_says())
    assert "Deep learning paid: it adds" in said  # part of a sentence on the report's page
    assert "Write a model's report anew" in said  # a docstring that `report --help` prints
    assert "Answer one text, or many, by the first model." in said  # one that the service's /docs shows
    assert "Nine times out of ten between" in said  # in a script of the service's page
    assert "How likely each answer is" in said  # an aria-label
    assert "ready to deploy" in said  # the README that `export` writes
    assert "Out-of-fold opinions" not in said  # a docstring that only programmers of plaintune read


def test_every_term_of_art_that_plaintune_says_has_an_entry() -> None:
    said = "\n".join(what_plaintune_says())
    listed = [" ".join(term.split()) for term in TERMS_OF_ART.split(",")]
    spoken = [term for term in listed if re.search(rf"(?<!\w){words._pattern(term)}(?!\w)", said, re.I)]
    assert len(spoken) > 25
    assert [term for term in spoken if not terms_in(term)] == []


def test_a_word_with_a_dotless_i_is_no_fault() -> None:
    assert "".join(piece for piece, _ in parted_by_terms("an actıvatıon, a traınıng set")) == (
        "an actıvatıon, a traınıng set"
    )
