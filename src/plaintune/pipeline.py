"""The order of work, from a file of labelled text to a model folder: read `fit` as a table of contents."""

from __future__ import annotations

import json
import math
import platform
import shutil
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .core.energy import EnergyMeter
from .core.errors import UserError
from .core.events import Listener, note, silent, stage, warn
from .core.files import write_text
from .core.settings import DATA_CHECK, PLAN, Choice, Settings, about_test, command_line, python_call
from .data.answers import numbered_as, require_known_answers
from .data.beside import is_one_table
from .data.check import check_examples
from .data.corrections import merged, put_right
from .data.describe import describe, odd
from .data.examples import Examples
from .data.finding import DataCheck, Severity
from .data.fix import require_fixable, write_fixed
from .data.leaks import without_words
from .data.read import read_examples
from .data.repeats import Repeats, find_repeats
from .data.sample import drawn_for, say_drawn
from .data.split import rows_that_belong_together
from .data.tables import is_url
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
from .model.predict import Model
from .model.watch import reference_figures
from .scoring import require_new_texts, say_overlap, score, scored_of

if TYPE_CHECKING:
    from .learn.learn import Learned

CHECK_SHARE = 0.03  # of the time goes into the check-up, at most
CHECKED_CHARACTERS_PER_SECOND = 1.2e6
CURVE_SHARE = 0.08  # of the time so far, at most, goes into the learning curve of the report
SCORING_SHARE = 0.9  # of the time left; the rest is for counting words in the same texts, and the intervals
CLOSING_SECONDS = 10.0  # for the report and the folder
OUTSIDE_SECONDS = 4.0  # for Python to load, and to end
MOST_TOLD = 4  # findings that training says aloud
VERSIONED = ("plaintune", "numpy", "torch", "transformers", "tokenizers", "onnxruntime", "scikit-learn")


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
    started = time.monotonic()
    meter = EnergyMeter()
    listener = meter.beside(listener)

    def seconds_left() -> float:
        return started + 60 * settings.minutes - OUTSIDE_SECONDS - time.monotonic()

    require_free(out, replace_existing=replace_existing)
    checkpoint = checkpoint_folder(out)
    with staging_folder(out) as staged:
        examples, test_examples = read(source, labels, test, settings, listener)
        examples, test_examples, drawn = _drawn(examples, test_examples, settings, listener)
        repeats = find_repeats(examples, test_examples, listener=listener)
        require_new_texts(repeats)
        checked_data = short_check(examples, test_examples, repeats, settings, listener, test_source=test)
        from .deploying import finished_graph  # torch takes seconds to load: the reader answers before that
        from .learn.blend import threshold_alone, weigh
        from .learn.checkpoint import Checkpoint
        from .learn.eight_bits import NO_TIME
        from .learn.learn import learn
        from .learn.onnx import write_graph
        from .report.stored import write_report
        from .reporting import cheap_curve, doubtful_rows, explained_pieces, report_on

        learned = learn(
            examples,
            test_examples,
            repeats.clusters,
            settings,
            checkpoint_folder=checkpoint,
            seconds_left=seconds_left,
            listener=listener,
        )
        stage(listener, "Writing the model")
        learned.ngrams.save(staged / NGRAMS)
        write_text(staged / TOKENIZER, learned.learner.tokenizer.to_str())
        difference = write_graph(
            learned.network,
            staged / GRAPH,
            task=examples.task,
            vocabulary=int(learned.learner.backbone.config["vocab_size"]),
            max_length=learned.max_length,
        )
        stage(listener, "Weighing the network against counted words")
        checked, numbers = finished_graph(
            examples, learned, staged,
            seconds=0.0 if learned.hurried else math.inf if settings.plan else seconds_left(),
            kept=checkpoint, listener=listener,
        )  # fmt: skip
        if numbers.reason == NO_TIME:
            Checkpoint(checkpoint, listener).amend_plan({"hurried": True})
        blend, choice = weigh(
            examples.task, checked.network_logits, checked.ngram_logits, checked.labels,
            prior=learned.prior, trainings=checked.trainings, known=checked.known, listener=listener,
        )  # fmt: skip

        manifest = describe_model(examples, learned, settings, hashes=repeats.hashes)
        manifest = replace(
            manifest,
            blend=asdict(blend),
            choices=(*map(asdict, drawn), *manifest.choices, asdict(numbers), asdict(choice)),
            parity={"largest_difference": difference},
        )
        write_manifest(staged, manifest)
        stage(listener, "Scoring on examples it has never seen")
        held_back = examples.take(learned.splits.test) if test_examples is None else test_examples
        scoring = time.monotonic()
        deployed = Model.load(staged)
        left = SCORING_SHARE * (seconds_left() - CLOSING_SECONDS * learned.slowness)
        until = math.inf if settings.plan else scoring + left
        result = evaluate(deployed, held_back, kept=checkpoint, until=until, listener=listener)
        held_back = scored_of(held_back, result, listener)
        rows_per_second = len(held_back) / (time.monotonic() - scoring)
        alone = threshold_alone(blend, checked.ngram_logits, checked.labels, learned.prior)
        scores, held = score(deployed, held_back, result, learned.words_alone, alone)
        if test_examples is not None:
            scores |= say_overlap(scores, repeats.take(learned.splits.train), result.scored, listener)
        curve = cheap_curve(
            examples, repeats.clusters, learned, settings,
            rows_per_second=rows_per_second,
            seconds=min(CURVE_SHARE * (time.monotonic() - started), seconds_left() - CLOSING_SECONDS),
            listener=listener,
        )  # fmt: skip
        reference = reference_figures(deployed, held_back.texts, result.outputs)
        manifest = replace(manifest, scores=scores, reference=reference, seconds=time.monotonic() - started)
        write_text(staged / DATA_CHECK, json.dumps(without_words(checked_data.as_json()), ensure_ascii=False))
        stage(listener, "Writing the report")
        told = report_on(
            out, manifest, examples, learned, held, checked_data,
            doubtful_rows(examples, learned, checked, blend, held),
            settings=settings, curve=curve, energy=meter.joules, test=test,
        )  # fmt: skip
        explain_mistakes = partial(
            explained_pieces, deployed, until=time.monotonic() + seconds_left() - CLOSING_SECONDS / 2
        )
        write_report(staged, told, explain=explain_mistakes, texts=settings.texts)
        manifest = replace(manifest, seconds=time.monotonic() - started)
        write_text(staged / CARD, model_card(manifest, out.name))
        shutil.copyfile(checkpoint / PLAN, staged / PLAN)
        write_manifest(staged, manifest)
        publish(staged, out)
        shutil.rmtree(checkpoint, ignore_errors=True)
    return Model.load(out)


def check_up(
    source: Any,
    labels: Iterable[Any] | None,
    settings: Settings,
    *,
    test: Any = None,
    models: bool = True,
    goal: float | None = None,
    fix: Path | None = None,
    replace_existing: bool = False,
    listener: Listener = silent,
) -> DataCheck:
    """Findings about ``source``, and about ``test`` beside it; with ``fix`` a cleaned copy goes there.

    ``models`` look for what structure alone does not show; ``goal`` is the accuracy one would like.
    """
    if fix is not None:
        require_fixable(source, fix, replace_existing=replace_existing)
    examples, test_examples = read(source, labels, test, settings, listener, lenient=True)
    repeats = find_repeats(examples, test_examples, listener=listener)
    found = check_examples(
        examples,
        repeats,
        source=source,
        test=test_examples,
        test_source=test,
        group=settings.group,
        time=settings.time,
        listener=listener,
    )
    if models:
        from .learn.audit import audit

        clusters = rows_that_belong_together(examples, repeats.clusters)
        found = audit(found, examples, clusters, settings, goal=goal, listener=listener)
    found = found.typed_as(_check_line(examples, settings, fix="cleaned.csv"))
    if fix is None:
        return found
    fixed = write_fixed(source, examples, fix, listener=listener)
    note(
        listener,
        f"Wrote {fixed.out} ({fixed.rows:,} rows, in UTF-8). "
        f"{fixed.removed:,} rows left out: {fixed.removed_file}; "
        f"{fixed.changed:,} cells changed: {fixed.changed_file}.",
    )
    return replace(found, fixed=fixed.as_json())


def short_check(
    examples: Examples,
    test: Examples | None,
    repeats: Repeats,
    settings: Settings,
    listener: Listener,
    *,
    test_source: Any = None,
) -> DataCheck:
    """The check-up inside a training run: texts of a sample where time is short; says what matters most."""
    affordable = CHECK_SHARE * 60 * settings.minutes * CHECKED_CHARACTERS_PER_SECOND
    characters = sum(map(len, examples.texts))
    sample = None
    if characters > affordable:
        rows = max(1000, int(len(examples) * affordable / characters))
        sample = np.sort(np.random.default_rng(settings.seed).permutation(len(examples))[:rows])
    found = check_examples(
        examples, repeats,
        sample=sample, test=test, group=settings.group, time=settings.time, listener=listener,
    )  # fmt: skip
    told = [finding for finding in found.findings if finding.severity is not Severity.LOW]
    for finding in told[:MOST_TOLD]:
        (warn if finding.severity is Severity.HIGH else note)(listener, finding.what)
    if found.findings:
        more = len(found.findings) - len(told[:MOST_TOLD])
        other = "more " if told else ""
        also = f"{more:,} {other}finding{'s' if more > 1 else ''} about the data. " if more else ""
        line = _check_line(examples, settings, **about_test(test_source))
        note(listener, f"{also}All of them, and what to do: {line}")
    return found.typed_as(_check_line(examples, settings, fix="cleaned.csv"))


def _check_line(examples: Examples, settings: Settings, **options: str) -> str:
    """What to type for the whole check-up of the same data."""
    understood = examples.understood
    if understood.format == "Python":
        return python_call("check", options)
    source = understood.source
    if "fix" in options and not is_url(source) and not is_one_table(source):
        source = "TABLE.csv"  # a folder or an archive has to be made one first
    return command_line("check", source, {**settings.about_data(), **options})


def read(
    source: Any,
    labels: Iterable[Any] | None,
    test: Any,
    wanted: Settings,
    listener: Listener,
    *,
    lenient: bool = False,
) -> tuple[Examples, Examples | None]:
    """The examples, and the user's own test part if any; says back what was understood.

    ``lenient`` goes on past many unreadable rows, and keeps answers that have one example only.
    """
    examples = read_examples(
        source, labels,
        text=wanted.text, label=wanted.label, group=wanted.group, time=wanted.time,
        task=wanted.task, separator=wanted.separator, strict_rows=not lenient,
        keep_lone=lenient or bool(wanted.merge or wanted.corrections), listener=listener,
    )  # fmt: skip
    for sentence in describe(examples):
        note(listener, sentence)
    if wanted.unlabeled is not None:
        examples = replace(examples, unlabeled=_texts_alone(wanted.unlabeled, examples, listener))
    own = examples.official_test if test is None else _own_test(test, examples, wanted, listener)
    examples = put_right(examples, wanted.merge, wanted.corrections, lenient=lenient, listener=listener)
    if own is not None:
        own = numbered_as(merged(own, wanted.merge), examples.classes)
        if not lenient:
            require_known_answers(own)
    return examples, own


def _own_test(test: Any, examples: Examples, wanted: Settings, listener: Listener) -> Examples:
    """The user's own test data, read as ``examples`` were; says back what was understood."""
    understood = examples.understood
    lists = isinstance(test, tuple) and len(test) == 2
    test_examples = read_examples(
        test[0] if lists else test,
        test[1] if lists else None,
        text=() if lists else wanted.text or understood.text_columns,
        label=() if lists else wanted.label or understood.label_columns,
        classes=examples.classes,
        task=examples.task,
        separator=understood.separator,
        listener=listener,
    )
    for sentence in odd(test_examples.understood):
        note(listener, f"Test data: {sentence}")
    note(listener, f"The test data ({len(test_examples):,} examples) stay locked away until the end.")
    return test_examples


def _drawn(
    examples: Examples, test: Examples | None, settings: Settings, listener: Listener
) -> tuple[Examples, Examples | None, list[Choice]]:
    """As many of both as can be looked through in the time, and what that means."""
    kept = drawn_for(examples, settings.minutes, seed=settings.seed)
    choices = say_drawn("examples used", kept, examples, listener)
    if test is None:
        return kept, None, choices
    kept_test = drawn_for(test, settings.minutes, seed=settings.seed)
    return kept, kept_test, [*choices, *say_drawn("test examples used", kept_test, test, listener)]


def _texts_alone(source: str, examples: Examples, listener: Listener) -> NDArray[Any]:
    """The texts in ``source``, from the columns that the examples have theirs from, where it has them."""
    read = partial(read_examples, source, classes=examples.classes, need_labels=False, listener=listener)
    columns = examples.understood.text_columns
    try:
        found = read(text=columns)
    except UserError:  # it may call them otherwise
        found = read()
    note(listener, f"{source} brings {len(found):,} texts without an answer.")
    return found.texts


def describe_model(
    examples: Examples, learned: Learned, settings: Settings, *, hashes: NDArray[np.uint64]
) -> Manifest:
    """The manifest, but for blend and scores; ``hashes`` (rows,) are of the texts."""
    splits, backbone = learned.splits, learned.learner.backbone
    counts = np.round(learned.prior * len(splits.train)).astype(int)
    understood = examples.understood
    return Manifest(
        task=str(examples.task),
        classes=examples.classes,
        prior=tuple(map(float, learned.prior)),
        text_columns=understood.text_columns,
        label_columns=understood.label_columns,
        separator=understood.separator,
        max_length_tokens=learned.max_length,
        windows=learned.windows,
        pad_id=backbone.pad_id,
        blend={},
        backbone={"name": backbone.name, "source": backbone.source, "sha256": backbone.sha256},
        settings=asdict(settings),
        choices=tuple(asdict(choice) for choice in learned.choices),
        data={
            "source": understood.source,
            "rows": len(examples),
            "rows_set_aside": len(understood.set_aside),
            "train_rows": len(splits.train),
            "valid_rows": len(splits.valid),
            "train_rows_by_class": dict(zip(examples.classes, map(int, counts), strict=False)),
        },
        training_hashes=packed_hashes(hashes[np.concatenate([splits.train, splits.valid])]),
        scores={},
        versions={"python": platform.python_version()} | {name: _version(name) for name in VERSIONED},
        seconds=0.0,
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from a source tree
        return "unknown"
