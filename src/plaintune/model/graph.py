"""The network at work: texts → logits, through tokenizer and ONNX Runtime."""

from __future__ import annotations

import hashlib
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ..core.events import Listener, progress, silent
from ..core.features import Texts
from ..core.files import file_sha256, kept_array
from ..core.hardware import usable_cores
from ..data.encode import batches, encode, padded, plain_tokenizer
from .folder import GRAPH, TOKENIZER

ROWS_PER_BATCH, TOKENS_PER_BATCH = 64, 4096
CHUNK_ROWS = 2000  # texts tokenised at a time, so that memory does not grow with their number


def open_graph(folder: Path, *, max_length: int, pad_id: int) -> Graph:
    """The graph and tokenizer in a model folder."""
    return Graph(folder / GRAPH, folder / TOKENIZER, max_length=max_length, pad_id=pad_id)


class Graph:
    """A model's ONNX graph with its tokenizer; safe to use from several threads."""

    def __init__(self, graph: Path, tokenizer: Path, *, max_length: int, pad_id: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self.tokenizer = plain_tokenizer(tokenizer.read_text(encoding="utf-8"))
        self.max_length, self.pad_id = max_length, pad_id
        self.path = graph

    def logits(
        self, texts: Texts, *, kept: Path | None = None, listener: Listener = silent
    ) -> NDArray[np.float32]:
        """Evidence for each answer. Shape (texts, answers).

        With a folder ``kept`` each part is put by there, and not worked out again after a kill.
        """
        parts: list[NDArray[np.float32]] = []
        for first in range(0, len(texts), CHUNK_ROWS):
            chunk = partial(self._chunk, texts[first : first + CHUNK_ROWS])
            parts.append(chunk() if kept is None else kept_array(self._place(kept, *chunk.args), chunk))
            progress(listener, min(first + CHUNK_ROWS, len(texts)), len(texts))
        return np.concatenate(parts)

    def _place(self, kept: Path, texts: Texts) -> Path:
        """Where the logits of ``texts`` are put by: a name that only this graph and these texts have."""
        digest = hashlib.sha256(self.sha256.encode())
        for text in texts:
            digest.update(text.encode("utf-8", "replace") + b"\0")
        return kept / f"logits-{digest.hexdigest()[:32]}.npy"

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the graph's file."""
        return file_sha256(self.path)

    def _chunk(self, texts: Texts) -> NDArray[np.float32]:
        tokens = encode(self.tokenizer, texts, max_length=self.max_length)
        found: NDArray[np.float32] | None = None
        for chosen in batches(
            tokens.lengths, rows_per_batch=ROWS_PER_BATCH, tokens_per_batch=TOKENS_PER_BATCH
        ):
            ids, mask = padded(tokens, chosen, pad_id=self.pad_id)
            logits = self.session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
            if found is None:
                found = np.zeros((len(tokens), logits.shape[1]), dtype=np.float32)
            found[chosen] = logits
        assert found is not None
        return found
