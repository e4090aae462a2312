"""What gives the answer away without being understood: single words, and the answer's own name in the text.

Looked for in a sample: what gives away many answers shows in a few thousand texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.features import NgramHasher, NgramShape, Texts, split_words
from ..core.metrics import wilson_interval
from ..core.tasks import Task
from .describe import some
from .examples import Examples
from .finding import Finding, Severity, found
from .private import masked

TELLING, WORDS = "telling_word", "words"  # the finding that names words of texts, and its figure of them
SAMPLE_ROWS = 10_000
LONGEST_RUN = 3  # words
FEWEST_TEXTS = 12
TELLING_PRECISION = 0.97  # of the texts with the words have the answer,
SURELY = 0.9  # and at the low end of the interval at least so many
TELLING_RECALL = 0.5  # of the answer's texts hold the words
NEARLY_ALL = 0.9  # of the gap between the majority guess and 100%
NAME_SHARE, NAME_PRECISION, MANY_NAMED = 0.05, 0.9, 0.3
SHORTEST_NAME = 3


@dataclass(frozen=True)
class Telling:
    """Words that are nearly only in texts of one class, and in many of those."""

    words: str
    label: int
    recall: float
    texts: NDArray[np.int64]  # positions in the sample


def leak_findings(examples: Examples, *, seed: int = 0) -> list[Finding]:
    """Words that answer alone, and answers written in their texts; of examples with one answer each."""
    if examples.task is not Task.SINGLE:
        return []
    sample = examples
    if len(examples) > SAMPLE_ROWS:
        drawn = np.random.default_rng(seed).choice(len(examples), SAMPLE_ROWS, replace=False)
        sample = examples.take(np.sort(drawn))
    told = [_telling_words(sample), _name_in_text(sample)]
    return [finding for finding in told if finding is not None]


def _telling_words(sample: Examples) -> Finding | None:
    telling = find_telling(sample)
    if not telling:
        return None
    rows_of = np.bincount(sample.labels, minlength=len(sample.classes))
    majority = rows_of.max() / len(sample)
    reached = _score_of(telling, sample)
    closed = (reached - majority) / max(1e-9, 1 - majority)
    severity = Severity.HIGH if closed >= NEARLY_ALL else Severity.MEDIUM if closed >= 0.5 else Severity.LOW
    pairs = some(
        [f"“{masked(t.words)}” → `{sample.classes[t.label]}` ({t.recall:.0%} of its texts)" for t in telling],
        4,
    )
    positions = np.unique(np.concatenate([t.texts for t in telling]))
    return found(
        TELLING, severity, positions, sample,
        what=f"A few words give an answer away alone: {pairs}. Going by them and nothing else is right "
        f"{reached:.1%} of the time (always the same answer: {majority:.1%}).",
        why="If new texts lack them (a prefix, a signature, a date of this export), the model will be lost.",
        done="They are kept; if they come from how the data were made, cut them out of the texts.",
        values={
            "score": round(reached, 4),
            WORDS: {masked(t.words): sample.classes[t.label] for t in telling},
            "texts_looked_at": len(sample),
        },
    )  # fmt: skip


def left_out(sentence: str, findings: Sequence[Mapping[str, Any]]) -> str:
    """``sentence`` with "…" for the words of texts that ``findings``, as JSON, name."""
    for finding in findings:
        if finding["kind"] == TELLING:
            for words in finding.get("values", {}).get(WORDS, ()):
                sentence = sentence.replace(f"“{words}” →", "… →")
    return sentence


def without_words(told: Mapping[str, Any]) -> dict[str, Any]:
    """A check-up or a report as JSON, its findings without the words of texts that they name."""
    findings = []
    for finding in told["findings"]:
        if finding["kind"] == TELLING:
            values = {name: value for name, value in finding.get("values", {}).items() if name != WORDS}
            finding = {**finding, "what": left_out(finding["what"], told["findings"]), "values": values}
        findings.append(finding)
    return {**told, "findings": findings}


def find_telling(sample: Examples) -> list[Telling]:
    """For each class the run of words that best gives it away, if any does."""
    hasher = NgramHasher(NgramShape(words=LONGEST_RUN))
    blocks = list(hasher.blocks(sample.texts))
    hashes = np.concatenate([block.hashes for block in blocks])
    rows = np.repeat(np.arange(len(sample)), np.concatenate([np.diff(block.start) for block in blocks]))
    order = np.argsort(hashes, kind="stable")
    hashes, rows = hashes[order], rows[order]
    bounds = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1], [True]]))
    sizes = np.diff(bounds)
    often = np.flatnonzero(sizes >= FEWEST_TEXTS)
    rows_of = np.bincount(sample.labels, minlength=len(sample.classes))
    best: dict[int, Telling] = {}
    for at in often:
        texts = rows[bounds[at] : bounds[at + 1]]
        counts = np.bincount(sample.labels[texts])
        label, hits = int(counts.argmax()), int(counts.max())
        precision, recall = hits / len(texts), hits / rows_of[label]
        if precision < TELLING_PRECISION or recall < TELLING_RECALL or rows_of[label] == len(sample):
            continue
        if wilson_interval(hits, len(texts))[0] < SURELY or (label in best and best[label].recall >= recall):
            continue
        words = _words_of(int(hashes[bounds[at]]), sample.texts[int(texts[0])], hasher)
        best[label] = Telling(words, label, float(recall), texts)
    return sorted(best.values(), key=lambda telling: -telling.recall)


def _score_of(telling: list[Telling], sample: Examples) -> float:
    """How often one is right who knows these words, and else gives the most frequent answer of the rest."""
    answers = np.full(len(sample), -1)
    for one in reversed(telling):
        answers[one.texts] = one.label
    rest = sample.labels[answers < 0]
    right = int((answers == sample.labels).sum()) + (int(np.bincount(rest).max()) if len(rest) else 0)
    return right / len(sample)


def _words_of(wanted: int, text: str, hasher: NgramHasher) -> str:
    """The run of words in ``text`` whose hash is ``wanted``."""
    words = split_words(text)
    runs = [
        " ".join(words[at : at + n]) for n in range(1, LONGEST_RUN + 1) for at in range(len(words) - n + 1)
    ]
    runs = list(dict.fromkeys(runs))[:2048]
    block = hasher.hash_block(runs)
    holding = np.flatnonzero(block.hashes == np.uint64(wanted))
    if not len(holding):
        return "?"
    return min((runs[int(np.searchsorted(block.start, at, side="right")) - 1] for at in holding), key=len)


def _name_in_text(sample: Examples) -> Finding | None:
    """Texts in which their own answer is written, where that is more than chance."""
    named = _names_met(sample.classes, sample.texts)
    if named is None:
        return None
    own = named[np.arange(len(sample)), sample.labels]
    any_name = named.any(axis=1)
    part = float(own.mean())
    precision = own.sum() / max(1, any_name.sum())
    if part < NAME_SHARE or precision < NAME_PRECISION:
        return None
    positions = np.flatnonzero(own)
    severity = Severity.HIGH if part >= MANY_NAMED else Severity.MEDIUM
    return found(
        "label_in_text", severity, positions, sample,
        what=f"The answer itself is written in {part:.0%} of the texts; where an answer's name is written, "
        f"it is the right one {precision:.0%} of the time.",
        why="A model learns to look for the name. New texts, not answered yet, will lack it.",
        done="They are kept; if it was written there afterwards (a subject line, a file name), cut it out.",
        values={"share": round(part, 4), "precision": round(float(precision), 4)},
    )  # fmt: skip


def _names_met(classes: tuple[str, ...], texts: Texts) -> NDArray[np.bool_] | None:
    """(texts, classes) whether the class's name stands in the text as words of their own."""
    names = {" ".join(re.findall(r"[^\W_]+", name.casefold())): code for code, name in enumerate(classes)}
    names = {
        n: code for n, code in names.items() if len(n) >= SHORTEST_NAME and not n.replace(" ", "").isdigit()
    }
    if not names:
        return None
    longest_first = sorted(names, key=len, reverse=True)
    pattern = re.compile(r"(?<![^\W_])(?:" + "|".join(map(re.escape, longest_first)) + r")(?![^\W_])")
    met = np.zeros((len(texts), len(classes)), dtype=bool)
    for row, text in enumerate(texts):
        for name in pattern.findall(re.sub(r"[_\s-]+", " ", text.casefold())):
            met[row, names[name]] = True
    return met
