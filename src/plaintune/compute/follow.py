"""Follow a run on a rented machine: its events here as if it ran here, its checkpoints home every minute."""

from __future__ import annotations

import filecmp
import json
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.events import Event, Listener, note, stage
from ..core.files import file_sha256
from ..core.settings import PLAN
from .engine import Engine, copy_back, runs_there, ssh_command
from .machine import is_running
from .names import MODEL, Names
from .parcel import FETCHED, PROGRESS
from .records import Rental

REMOTE = "sky_workdir"
SYNC_SECONDS = 60.0  # a checkpoint is written every 40: with quick copies less than two minutes are lost
LOOK_SECONDS = 15.0  # without a word, before it is asked whether the machine is still there
SYNC_MOST_SECONDS = 150.0  # for one checkpoint
PAUSES = 10  # times as long as a copy took before the next: a slow line, or one paid by the byte, is spared
FETCH_SECONDS = 900.0
FETCH_WAIT_SECONDS = 10.0  # before the model is fetched again
FETCH_TRIES = 3  # at least, however near the deadline is
HOME_MARGIN = 180.0  # before the deadline there must be time to bring the checkpoint home
STATE = "state.json"  # of a checkpoint: points to the rest


class Preempted(Exception):
    """The cloud took the machine back."""


class OutOfTime(Exception):
    """The deadline is near."""


@dataclass(frozen=True)
class Finished:
    """The run is done; these are the files of the model and their SHA-256."""

    files: dict[str, str]


def follow(engine: Engine, rental: Rental, checkpoint: Path, names: Names, listener: Listener) -> Finished:
    """Until the run ends, which is told in the user's own names.

    Raises Preempted, OutOfTime, and UserError as the run itself would.
    """
    stage(listener, "Setting up the rented machine")
    heard = 0
    next_copy = time.monotonic() + SYNC_SECONDS
    away = False
    while True:
        with _lines(engine, rental, skip=heard) as lines:
            silent_since = time.monotonic()
            while True:
                _check_time(rental)
                if time.monotonic() > next_copy:
                    begun = time.monotonic()
                    bring_checkpoint(engine, rental, checkpoint)
                    next_copy = time.monotonic() + max(SYNC_SECONDS, PAUSES * (time.monotonic() - begun))
                line = _next(lines)
                if line is not None:
                    heard, silent_since, away = heard + 1, time.monotonic(), False
                    if (finished := _understood(line, engine, rental, names, listener)) is not None:
                        return finished
                    continue
                if time.monotonic() - silent_since > LOOK_SECONDS:
                    break
        away = _still_there(engine, rental, away, listener)


def _still_there(engine: Engine, rental: Rental, away: bool, listener: Listener) -> bool:
    """Whether the network is away; raises Preempted where the machine is gone."""
    running = is_running(engine, rental)
    if running is False:
        raise Preempted
    if running is None and not away:
        note(listener, "The network is away. The machine works on; I keep trying to reach it.")
    return running is None


def _check_time(rental: Rental) -> None:
    if time.time() > rental.deadline - HOME_MARGIN:
        raise OutOfTime


@contextmanager
def _lines(engine: Engine, rental: Rental, *, skip: int) -> Iterator[queue.Queue[str | None]]:
    """The lines of the machine's progress as they are written, from the first not yet heard."""
    assert rental.cluster is not None
    # --pid ends the remote tail with its shell; -F waits for a file that is not there yet
    tail = f"exec tail --pid=$PPID -n +{skip + 1} -F {REMOTE}/{PROGRESS} 2>/dev/null"
    reader = subprocess.Popen(
        [*ssh_command(engine, rental.cluster), rental.cluster, tail],
        env=engine.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, encoding="utf-8", errors="replace", start_new_session=True,
    )  # fmt: skip
    heard: queue.Queue[str | None] = queue.Queue()

    def listen() -> None:
        assert reader.stdout is not None
        for line in reader.stdout:
            if line.endswith("\n"):  # half a line comes again, whole, with the next connection
                heard.put(line)

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield heard
    finally:
        reader.kill()
        reader.wait()


def _next(lines: queue.Queue[str | None]) -> str | None:
    try:
        return lines.get(timeout=1.0)
    except queue.Empty:
        return None


def _understood(
    line: str, engine: Engine, rental: Rental, names: Names, listener: Listener
) -> Finished | None:
    """Pass an event on; raise what ended the run; give the end itself."""
    try:
        said: dict[str, Any] = names.at_home(json.loads(line))
    except ValueError:  # a line that was cut off when its process was killed, or an empty one
        return None
    match said["kind"]:
        case "done":
            return Finished(said["files"])
        case "problem":
            raise _unless_taken_back(engine, rental, UserError(said["problem"], said["fix"]))
        case "failed":
            again = "Type the same command again: it goes on from the last checkpoint, on another machine."
            raise _unless_taken_back(engine, rental, UserError(said["problem"], again))
        case "crash":
            crash = RuntimeError(f"plaintune failed on the rented machine:\n{said['trace']}")
            raise _unless_taken_back(engine, rental, crash)
        case _:
            listener(Event(**said))
            return None


def _unless_taken_back(engine: Engine, rental: Rental, failure: Exception) -> Exception:
    """What has failed, or Preempted: a machine that is taken back kills what runs on it, or on the others."""
    return Preempted() if is_running(engine, rental) is False else failure


def bring_checkpoint(engine: Engine, rental: Rental, target: Path) -> bool:
    """The machine's checkpoint to ``target``, whole or not at all; gives whether there is a new one."""
    assert rental.cluster is not None
    aside = rental.folder / "checkpoint"
    source = f"{REMOTE}/{MODEL}.plaintune-checkpoint"
    copied = copy_back(engine, rental.cluster, source, aside, seconds=SYNC_MOST_SECONDS)
    if not copied or not _is_whole(aside):
        return False
    put_checkpoint(aside, target)
    return True


def put_checkpoint(source: Path, target: Path) -> None:
    """Make ``target`` like ``source``; cut off anywhere, it holds the old state, the new one, or none.

    The state that points to the others comes after them, and what it pointed to before goes last.
    """
    target.mkdir(parents=True, exist_ok=True)
    names = sorted(_files(source), key=lambda name: name == Path(STATE))
    if not _is_same_plan(source / PLAN, target / PLAN):
        (target / STATE).unlink(missing_ok=True)  # it belongs to another plan
    for name in names:
        (target / name).parent.mkdir(exist_ok=True)
        aside = (target / name).with_name(f".{name.name}.part")
        shutil.copyfile(source / name, aside)
        aside.replace(target / name)
    for old in _files(target) - set(names):
        (target / old).unlink()


def _is_same_plan(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and filecmp.cmp(one, other, shallow=False)


def _files(folder: Path) -> set[Path]:
    return {file.relative_to(folder) for file in folder.rglob("*") if file.is_file()}


def _is_whole(checkpoint: Path) -> bool:
    """Whether the state that is pointed to is there as it was written: it may change while it is copied."""
    try:
        state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
        return file_sha256(checkpoint / state["file"]) == str(state["sha256"])
    except (OSError, ValueError, KeyError):
        return False


def bring_model(engine: Engine, rental: Rental, finished: Finished, target: Path) -> Path:
    """The model folder home, every file checked against what the machine said; the machine is told.

    Tried until the deadline is near. Raises UserError, and Preempted where the machine is gone.
    """
    assert rental.cluster is not None
    tried = 0
    while True:
        copy_back(engine, rental.cluster, f"{REMOTE}/{MODEL}", target, seconds=FETCH_SECONDS)
        wrong = [name for name, digest in finished.files.items() if not _same(target / name, digest)]
        if not wrong:
            # its work ends by this, so that SkyPilot's own timer ends the machine where we cannot
            runs_there(engine, rental.cluster, f"touch {REMOTE}/{FETCHED}", seconds=30)
            return target
        if is_running(engine, rental) is False:
            raise Preempted
        tried += 1
        if tried >= FETCH_TRIES and time.time() > rental.deadline - HOME_MARGIN:
            break
        time.sleep(FETCH_WAIT_SECONDS)
    raise UserError(
        f"The model did not come home whole ({', '.join(wrong[:3])}).",
        "Type the same command again: it goes on from the last checkpoint.",
    )


def _same(file: Path, digest: str) -> bool:
    return file.is_file() and file_sha256(file) == digest
