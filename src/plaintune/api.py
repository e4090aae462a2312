"""The Python face: `train`, `check`, `quote` and `load`."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .core.errors import MissingExtra, OutputExists, UserError
from .core.events import Listener, note, silent
from .core.settings import DEFAULT_MINUTES, Settings
from .core.tasks import as_task

if TYPE_CHECKING:
    from .compute.quote import Quote
    from .data.finding import DataCheck
    from .model.predict import Model

TRAINING_PACKAGES = ("torch", "transformers", "sklearn", "scipy")


def train(
    source: Any,
    labels: Iterable[Any] | None = None,
    *,
    test: Any = None,
    out: str | Path | None = None,
    text: str | Sequence[str] = (),
    label: str | Sequence[str] = (),
    group: str | None = None,
    time: str | None = None,
    minutes: float = DEFAULT_MINUTES,
    backbone: str | None = None,
    max_length: int | None = None,
    seed: int = 0,
    task: str | None = None,
    separator: str | None = None,
    plan: str | Path | None = None,
    corrections: str | Path | Sequence[str | Path] = (),
    merge: str | Sequence[str] = (),
    unlabeled: str | Path | None = None,
    texts_in_report: bool = True,
    overwrite: bool = False,
    quiet: bool = False,
    listener: Listener | None = None,
) -> Model:
    """A model trained on ``source``: a path, a web address, a data frame, or texts with ``labels``.

    ``test`` is scored once, at the end: anything ``source`` can be, or a pair (texts, labels). The model
    folder goes to ``out`` (default: NAME-model here); its scores are in ``model.manifest.scores``, its report
    in report.html. ``corrections`` are files of mended answers, as the report saves them; ``merge`` joins
    answers: "refund=return". ``unlabeled`` is a path or web address of more such texts, without an answer.
    ``listener`` gets every event of the run; without one a progress bar is shown unless ``quiet``.
    Raises UserError with what to do about it, MissingExtra where the extra `train` is not installed.
    """
    require_training()
    from .faces.app import default_name
    from .faces.terminal import Terminal
    from .pipeline import fit

    settings = _settings(
        text, label, task, group=group, time=time, minutes=minutes,
        backbone=backbone, max_length_tokens=max_length, seed=seed, separator=separator,
        plan=plan,
        corrections=_several(corrections), merge=_several(merge),
        unlabeled=unlabeled,
        texts=texts_in_report,
    )  # fmt: skip
    named = default_name(str(source)) if isinstance(source, str | Path) else "plaintune-model"
    folder = Path(out) if out is not None else Path(named)
    hearing: AbstractContextManager[Listener] = (
        Terminal(quiet=quiet) if listener is None else nullcontext(listener)
    )
    try:
        with hearing as heard:
            return fit(
                source,
                labels,
                out=folder,
                settings=settings,
                test=test,
                replace_existing=overwrite,
                listener=heard,
            )
    except OutputExists as error:
        fix = "Give overwrite=True to replace it, or another place: out='DIR'"
        raise OutputExists(error.problem, fix) from None


def check(
    source: Any,
    labels: Iterable[Any] | None = None,
    *,
    test: Any = None,
    text: str | Sequence[str] = (),
    label: str | Sequence[str] = (),
    group: str | None = None,
    time: str | None = None,
    task: str | None = None,
    separator: str | None = None,
    goal: float | None = None,
    models: bool = True,
    backbone: str | None = None,
    seed: int = 0,
    fix: str | Path | None = None,
    overwrite: bool = False,
    listener: Listener = silent,
) -> DataCheck:
    """What would fool a model in ``source``, which is anything that `train` takes; ``test`` likewise.

    With ``models`` likely wrong labels, a learning curve and a verdict come with it where the training
    packages are installed; ``goal`` is the accuracy one would like, from 0 to 1. With ``fix`` a cleaned copy
    is written there, and beside it what was removed and changed. Raises UserError with what to do about it.
    """
    from .pipeline import check_up

    settings = _settings(
        text, label, task, group=group, time=time, separator=separator, backbone=backbone, seed=seed
    )
    if goal is not None and not 0 < goal < 1:
        raise UserError(f"--goal {goal} is not a share of right answers.", "For example: --goal 0.95")
    if models and not can_train():
        note(
            listener,
            "Wrong labels, learning curve and verdict need, in plaintune's folder: pip install '.[train]'",
        )
        models = False
    out = None if fix is None else Path(fix)
    return check_up(
        source, labels, settings,
        test=test, models=models, goal=goal, fix=out, replace_existing=overwrite, listener=listener,
    )  # fmt: skip


def quote(
    source: Any,
    labels: Iterable[Any] | None = None,
    *,
    test: Any = None,
    text: str | Sequence[str] = (),
    label: str | Sequence[str] = (),
    group: str | None = None,
    time: str | None = None,
    task: str | None = None,
    separator: str | None = None,
    backbone: str | None = None,
    seed: int = 0,
    listener: Listener = silent,
) -> Quote:
    """How long training on ``source`` would take here and how good it would get; takes about 20 seconds.

    ``source`` and the other arguments are as for `train`. Raises UserError and MissingExtra.
    """
    require_training()
    from .compute.quote import quote as quote_for

    settings = _settings(
        text, label, task, group=group, time=time, separator=separator, backbone=backbone, seed=seed
    )
    return quote_for(source, labels, settings=settings, test=test, listener=listener)


def _settings(
    text: str | Sequence[str], label: str | Sequence[str], task: str | None, **others: Any
) -> Settings:
    """What was asked for, as the rooms take it."""
    kind = None if task is None else as_task(task)
    given = {name: _plain(value) for name, value in others.items()}
    return Settings(text=_several(text), label=_several(label), task=kind, **given)


def _plain(value: Any) -> Any:
    """Paths as text and NumPy's numbers as Python's: settings are kept as JSON."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, Real) and not isinstance(value, bool | int) else value


def _several(names: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    return tuple(map(str, [names] if isinstance(names, str | Path) else names or ()))


def load(folder: str | Path) -> Model:
    """The model in ``folder``, ready to predict. Needs no torch. Raises BrokenModel."""
    from .model.predict import Model

    return Model.load(folder)


def require_training() -> None:
    """Raise MissingExtra where what training needs is not installed."""
    if not can_train():
        raise MissingExtra("Training", extra="train")


def can_train() -> bool:
    """Whether what training needs is installed."""
    return all(importlib.util.find_spec(package) is not None for package in TRAINING_PACKAGES)
