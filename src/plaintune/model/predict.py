"""A model folder at work: texts in, answers with their confidence out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.blending import Blend
from ..core.errors import BrokenModel, UserError
from ..core.events import Listener, silent
from ..core.features import Texts
from ..core.linear import NgramModel
from .folder import NGRAMS, Manifest, read_manifest
from .graph import Graph, open_graph


@dataclass(frozen=True)
class Prediction:
    """One answer: the most probable class, how sure the model is, and every class's probability."""

    answer: str
    confidence: float
    probabilities: dict[str, float]


class Model:
    """A trained model, loaded. `predict` gives answers; `manifest` tells where it comes from."""

    def __init__(self, folder: Path, manifest: Manifest, graph: Graph, ngrams: NgramModel) -> None:
        self.folder = folder
        self.manifest = manifest
        self._graph, self._ngrams = graph, ngrams
        self._blend = Blend(float(manifest.blend["network"]), float(manifest.blend["ngrams"]))

    @classmethod
    def load(cls, folder: str | Path) -> Model:
        """Open a model folder. Raises BrokenModel where it is not whole, or from a newer release."""
        folder = Path(folder)
        manifest = read_manifest(folder)
        try:
            ngrams = NgramModel.load(folder / NGRAMS)
            graph = open_graph(folder, max_length=manifest.max_length_tokens, pad_id=manifest.pad_id)
        except Exception as error:  # onnxruntime and tokenizers raise kinds of their own
            raise BrokenModel(
                f"The model in {folder} cannot be opened ({error}).", "Copy it again whole, or train it anew."
            ) from error
        return cls(folder, manifest, graph, ngrams)

    @property
    def classes(self) -> tuple[str, ...]:
        """The possible answers, in the order of the columns of `probabilities`."""
        return self.manifest.classes

    def predict(self, texts: str | Sequence[str]) -> list[Prediction]:
        """The answer to each text; a single text gives a list of one."""
        return [self._prediction(row) for row in self.probabilities(texts)]

    def probabilities(self, texts: str | Texts, *, listener: Listener = silent) -> NDArray[np.float32]:
        """Calibrated probabilities. Shape (texts, classes). Raises UserError for what is not text."""
        texts = [texts] if isinstance(texts, str) else texts
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise UserError(
                    f"Text {row + 1} is not a text but {type(text).__name__}.", "Give strings to predict."
                )
        if not len(texts):
            return np.zeros((0, len(self.classes)), dtype=np.float32)
        network = self._graph.logits(texts, listener=listener)
        return self._blend.probabilities(network, self._ngrams.logits(texts))

    def _prediction(self, probabilities: NDArray[np.float32]) -> Prediction:
        best = int(probabilities.argmax())
        by_class = {name: float(p) for name, p in zip(self.classes, probabilities, strict=True)}
        return Prediction(self.classes[best], float(probabilities[best]), by_class)
