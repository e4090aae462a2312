"""On the rented machine: the same `fit`, its events as lines of JSON for whoever follows from afar.

python -m plaintune.compute.worker     # in the folder that `parcel.pack` made
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.events import Event
from ..core.files import file_sha256
from ..core.hardware import is_helper
from ..core.settings import Settings
from ..core.tasks import Task
from .names import MODEL
from .parcel import FETCHED, JOB, PROGRESS

Say = Callable[[dict[str, Any]], None]
LOOK_SECONDS = 5.0


def work(folder: Path, say: Say) -> bool:
    """Train as the job in ``folder`` says; every way it can end is said. Gives whether there is a model."""
    from ..pipeline import fit

    def tell(event: Event) -> None:
        say(asdict(event))

    try:
        job = json.loads((folder / JOB).read_text(encoding="utf-8"))
        settings = settings_from_json(job["settings"])
        model = folder / MODEL
        if not (model / "manifest.json").exists():  # else it was finished before the network went away
            if job.get("needs_gpu"):
                _require_gpu()
            fit(job["source"], out=model, settings=settings, test=job["test"], listener=tell)
        say({"kind": "done", "files": fingerprints(model)})
        return True
    except UserError as error:
        say({"kind": "problem", "problem": error.problem, "fix": error.fix})
        return False
    except BaseException:
        say({"kind": "crash", "trace": traceback.format_exc()})
        raise


def _require_gpu() -> None:
    """Nobody pays for a GPU to train on the processor beside it. Raises UserError."""
    import torch

    from ..learn.network import gpu_fault

    if not torch.cuda.is_available() or gpu_fault():
        raise UserError(
            "torch cannot use the GPU of the rented machine.",
            "Type the same again for another machine, or name another GPU: --gpu L4",
        )


def wait_until_fetched(folder: Path) -> None:
    """Keep the machine at work while its model is not home: an idle one is ended by SkyPilot in minutes.

    Its own timer ends it in any case.
    """
    while not (folder / FETCHED).exists():
        time.sleep(LOOK_SECONDS)


def settings_from_json(written: dict[str, Any]) -> Settings:
    """Settings as `dataclasses.asdict` and JSON have left them."""
    task = written.get("task")
    tuples = {name: tuple(value) for name, value in written.items() if isinstance(value, list)}
    return Settings(**{**written, **tuples, "task": None if task is None else Task(task)})


def fingerprints(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file in a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}


def _plain(value: Any) -> Any:
    """A number of numpy's or torch's as Python's; anything else in words."""
    return value.item() if hasattr(value, "item") else str(value)


def main() -> None:
    """Work in the folder one stands in, or help the machine that does."""
    if is_helper():
        from ..learn.crew import help_out

        help_out()
    with Path(PROGRESS).open("w", encoding="utf-8", buffering=1) as file:

        def say(line: dict[str, Any]) -> None:
            file.write(json.dumps(line, ensure_ascii=False, default=_plain) + "\n")

        if work(Path(), say):
            wait_until_fetched(Path())


if __name__ == "__main__":
    main()
