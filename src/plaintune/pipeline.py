"""The order of work, from a file of labelled text to a model folder: read `fit` as a table of contents."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .core.blending import Blend
from .core.events import Listener, note, silent, stage, warn
from .core.features import text_hashes
from .core.files import write_text
from .core.linear import NgramModel
from .core.metrics import Score, score_answers
from .core.settings import Choice, Settings, choose
from .data.describe import describe
from .data.duplicates import text_clusters
from .data.examples import Examples
from .data.read import read_examples
from .data.split import Splits
from .learn.baseline import fit_baseline
from .learn.blend import fit_blend
from .learn.checkpoint import Checkpoint
from .learn.network import Network
from .learn.onnx import write_graph
from .learn.plan import Learner, Plan, divide, make_or_resume_plan, prepare
from .learn.train import fit_head, train
from .model.card import model_card
from .model.evaluate import evaluate
from .model.folder import (
    CARD,
    GRAPH,
    NGRAMS,
    TOKENIZER,
    Manifest,
    checkpoint_folder,
    packed_hashes,
    publish,
    require_free,
    staging_folder,
    write_manifest,
)
from .model.graph import Graph
from .model.predict import Model

VERSIONED = ("plaintune", "numpy", "torch", "transformers", "tokenizers", "onnxruntime", "scikit-learn")


@dataclass(frozen=True)
class Run:
    """What every step of a run may ask for."""

    settings: Settings
    listener: Listener
    started: float  # time.monotonic

    def seconds_left(self) -> float:
        """Until the whole command must have ended."""
        return self.started + 60 * self.settings.minutes - time.monotonic()


def fit(
    source: Any,
    labels: Iterable[Any] | None = None,
    *,
    out: Path,
    settings: Settings,
    test: Any = None,
    replace_existing: bool = False,
    listener: Listener = silent,
) -> Model:
    """Train on ``source``, score on data held back (or on ``test``), write the model folder ``out``.

    Raises UserError for what the user can mend; nothing is left behind then. A run that was killed goes
    on from its last checkpoint when called again in the same way.
    """
    run = Run(settings, listener, started=time.monotonic())
    require_free(out, replace_existing=replace_existing)
    checkpoint = Checkpoint(checkpoint_folder(out), listener)
    with staging_folder(out) as staged:
        examples, test_examples = read(source, labels, test, run)
        learner = prepare(settings, listener)
        plan = make_or_resume_plan(
            examples, test_examples, learner, settings,
            checkpoint=checkpoint, seconds_left=run.seconds_left, listener=listener,
        )  # fmt: skip
        splits = divide(examples, test_examples, settings, max_test_rows=plan.max_test_rows)
        split_choice = say_split(examples, splits, test_examples, listener)
        held_back = examples.take(splits.test) if test_examples is None else test_examples

        stage(listener, "Counting words (the n-gram baseline)")
        ngrams = count_words(examples, splits, plan, settings)
        network = fine_tune(examples, splits, learner, plan, checkpoint, run)
        stage(listener, "Writing the model")
        ngrams.save(staged / NGRAMS)
        write_text(staged / TOKENIZER, learner.tokenizer.to_str())
        vocabulary = int(learner.backbone.config["vocab_size"])
        parity = write_graph(network, staged / GRAPH, vocabulary=vocabulary, max_length=plan.max_length)
        del network

        stage(listener, "Weighing the network against counted words")
        graph = Graph(
            staged / GRAPH, staged / TOKENIZER, max_length=plan.max_length, pad_id=learner.backbone.pad_id
        )
        blend, blend_choice = weigh(examples.take(splits.valid), graph, ngrams, listener)

        choices = (*plan.choices, split_choice, blend_choice)
        manifest = describe_model(examples, splits, learner, plan, blend, choices, settings)
        manifest = replace(manifest, parity={"largest_difference_in_probability": parity.largest_difference})
        write_manifest(staged, manifest)
        stage(listener, "Scoring on examples it has never seen")
        scores = score(
            Model.load(staged),
            ngrams,
            held_back,
            examples.take(splits.train),
            test_examples is not None,
            listener,
        )
        manifest = write_manifest(
            staged, replace(manifest, scores=scores, seconds=time.monotonic() - run.started)
        )
        write_text(staged / CARD, model_card(manifest, out.name))
        publish(staged, out)
    checkpoint.remove()
    return Model.load(out)


def read(source: Any, labels: Iterable[Any] | None, test: Any, run: Run) -> tuple[Examples, Examples | None]:
    """The examples, and the user's own test part if any; says back what was understood."""
    wanted = run.settings
    examples = read_examples(
        source, labels,
        text=wanted.text, label=wanted.label, group=wanted.group, time=wanted.time, listener=run.listener,
    )  # fmt: skip
    for sentence in describe(examples):
        note(run.listener, sentence)
    if test is None:
        return examples, examples.official_test
    understood = examples.understood
    lists = isinstance(test, tuple) and len(test) == 2
    test_examples = read_examples(
        test[0] if lists else test,
        test[1] if lists else None,
        text=() if lists else wanted.text or understood.text_columns,
        label=None if lists else wanted.label or understood.label_column,
        classes=examples.classes,
        listener=run.listener,
    )
    for sentence in test_examples.understood.notes:
        note(run.listener, f"Test data: {sentence}")
    note(run.listener, f"The test data ({len(test_examples):,} examples) stay locked away until the end.")
    return examples, test_examples


def say_split(examples: Examples, splits: Splits, test: Examples | None, listener: Listener) -> Choice:
    """Print how many examples serve what, and which answers are left without any."""
    unlearned = set(range(len(examples.classes))) - set(examples.labels[splits.train].tolist())
    if unlearned:
        names = ", ".join(examples.classes[number] for number in sorted(unlearned)[:10])
        warn(listener, f"No example is left to learn these answers from: {names}.")
    scored_on = len(splits.test) if test is None else len(test)
    parts = (
        f"{len(splits.train):,} to learn from, {len(splits.valid):,} to check on, {scored_on:,} to score on"
    )
    return choose(listener, "examples", parts, splits.reason)


def count_words(examples: Examples, splits: Splits, plan: Plan, settings: Settings) -> NgramModel:
    """The n-gram baseline, as it is stored."""
    texts, labels = examples.texts[splits.train], examples.labels[splits.train]
    return fit_baseline(
        texts, labels, len(examples.classes), max_rows=plan.counted_rows, seed=settings.seed
    ).stored()


def fine_tune(
    examples: Examples, splits: Splits, learner: Learner, plan: Plan, checkpoint: Checkpoint, run: Run
) -> Network:
    """The pre-trained network, fitted to the training texts in the time there is."""
    stage(run.listener, "Turning texts into tokens")
    tokens = learner.tokens(examples.texts[splits.train], plan.max_length)
    stepper = learner.stepper(tokens, examples.labels[splits.train])
    network = learner.network(len(examples.classes))
    stage(run.listener, "Fitting the last layer")
    fit_head(network, stepper, seed=run.settings.seed)
    stage(run.listener, "Fine-tuning", total=plan.schedule.steps)
    deadline = time.monotonic() + run.seconds_left() - plan.reserve_seconds
    trained = train(
        network, stepper, plan.schedule, deadline=deadline, checkpoint=checkpoint, listener=run.listener
    )
    if trained.shortened:
        warn(run.listener, "This machine became slower, so training was cut short to end in time.")
    return network


def weigh(valid: Examples, graph: Graph, ngrams: NgramModel, listener: Listener) -> tuple[Blend, Choice]:
    """The blend of the two models, on the graph that is deployed and texts that neither has seen."""
    network_logits = graph.logits(valid.texts, listener=listener)
    ngram_logits = ngrams.logits(valid.texts)
    blend = fit_blend(network_logits, ngram_logits, valid.labels)

    def right(answers: NDArray[np.float32]) -> str:
        return f"{(answers.argmax(axis=1) == valid.labels).mean():.1%}"

    both = right(blend.probabilities(network_logits, ngram_logits))
    reason = (
        f"right on {len(valid):,} examples to check on: network {right(network_logits)}, "
        f"counted words {right(ngram_logits)}, both {both}"
    )
    value = f"{blend.network:.2f} × network + {blend.ngrams:.2f} × counted words"
    return blend, choose(listener, "blend", value, reason)


def score(
    model: Model,
    ngrams: NgramModel,
    held_back: Examples,
    trained_on: Examples,
    own_test: bool,
    listener: Listener,
) -> dict[str, Any]:
    """The deployed files on examples held back, beside the majority guess and the n-gram baseline."""
    result = evaluate(model, held_back, listener=listener)
    fresh = ~np.isin(text_hashes(held_back.texts), model.manifest.training_text_hashes)
    if result.without_overlap is None:
        fresh[:] = True
    baseline: Score = score_answers(
        held_back.labels[fresh],
        ngrams.logits(held_back.texts[fresh]).argmax(axis=1),
        majority=model.classes.index(model.manifest.majority_class),
    )
    near = 0
    if own_test:
        near = near_overlap_rows(trained_on, held_back) - result.overlap_rows
        if result.overlap_rows:
            note(
                listener,
                f"{result.overlap_rows:,} test texts are also in the training data; they are left out of the "
                f"score. With them: {result.all_rows.accuracy:.1%}.",
            )
        if near > 0:
            note(listener, f"{near:,} more test texts are nearly the same as a training text; they count.")
    headline = result.headline
    return {
        "metric": "accuracy",
        "score": headline.accuracy,
        "score_interval": list(headline.accuracy_interval),
        "rows": headline.rows,
        "macro_f1": headline.macro_f1,
        "majority_score": headline.majority_accuracy,
        "baseline_score": baseline.accuracy,
        "baseline_interval": list(baseline.accuracy_interval),
        "near_overlap_rows": max(0, near),
        **result.details(),
    }


def near_overlap_rows(trained_on: Examples, held_back: Examples) -> int:
    """Test rows that are the same as a training text, or nearly."""
    clusters = text_clusters(np.concatenate([trained_on.texts, held_back.texts]))
    return int(np.isin(clusters[len(trained_on) :], clusters[: len(trained_on)]).sum())


def describe_model(
    examples: Examples,
    splits: Splits,
    learner: Learner,
    plan: Plan,
    blend: Blend,
    choices: tuple[Choice, ...],
    settings: Settings,
) -> Manifest:
    """The manifest, but for the scores."""
    learned = np.concatenate([splits.train, splits.valid])
    counts = np.bincount(examples.labels[splits.train], minlength=len(examples.classes))
    understood = examples.understood
    return Manifest(
        classes=examples.classes,
        majority_class=examples.classes[int(counts.argmax())],
        text_columns=understood.text_columns,
        label_column=understood.label_column,
        max_length_tokens=plan.max_length,
        pad_id=learner.backbone.pad_id,
        blend=asdict(blend),
        backbone={
            "name": learner.backbone.name,
            "source": learner.backbone.source,
            "sha256": learner.backbone.sha256,
        },
        settings=asdict(settings),
        choices=tuple(asdict(choice) for choice in choices),
        data={
            "source": understood.source,
            "rows": len(examples),
            "rows_set_aside": len(understood.set_aside),
            "train_rows": len(splits.train),
            "valid_rows": len(splits.valid),
            "train_rows_by_class": dict(zip(examples.classes, counts.tolist(), strict=True)),
        },
        training_hashes=packed_hashes(text_hashes(examples.texts[learned])),
        scores={},
        versions={"python": platform.python_version()} | {name: _version(name) for name in VERSIONED},
        seconds=0.0,
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from a source tree
        return "unknown"
