"""One model at work in a service: it answers, is exchanged for a newer one, and is watched."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from ..core.errors import BrokenModel, UserError
from ..core.files import file_sha256
from ..core.tasks import Task
from ..model.card import how_good
from ..model.folder import MANIFEST, PARTS, SELF_TEST
from ..model.predict import Model, Prediction
from ..model.self_test import check_answers
from ..model.watch import Watch, figures
from .batcher import Batcher
from .gauges import MOST_ANSWERS, Gauges
from .unsure import UnsureLog

MOST_EXPLANATIONS = 4  # waiting at a time: one costs as much as hundreds of answers
PROBE = "Does it answer at all?"  # asked of a model before it takes over
Log = Callable[..., None]


@dataclass(frozen=True)
class Limits:
    """What a request may ask for."""

    most_texts: int = 1000
    most_characters: int = 100_000
    most_explained_characters: int = 10_000
    most_waiting: int = 2000
    most_bytes: int = 10_000_000
    batch_texts: int = 64


@dataclass(frozen=True)
class Loaded:
    """A model as it was loaded, and what it has been asked since."""

    model: Model
    version: str
    since: datetime
    stamp: object  # changes when the folder does
    watch: Watch


class Served:
    """A model by its name. `predict` and `explain` answer; `reload` takes a new folder or keeps the old."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        limits: Limits,
        unsure: float,
        gauges: Gauges,
        log: Log,
        unsure_log: UnsureLog | None = None,
    ) -> None:
        self.folder, self.name, self.limits, self.unsure = folder, name, limits, unsure
        self.gauges, self.log, self.unsure_log = gauges, log, unsure_log
        self.loaded = _load(folder)
        self.explaining = 0
        self._aside = ThreadPoolExecutor(1, "plaintune-explain")
        self._refused: object = None
        self._reloading = asyncio.Lock()
        self.batcher: Batcher[Loaded, bytes] = Batcher(
            self._answer,
            batch_texts=limits.batch_texts,
            most_waiting=limits.most_waiting,
            on_batch=gauges.batch_texts.labels(name).observe,
        )
        gauges.waiting.labels(name).set_function(lambda: self.batcher.waiting)

    async def predict(self, texts: Sequence[str]) -> tuple[Loaded, list[bytes]]:
        """The answers as JSON, and by which model. Raises Full."""
        loaded = self.loaded
        return loaded, await self.batcher.ask(loaded, texts)

    async def aside(self, function: Callable[[Model], Any]) -> Any:
        """What ``function`` makes of the model, beside the answers, which do not wait for it."""
        return await asyncio.get_running_loop().run_in_executor(
            self._aside, partial(function, self.loaded.model)
        )

    async def close(self) -> None:
        """End its threads, when nobody waits any more."""
        await self.batcher.close()
        self._aside.shutdown(wait=False, cancel_futures=True)

    async def reload(self) -> None:
        """Load the folder anew and answer with it from then on; where it does not work, keep the old."""
        async with self._reloading:
            stamp = _stamp(self.folder)
            try:
                self.loaded = await asyncio.to_thread(_load, self.folder)
            except Exception as error:
                self._refused = stamp
                problem = error.problem if isinstance(error, UserError) else type(error).__name__
                self.gauges.reloads.labels(self.name, "refused").inc()
                self.log("reload refused", model=self.name, problem=problem, still=self.loaded.version)
            else:
                self.gauges.reloads.labels(self.name, "taken").inc()
                self.log("reloaded", model=self.name, version=self.loaded.version)

    def news(self) -> object:
        """A mark of what the folder holds; None for the model at work, the one refused, or part of one."""
        stamp = _stamp(self.folder)
        return None if stamp in (self.loaded.stamp, self._refused) else stamp

    def as_json(self) -> dict[str, Any]:
        """What people ask about a model."""
        manifest = self.loaded.model.manifest
        return {
            "name": self.name,
            "version": self.loaded.version,
            "loaded": self.loaded.since.isoformat(timespec="seconds"),
            "task": manifest.task,
            "classes": list(manifest.classes),
            "text_columns": list(manifest.text_columns),
            "label_columns": list(manifest.label_columns),
            "joined_by": manifest.joined_by,
            "how_good": how_good(manifest),
            "unsure_below": self.unsure,
            "limits": asdict(self.limits),
        }

    def _is_unsure(self, prediction: Prediction) -> bool:
        return self.loaded.model.task is not Task.NUMBER and prediction.confidence < self.unsure

    def _answer(self, loaded: Loaded, texts: Sequence[str]) -> list[bytes]:
        """Runs in the model's thread."""
        outputs = loaded.model.outputs(texts)
        predictions = loaded.model.predictions(outputs)
        loaded.watch.add(figures(loaded.model, texts, outputs))
        self._count(loaded.model, predictions)
        self._keep_unsure(texts, predictions)
        return [self._told(prediction) for prediction in predictions]

    def _told(self, prediction: Prediction) -> bytes:
        """An answer as JSON: one at a time, between which the event loop has its turn. It may be large."""
        told = {**vars(prediction), "unsure": self._is_unsure(prediction)}
        return json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()

    def _keep_unsure(self, texts: Sequence[str], predictions: Sequence[Prediction]) -> None:
        if self.unsure_log is None:
            return
        doubted = [pair for pair in zip(texts, predictions, strict=True) if self._is_unsure(pair[1])]
        try:
            self.unsure_log.add(doubted)
        except OSError as error:  # a full disk must not cost anybody an answer
            self.log("unsure texts are no longer kept", model=self.name, problem=str(error.strerror))
            self.unsure_log = None

    def _count(self, model: Model, predictions: Sequence[Prediction]) -> None:
        gauges, name = self.gauges, self.name
        gauges.texts.labels(name).inc(len(predictions))
        for prediction in predictions:
            gauges.confidence.labels(name).observe(prediction.confidence)
            if self._is_unsure(prediction):
                gauges.unsure.labels(name).inc()
            if 0 < len(model.classes) <= MOST_ANSWERS:
                given = prediction.answer if isinstance(prediction.answer, list) else [prediction.answer]
                for answer in given:
                    gauges.answers.labels(name, answer).inc()


def log_line(event: str, **told: Any) -> None:
    """One JSON object on a line of stdout."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    with contextlib.suppress(OSError):  # whoever read the log is gone: answering goes on
        print(json.dumps({"time": now, "event": event, **told}), flush=True)  # stdout may know ASCII alone


def _load(folder: Path) -> Loaded:
    """The model in ``folder``, after it has answered once. Raises BrokenModel where it does not."""
    stamp = _stamp(folder)
    model = Model.load(folder)
    try:
        check_answers(model)
        answers = [asdict(answer) for answer in model.predict([PROBE])]
        json.dumps(answers, allow_nan=False)
        how_good(model.manifest)
    except BrokenModel:
        raise
    except Exception as error:
        raise BrokenModel(
            f"The model in {folder} opens but does not answer ({type(error).__name__}).", "Train it anew."
        ) from error
    file = folder / MANIFEST if folder.is_dir() else folder
    return Loaded(
        model, file_sha256(file)[:12], datetime.now(UTC), stamp, Watch(model, model.manifest.reference)
    )


def _stamp(folder: Path) -> object:
    """What changes when the model on disk does; None while a part of it is missing."""
    try:
        parts = [folder / name for name in (MANIFEST, *PARTS)] if folder.is_dir() else [folder]
        test = folder / SELF_TEST  # only an export has one
        found = [part.stat() for part in (*parts, *([test] if test.exists() else []))]
    except OSError:
        return None
    return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in found)
