"""The linear n-gram model as numbers: what training fits and prediction applies, numpy only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from .features import HashedTexts, NgramHasher, NgramShape, Texts
from .files import write_bytes

MAX_BYTES = 20_000_000  # of the file, whatever the number of answers
LONGEST_WORDS, LONGEST_LETTERS = 8, 16  # of the runs that a file may ask to be counted


@dataclass(frozen=True)
class NgramModel:
    """Evidence for each answer, summed over the n-grams of a text.

    A text is a vector over ``vocabulary`` (hashes, sorted), times ``scale``, brought to length one;
    logits are that vector times ``weights`` (ngrams, answers) plus ``bias``. Where one of two answers is
    right (``opposed``), only the second's evidence is stored, and the first's is its negative.
    """

    shape: NgramShape
    sublinear: bool  # counts enter as 1 + log(count), not as 1
    vocabulary: NDArray[np.uint64]  # (ngrams,)
    scale: NDArray[np.float32]  # (ngrams,)
    weights: NDArray[np.float32]  # (ngrams, answers) or (ngrams, 1)
    bias: NDArray[np.float32]  # (answers,) or (1,)
    opposed: bool = False

    @property
    def answers(self) -> int:
        """How many numbers it gives for a text."""
        return int(self.weights.shape[1]) + self.opposed

    @property
    def bytes_per_ngram(self) -> int:
        """What one n-gram costs on disk: hash, scale and float16 weights."""
        return 8 + 4 + 2 * int(self.weights.shape[1])

    def logits(self, texts: Texts) -> NDArray[np.float32]:
        """Evidence for each answer. Shape (texts, answers)."""
        hasher = NgramHasher(self.shape)
        blocks = [self._block_logits(block) for block in hasher.blocks(texts)]
        return np.concatenate(blocks) if blocks else np.zeros((0, self.answers), dtype=np.float32)

    def unknown_words(self, texts: Texts) -> NDArray[np.float64]:
        """Of each text, the share of its different words outside the vocabulary. Shape (texts,)."""
        shares = [np.zeros(0)]
        for block in NgramHasher(NgramShape(words=1)).blocks(texts):
            _, _, start = known_ngrams(block, self.vocabulary, sublinear=False)
            words = np.maximum(np.diff(block.start), 1)
            shares.append((np.diff(block.start) - np.diff(start)) / words)
        return np.concatenate(shares)

    def _block_logits(self, block: HashedTexts) -> NDArray[np.float32]:
        column, value, start = known_ngrams(block, self.vocabulary, sublinear=self.sublinear)
        value = value * self.scale[column]
        rows = np.repeat(np.arange(len(start) - 1), np.diff(start))
        length = np.sqrt(np.maximum(np.bincount(rows, value * value, minlength=len(start) - 1), 1e-12))
        value = (value / length[rows]).astype(np.float32)
        evidence = np.tile(self.bias, (len(start) - 1, 1)).astype(np.float32)
        for answer in range(self.weights.shape[1]):
            weighted = value * self.weights[column, answer]
            evidence[:, answer] += np.bincount(rows, weighted, minlength=len(start) - 1).astype(np.float32)
        if self.opposed:
            return np.concatenate([-evidence / 2, evidence / 2], axis=1)
        return evidence

    def save(self, path: Path) -> None:
        """Write as safetensors: arrays and a line of settings, no code."""
        settings = {
            "words": self.shape.words,
            "letters": list(self.shape.letters),
            "sublinear": self.sublinear,
            "opposed": self.opposed,
        }
        content = save(
            {
                "vocabulary": self.vocabulary,
                "scale": self.scale,
                "weights": np.ascontiguousarray(self.weights.astype(np.float16)),
                "bias": self.bias,
            },
            metadata={"ngrams": json.dumps(settings)},
        )
        write_bytes(path, content)  # not save_file, which lets only the owner read

    @classmethod
    def load(cls, path: Path) -> NgramModel:
        """Read what `save` wrote. Raises ValueError where it is damaged."""
        try:
            return cls.from_bytes(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ValueError(f"{path.name}: {error}") from error

    @classmethod
    def from_bytes(cls, content: bytes) -> NgramModel:
        """The same from the bytes of the file: whatever they are, a model that fits itself or ValueError."""
        try:
            arrays = load(content)  # safetensors holds the header against the length
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            settings = json.loads(header["__metadata__"]["ngrams"])
            vocabulary, scale, weights, bias = (
                arrays[name] for name in ("vocabulary", "scale", "weights", "bias")
            )
            shape = NgramShape(int(settings["words"]), tuple(int(n) for n in settings["letters"]))
            sublinear, opposed = bool(settings["sublinear"]), bool(settings["opposed"])
        except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(str(error)) from error
        if vocabulary.ndim != 1 or scale.shape != vocabulary.shape or bias.ndim != 1:
            raise ValueError("its parts differ in length")
        if weights.shape != (len(vocabulary), len(bias)) or (opposed and len(bias) != 1):
            raise ValueError("its parts differ in length")
        if vocabulary.dtype != np.uint64 or not all(
            part.dtype.kind == "f" for part in (scale, weights, bias)
        ):
            raise ValueError("its numbers are of another kind")
        if not 0 <= shape.words <= LONGEST_WORDS or not all(0 < n <= LONGEST_LETTERS for n in shape.letters):
            raise ValueError("it counts runs that are too long")
        return cls(shape, sublinear, vocabulary, scale, weights.astype(np.float32), bias, opposed)


def known_ngrams(
    block: HashedTexts, vocabulary: NDArray[np.uint64], *, sublinear: bool
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """The n-grams of a block that the vocabulary knows: columns, values, and where each row starts."""
    if not len(vocabulary):
        return np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros_like(block.start)
    column = np.searchsorted(vocabulary, block.hashes)
    column[column == len(vocabulary)] = 0
    known = vocabulary[column] == block.hashes
    start = np.concatenate([[0], np.cumsum(known)])[block.start]
    value = np.ones(int(known.sum()), dtype=np.float32)
    if sublinear:
        value = (1 + np.log(block.counts[known])).astype(np.float32)
    return column[known], value, start.astype(np.int64)
