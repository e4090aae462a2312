"""The network at work: texts → logits, through tokenizer and ONNX Runtime."""

from __future__ import annotations

import base64
import ctypes
import hashlib
import json
import os
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ..core.errors import panics_as_errors
from ..core.events import Listener, progress, silent
from ..core.features import Texts
from ..core.files import kept_array
from ..core.hardware import inspect_machine, usable_cores
from ..core.tasks import MOST_CLASSES
from ..data.encode import (
    ANSWERED_AT_ONCE,
    Tokens,
    batches,
    encode,
    mean_by_text,
    padded,
    plain_tokenizer,
    unread,
)
from .onnx_file import require_plain_graph

ROWS_PER_BATCH = 64
CHUNK_ROWS = 2000  # texts tokenised at a time, so that memory does not grow with their number
MOST_MEMORY = 0.6  # of this machine's, for all graphs of a process together
MOST_RULE_BYTES = 20_000  # of what a tokenizer puts around each text
MOST_GROWTH = 1000  # of a part of a text, by what a tokenizer puts in its place
MOST_TEXT_GROWTH = 4  # of a text, where parts of it may grow
MOST_AROUND = 64  # tokens that it puts around a text


class Graph:
    """A model's ONNX graph with its tokenizer; safe to use from several threads and after a fork.

    ``reread`` gives the content once more, which a forked process needs: threads do not live on in it.
    Raises ValueError for a graph or tokenizer that could read other files or fill the memory.
    """

    def __init__(
        self,
        content: bytes,
        tokenizer: bytes,
        *,
        sha256: str,
        max_length: int,
        windows: int,
        pad_id: int,
        reread: Callable[[], bytes],
    ) -> None:
        require_plain_graph(content)
        self.sha256 = sha256
        self.tokenizer = plain_tokenizer(tokenizer.decode("utf-8"))
        self._most_growth = MOST_TEXT_GROWTH if _checked_growth(self.tokenizer) > 1 else None
        self.max_length, self.windows, self.pad_id = max_length, windows, pad_id
        self._reread = reread
        self._lock = threading.Lock()
        self._session: onnxruntime.InferenceSession | None = _open_session(content)
        if hasattr(os, "register_at_fork"):
            this = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _forget_session(this()))

    @property
    def session(self) -> onnxruntime.InferenceSession:
        """ONNX Runtime at work; in a forked process one of its own."""
        with self._lock:
            if self._session is None:
                self._session = _open_session(self._reread())
            return self._session

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

    def unread(self, text: str) -> tuple[int, int]:
        """The characters in the middle of a long text that the graph is not asked about: from, to."""
        with panics_as_errors():
            return unread(self.tokenizer, text, max_length=self.max_length, windows=self.windows)

    def _place(self, kept: Path, texts: Texts) -> Path:
        """Where the logits of ``texts`` are put by: a name that only this graph and these texts have."""
        digest = hashlib.sha256(self.sha256.encode())
        for text in texts:
            digest.update(text.encode("utf-8", "replace") + b"\0")
        return kept / f"logits-{digest.hexdigest()[:32]}.npz"

    def inputs(self, texts: Texts) -> Iterator[dict[str, NDArray[np.int64]]]:
        """What the graph is asked for ``texts``, batch by batch, the shortest windows first."""
        tokens, _ = self._windows(texts)
        for _, batch in self._batches(tokens):
            yield batch

    def _windows(self, texts: Texts) -> tuple[Tokens, NDArray[np.int64]]:
        with panics_as_errors():
            return encode(
                self.tokenizer, texts,
                max_length=self.max_length, windows=self.windows, most_growth=self._most_growth,
            ).windows()  # fmt: skip

    def _batches(self, tokens: Tokens) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[np.int64]]]]:
        for chosen in batches(
            tokens.lengths, rows_per_batch=ROWS_PER_BATCH, tokens_per_batch=ANSWERED_AT_ONCE
        ):
            ids, mask = padded(tokens, chosen, pad_id=self.pad_id)
            yield chosen, {"input_ids": ids, "attention_mask": mask}

    def _chunk(self, texts: Texts) -> NDArray[np.float32]:
        tokens, text_of = self._windows(texts)
        found: NDArray[np.float32] | None = None
        for chosen, batch in self._batches(tokens):
            logits = self.session.run(None, batch)[0]
            if logits.ndim != 2 or len(logits) != len(chosen) or logits.shape[1] > MOST_CLASSES:
                raise ValueError(f"the graph gives {logits.shape} numbers for {len(chosen)} texts")
            if found is None:
                found = np.zeros((len(tokens), logits.shape[1]), dtype=np.float32)
            found[chosen] = logits
        assert found is not None
        return mean_by_text(found, text_of, len(texts))


def _open_session(content: bytes) -> onnxruntime.InferenceSession:
    """A session over the graph; its memory comes from one store that may not take more than a share."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    options.log_severity_level = 4  # what fails is raised as well
    if _limited_memory():
        options.add_session_config_entry("session.use_env_allocators", "1")
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    session._model_bytes = None  # else it would hold the whole file for good
    return session


@cache
def _limited_memory() -> bool:
    """Let all sessions together take a share of this machine's memory, once a process."""
    memory = inspect_machine().memory_gib
    if memory is None:
        return False
    most = int(MOST_MEMORY * memory * 2**30)
    settings = {"max_mem": most, "arena_extend_strategy": -1, "initial_chunk_size_bytes": -1}
    kind = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    try:
        store = onnxruntime.OrtArenaCfg(settings | {"max_dead_bytes_per_chunk": -1})
        onnxruntime.create_and_register_allocator(kind, store)
    except RuntimeError:  # another library of this process has set its own
        return False
    return True


def _forget_session(graph: Graph | None) -> None:
    """In a forked process: the session's threads are not here, nor whoever held the lock.

    It must never be closed here, which would wait for its threads for ever: it is kept alive for good.
    """
    if graph is not None:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(graph._session))
        graph._session, graph._lock = None, threading.Lock()
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the tokenizer's threads are not here either


def _checked_growth(tokenizer: Tokenizer) -> int:
    """How many times as long a part of a text may become. ValueError where a short text could blow up."""
    if tokenizer.post_processor is not None:
        rules = tokenizer.post_processor.__getstate__()
        if len(rules) > MOST_RULE_BYTES or _times_said(json.loads(rules)) > 1:
            raise ValueError("the tokenizer adds too much to each text")
    growth = 1
    for rules in (tokenizer.normalizer, tokenizer.pre_tokenizer):
        if rules is not None:
            for put_in in re.findall(rb'"(?:content|prepend)": ?"((?:[^"\\]|\\.)*)"', rules.__getstate__()):
                growth *= max(1, len(put_in))
            for packed in re.findall(rb'"precompiled_charsmap": ?"([^"]*)"', rules.__getstate__()):
                growth *= _longest_replacement(base64.b64decode(packed))
    if growth > MOST_GROWTH:
        raise ValueError("the tokenizer makes texts far longer than they are")
    if any(len(tokenizer.encode(text).ids) > MOST_AROUND for text in ("", "a")):
        raise ValueError("the tokenizer adds too much to each text")
    return growth


def _times_said(rules: dict[str, Any]) -> int:
    """How often a single text stands in what the rules put around it."""
    own = sum("Sequence" in piece for piece in rules.get("single", ()))
    return own + sum(map(_times_said, rules.get("processors", ())))


def _longest_replacement(charsmap: bytes) -> int:
    """Bytes that SentencePiece puts in place of a character: its table is a trie's size, the trie, these."""
    trie = int.from_bytes(charsmap[:4], "little")
    return max(map(len, charsmap[4 + trie :].split(b"\0")), default=1) or 1
