"""A model folder at work: texts in, answers with their confidence out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.blending import Blend
from ..core.errors import BrokenModel, UserError, panics_as_errors
from ..core.events import Listener, silent
from ..core.features import Texts, whole_characters
from ..core.linear import NgramModel
from ..core.tasks import Task
from .folder import GRAPH, MANIFEST, NGRAMS, TOKENIZER, Manifest, broken
from .graph import Graph
from .parts import read_part, read_parts


@dataclass(frozen=True)
class Prediction:
    """One answer: the most probable class, the classes that apply, or a number with its interval.

    ``confidence`` is how sure the model is of it (of several classes: of the least sure decision; of a
    number: that it lies in ``interval``); ``probabilities`` holds every class's.
    """

    answer: str | list[str] | float
    confidence: float
    probabilities: dict[str, float]
    interval: tuple[float, float] | None = None


class Model:
    """A trained model, loaded. `predict` gives answers; `manifest` tells where it comes from."""

    def __init__(self, folder: Path, manifest: Manifest, graph: Graph, ngrams: NgramModel) -> None:
        self.folder, self._place = folder, folder.absolute()
        self.manifest = manifest
        self.task = Task(manifest.task)
        self.prior = np.array(manifest.prior, dtype=np.float64)  # as in `core.metrics.score_outputs`
        self.blend = Blend(**{**manifest.blend, "task": self.task})
        self._graph, self._ngrams = graph, ngrams

    @classmethod
    def load(cls, folder: str | Path) -> Model:
        """Open a model folder or a `.plaintune` file. Raises BrokenModel where it is not whole."""
        folder = Path(folder)
        manifest, parts = read_parts(folder)
        place = folder.absolute()
        sha256 = (manifest.files or {})[GRAPH]["sha256"]
        try:
            with panics_as_errors():
                ngrams = NgramModel.from_bytes(parts[NGRAMS])
                graph = Graph(
                    parts.pop(GRAPH), parts[TOKENIZER],
                    sha256=sha256, max_length=manifest.max_length_tokens, windows=manifest.windows,
                    pad_id=manifest.pad_id, reread=lambda: read_part(place, GRAPH, sha256),
                )  # fmt: skip
            model = cls(folder, manifest, graph, ngrams)
        except Exception as error:  # onnxruntime and tokenizers raise kinds of their own
            raise BrokenModel(
                f"The model in {folder} cannot be opened ({error}).", "Copy it again whole, or train it anew."
            ) from error
        if ngrams.answers != model.task.outputs(len(model.classes)):
            raise broken(folder, f"{NGRAMS} has {ngrams.answers} answers and {MANIFEST} others")
        return model

    def __reduce__(self) -> tuple[Any, ...]:
        return Model.load, (str(self._place),)  # another process opens the same folder

    @property
    def classes(self) -> tuple[str, ...]:
        """The possible answers, in the order of the columns of `outputs`; none where it gives numbers."""
        return self.manifest.classes

    def predict(self, texts: str | Sequence[str]) -> list[Prediction]:
        """The answer to each text; a single text gives a list of one."""
        return self.predictions(self.outputs(texts))

    def predictions(self, outputs: NDArray[Any]) -> list[Prediction]:
        """`outputs` as answers."""
        return [self._prediction(row) for row in outputs]

    def outputs(
        self, texts: str | Texts, *, kept: Path | None = None, listener: Listener = silent
    ) -> NDArray[Any]:
        """Calibrated probabilities (texts, classes) or numbers (texts, 1). UserError for what is not text."""
        if isinstance(texts, Mapping) or hasattr(texts, "columns"):
            raise UserError("A table is not a list of texts.", 'Give its column: table["text"]')
        texts = [texts] if isinstance(texts, str) else list(texts)
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise UserError(
                    f"Text {row + 1} is not a text but {type(text).__name__}.", "Give strings to predict."
                )
        texts = [whole_characters(text) for text in texts]
        if not len(texts):
            return np.zeros((0, self.task.outputs(len(self.classes))), dtype=np.float32)
        network = self._graph.logits(texts, kept=kept, listener=listener)
        return self.blend.outputs(network, self._ngrams.logits(texts))

    def network_logits(self, texts: Texts) -> NDArray[np.float32]:
        """What the network alone says, before the blend. Shape (texts, answers)."""
        return self._graph.logits(texts)

    def unread_by_network(self, text: str) -> tuple[int, int]:
        """The characters in the middle of a long text that the network does not look at: from, to."""
        return self._graph.unread(text)

    def ngram_logits(self, texts: Texts) -> NDArray[np.float32]:
        """What counted words alone say, before the blend. Shape (texts, answers)."""
        return self._ngrams.logits(texts)

    def unknown_words(self, texts: Texts) -> NDArray[np.float64]:
        """Of each text, the share of its different words that are not among the counted ones."""
        return self._ngrams.unknown_words(texts)

    def _prediction(self, outputs: NDArray[Any]) -> Prediction:
        sureness = float(self.blend.sureness(outputs[None])[0])
        if self.task is Task.NUMBER:
            number = float(outputs[0])
            reach = self.blend.half_width
            return Prediction(number, sureness, {}, (number - reach, number + reach))
        by_class = {name: float(p) for name, p in zip(self.classes, outputs, strict=True)}
        if self.task is Task.MULTI:
            chosen = [name for name, p in by_class.items() if p >= self.blend.threshold]
            return Prediction(chosen, sureness, by_class)
        return Prediction(self.classes[int(outputs.argmax())], sureness, by_class)
