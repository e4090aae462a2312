"""Many files, each answered into a file of its own: here in turn, or by the workers of a Ray cluster.

What is done is marked beside it, so that the same call after a kill does only the rest. A file that was cut
short goes on where it was (`answer_file`), also when Ray gives it to another worker as the first one died.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from glob import glob
from pathlib import Path
from typing import Any, NamedTuple

from ..core.errors import MissingExtra, OutputExists, UserError
from ..core.events import Listener, note, progress, silent, stage, warn
from ..core.files import write_text
from ..data.sheets import require_parquet
from ..data.tables import is_url
from ..data.write import LINES_SUFFIXES, TABLE_SUFFIXES
from ..model.predict import Model
from .batch import PARQUET, Answered, answer_file, model_mark

LIVES = 10  # how often a file is given to another worker because its worker died
STORE_BYTES = 100_000_000  # Ray's memory for values, of which there are hardly any; 79 MB is the least
Problem = tuple[str, str]  # and what to do about it


class Shard(NamedTuple):
    """A file, where its answers go, and what says that they are whole."""

    source: Path
    out: Path

    @property
    def mark(self) -> Path:
        return self.out.with_name(f".{self.out.name}.done.json")


class Question(NamedTuple):
    """What all files are asked, and by which model."""

    folder: str
    model: str
    text: tuple[str, ...]
    unsure: float | None

    def work(self, shard: Shard) -> list[Any]:
        """This work on one file, as it is told apart from any other."""
        told = shard.source.stat()
        return [self.model, list(self.text), self.unsure, str(shard.source), told.st_size, told.st_mtime_ns]


def is_pattern(source: str) -> bool:
    """Whether ``source`` stands for several files."""
    return bool(set(source) & set("*?[")) and not is_url(source) and not Path(source).exists()


def shards_of(pattern: str, out: Path) -> list[Shard]:
    """The files like ``pattern``, each with a file of its name in the folder ``out``.

    Raises UserError where there are none, or where two would be answered in one file.
    """
    out = out.absolute()
    found = [Path(name).absolute() for name in glob(str(Path(pattern).expanduser()), recursive=True)]
    files = sorted(path for path in found if path.is_file() and out not in path.parents)
    if not files:
        where = f" outside {out}" if found else ""
        fix = "Check the path; quotes keep the shell out of it: --file 'shards/*.csv'"
        raise UserError(f"There is no file like {pattern}{where}.", fix)
    root = Path(os.path.commonpath([file.parent for file in files]))
    written = (PARQUET, *LINES_SUFFIXES, *TABLE_SUFFIXES)
    ends = ["" if f.suffix.lower() in written else ".jsonl" if ".json" in f.name else ".csv" for f in files]
    shards = [Shard(f, out / f"{f.relative_to(root)}{end}") for f, end in zip(files, ends, strict=True)]
    _require_apart(shards)
    return shards


def _require_apart(shards: Sequence[Shard]) -> None:
    """Raise where two files would be answered in one, as d.xlsx and d.xlsx.csv would."""
    sources: dict[Path, Path] = {}
    for shard in shards:
        other = sources.setdefault(shard.out, shard.source)
        if other != shard.source:
            problem = f"{other.name} and {shard.source.name} would both be answered in {shard.out}."
            raise UserError(problem, "Rename one of them, or answer one alone: --file FILE --out FILE")


def answer_shards(
    model: Model,
    shards: Sequence[Shard],
    *,
    text: tuple[str, ...] = (),
    unsure: float | None = None,
    ray: str | None = None,
    replace_existing: bool = False,
    listener: Listener,
) -> Answered:
    """Answer every file, with ``ray`` on the cluster of that address ("local": one of this machine's own).

    One that cannot be answered does not stop the others; UserError tells of it at the end.
    """
    question = Question(str(model.folder.absolute()), model_mark(model), text, unsure)
    left = [shard for shard in shards if _done(shard, question) is None]
    others = [shard for shard in left if _kept(shard, question) is None]
    _require_free(others, replace_existing=replace_existing)
    if len(left) < len(shards):
        note(listener, f"{len(shards) - len(left):,} files were answered before; going on with the others.")
    stage(listener, f"Answering {len(left):,} files", total=len(left))
    here = (_answer(shard, question) for shard in left)
    problems = []
    for number, problem in enumerate(_on_ray(left, question, ray) if ray and left else here, start=1):
        problems += [problem] if problem else []
        progress(listener, number, len(left))
    if problems:
        what = f"{len(problems):,} of {len(shards):,} files could not be answered. {problems[0][0]}"
        raise UserError(what, f"{problems[0][1]} The same command then does what is left.")
    counts = [_done(shard, question) or Answered(0, 0) for shard in shards]
    done = Answered(sum(one.rows for one in counts), sum(one.without_answer for one in counts))
    if done.without_answer:
        warn(listener, f"{done.without_answer:,} rows hold no text or could not be read; they got no answer.")
    for shard in shards:
        shard.mark.unlink(missing_ok=True)
    return done


def _require_free(shards: Sequence[Shard], *, replace_existing: bool) -> None:
    """Raise before any work where an answer would take another file's place, or cannot be written."""
    taken = next((shard.out for shard in shards if shard.out.exists()), None)
    if taken and not replace_existing:
        fix = "Add --yes to replace it, or choose another folder: --out DIR"
        raise OutputExists(f"{taken} exists already.", fix)
    if any(shard.out.suffix.lower() == PARQUET for shard in shards):
        require_parquet()


def _on_ray(shards: Sequence[Shard], question: Question, address: str) -> Iterator[Problem | None]:
    """`_answer` as tasks of a Ray cluster, in the order they end."""
    ray = _started_ray(address)
    task = ray.remote(_answer).options(max_retries=LIVES, name="plaintune predict")
    try:
        waiting = {task.remote(shard, question): shard for shard in shards}
        while waiting:
            (ended,), _ = ray.wait(list(waiting), num_returns=1)
            shard = waiting.pop(ended)
            try:
                yield ray.get(ended)
            except ray.exceptions.RayTaskError:
                raise  # our fault
            except ray.exceptions.RayError as error:
                yield f"{shard.source}: {type(error).__name__}, again and again.", "Look at Ray's logs."
    finally:
        ray.shutdown()


def _started_ray(address: str) -> Any:
    """Ray, connected. It reports nothing to its makers; a cluster of this run alone lets nobody else in."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    local: dict[str, Any] = {}
    if address == "local":
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        local = {"include_dashboard": False, "object_store_memory": STORE_BYTES}
    else:
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")  # its 20 take up to 13 minutes
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("--engine ray", extra="ray") from error
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **local)
    except (ConnectionError, RuntimeError, ValueError) as error:
        problem = f"No Ray cluster lets us in at {address} ({str(error).splitlines()[0]})."
        fix = "Check the address. Where it asks for a token: export RAY_AUTH_MODE=token"
        raise UserError(problem, fix) from error
    return ray


def _answer(shard: Shard, question: Question) -> Problem | None:
    """Answer one file and mark it as done; None, or what is the matter with it."""
    try:
        shard.out.parent.mkdir(parents=True, exist_ok=True)
        work, model = question.work(shard), _loaded(question.folder, question.model)
        write_text(shard.mark, json.dumps({"work": work, "done": None}))
        asked: dict[str, Any] = {"text": question.text, "unsure": question.unsure}
        done = answer_file(model, str(shard.source), shard.out, **asked, listener=silent)
        write_text(shard.mark, json.dumps({"work": work, "done": done}))
    except UserError as error:
        return error.problem, error.fix
    except OSError as error:
        fix = "All machines must see the files, and the folder of the answers with room in it, at one place."
        return f"{error.filename or shard.source}: {error.strerror or error}.", fix
    return None


@cache
def _loaded(folder: str, mark: str) -> Model:
    """The model, opened once in a process. Raises UserError where it is not the one that was asked."""
    model = Model.load(folder)
    if model_mark(model) != mark:
        raise UserError(f"On a worker {folder} is another model.", "Put the same one there.")
    return model


def _done(shard: Shard, question: Question) -> Answered | None:
    """What an earlier call made of the file; None where it is still to be done."""
    kept = _kept(shard, question) if shard.out.exists() else None
    return Answered(*kept["done"]) if kept and kept["done"] else None


def _kept(shard: Shard, question: Question) -> dict[str, Any] | None:
    """The mark of this work on the file, where it was begun."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept: dict[str, Any] = json.loads(shard.mark.read_text(encoding="utf-8"))
        return kept if kept["work"] == question.work(shard) else None
    return None
