"""A web address → a file on this disk, however often the line drops.

A download grows in `NAME.part`, with what the server said of its version in `NAME.part.json`; the next
try, in this run or a later one, asks for the rest of that same version. Nothing is sent but the request.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import socket
import ssl
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from urllib.error import HTTPError, URLError

from ..core.errors import OutputExists, UserError, nearest
from ..core.events import Listener, note, progress, silent, stage
from .unpack import cannot_write, extract

TIMEOUT_SECONDS = 30.0
PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)  # before each new try
_CHUNK_BYTES = 256 << 10
_GOES_ON = "Type the same command again: it goes on where it stopped."
_Answer = http.client.HTTPResponse | HTTPError
_md5 = partial(hashlib.md5, usedforsecurity=False)


@dataclass(frozen=True)
class Dataset:
    """A public data set that ``plaintune get`` knows; ``parts`` are its folders and their files."""

    name: str
    title: str
    terms: str
    url: str
    md5: str
    folder: str  # the one at the top of the archive
    parts: tuple[tuple[str, int], ...]

    def is_complete(self, place: Path) -> bool:
        """Whether ``place`` holds every file of every part."""
        return place.is_dir() and all(
            (place / part).is_dir() and len(os.listdir(place / part)) >= files for part, files in self.parts
        )


_IMDB = Dataset(
    name="imdb",
    title="Large Movie Review Dataset: 50,000 labelled film reviews and 50,000 without a label",
    terms="research use with citation: Maas et al. 2011, Learning Word Vectors for Sentiment Analysis",
    url="https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
    md5="7c2ac02c03563afcf9b574c7e56c153a",
    folder="aclImdb",
    parts=(
        *(("train/pos", 12_500), ("train/neg", 12_500), ("train/unsup", 50_000)),
        *(("test/pos", 12_500), ("test/neg", 12_500)),
    ),
)
DATASETS: Mapping[str, Dataset] = MappingProxyType({_IMDB.name: _IMDB})


def get_dataset(
    dataset: str | Dataset,
    *,
    out: Path | None = None,
    from_file: Path | None = None,
    listener: Listener = silent,
    url: str | None = None,
) -> Path:
    """The folder of a known data set, downloaded (or taken from ``from_file``), checked and unpacked.

    ``url``, or PLAINTUNE_<NAME>_URL in the environment, names another server of the same file.
    """
    wanted = dataset if isinstance(dataset, Dataset) else DATASETS.get(dataset)
    if wanted is None:
        problem = f"There is no data set '{dataset}'.{nearest(str(dataset), DATASETS)}"
        raise UserError(problem, f"Get one of: {', '.join(DATASETS)}")
    target = out or Path(wanted.folder)
    if wanted.is_complete(target):
        note(listener, f"{target} is there already, and complete.")
        return target
    if target.exists():
        problem = f"{target} is there already, but it is not the whole data set '{wanted.name}'."
        raise OutputExists(problem, "Remove it, or choose another folder with --out.")
    note(listener, f"{wanted.title}. Terms: {wanted.terms}.")
    if from_file is not None:
        archive = from_file
        if wrong := _wrong_file(archive, md5=wanted.md5):
            raise wrong
    else:
        url = url or os.environ.get(f"PLAINTUNE_{wanted.name.upper()}_URL") or wanted.url
        archive = download(url, _cached_place(url), listener=listener, md5=wanted.md5)
        note(listener, f"The archive is kept in {archive}; remove it if you want the space.")
    extract(archive, target, folder=wanted.folder, listener=listener)
    return target


def download(
    url: str,
    target: Path,
    *,
    listener: Listener = silent,
    md5: str | None = None,
    sha256: str | None = None,
    pauses: Sequence[float] = PAUSES_SECONDS,
) -> Path:
    """``target``, holding what ``url`` holds, whole and with the given checksums.

    A target that has its checksum already is left as it is. A connection that is cut is taken up again,
    after ``pauses`` seconds each time. Raises UserError for all that a network, a server or a disk can do.
    """
    if (md5 or sha256) and target.is_file() and not _wrong_file(target, md5=md5, sha256=sha256):
        note(listener, f"{target.name} is downloaded already.")
        return target
    part = _Part(target)
    _download(url, part, listener=listener, pauses=pauses)
    if wrong := _wrong_file(part.path, md5=md5, sha256=sha256):
        part.discard()
        raise wrong
    part.finish()
    return target


def cached_download(url: str, *, listener: Listener = silent) -> Path:
    """The file at ``url`` in plaintune's cache; loaded anew only where the server has another version.

    Where the server cannot be reached, the file of the last time is used and a note says so.
    """
    target = _cached_place(url)
    part, validators = _Part(target), target.with_name(target.name + ".json")
    try:
        if target.is_file() and _is_unchanged(url, _Version.read(validators, url)):
            note(listener, f"{_shown(url)} has not changed; using the copy in {target}.")
            return target
        _download(url, part, listener=listener, pauses=PAUSES_SECONDS)
    except _NoAnswer as error:
        if not target.is_file():
            raise
        note(listener, f"{error.problem} Using the copy of the last time, {target}.")
        return target
    part.finish(version_to=validators)
    return target


def cache_folder() -> Path:
    """Where plaintune keeps what can be had again: $PLAINTUNE_HOME, or the system's cache folder."""
    if home := os.environ.get("PLAINTUNE_HOME"):
        return Path(home).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "plaintune"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "plaintune"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plaintune"


class _NoAnswer(UserError):
    """A server that cannot be reached or does not give the file; ``retry`` says when to ask again."""

    def __init__(self, problem: str, fix: str, *, retry: Literal["never", "midway", "always"]) -> None:
        super().__init__(problem, fix)
        self.retry = retry


@dataclass(frozen=True)
class _Version:
    """Which version of a file a server sent, as far as it says."""

    url: str
    etag: str = ""
    modified: str = ""
    total_bytes: int = 0  # 0 where it does not say

    @property
    def validator(self) -> str:
        """What If-Range may compare; a weak ETag may not stand there (RFC 9110, 13.1.5)."""
        return self.modified if self.etag.startswith("W/") else self.etag or self.modified

    def agrees_with(self, other: _Version) -> bool:
        """Whether nothing that both servers' answers say tells them apart."""
        mine, theirs = asdict(self).values(), asdict(other).values()
        return all(a == b for a, b in zip(mine, theirs, strict=True) if a and b)

    @classmethod
    def read(cls, path: Path, url: str) -> _Version:
        """What was written of ``url``'s version, or one without validators."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            version = cls(**json.loads(path.read_text("utf-8")))
            if version.url == url:
                return version
        return cls(url)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), "utf-8")


class _Part:
    """A download that is not finished: its bytes and, beside them, the version they belong to."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self.version_path = target.with_name(target.name + ".part.json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def begin(self, version: _Version) -> None:
        """Empty it for ``version``; no moment leaves old bytes with a new version or the reverse."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.discard()
        version.write(self.version_path)

    def discard(self) -> None:
        self.version_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def finish(self, *, version_to: Path | None = None) -> None:
        try:
            self.path.replace(self.target)
            if version_to is not None:  # for those who ask again whether it has changed
                self.version_path.replace(version_to)
            self.version_path.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(error, self.target) from error


def _download(url: str, part: _Part, *, listener: Listener, pauses: Sequence[float]) -> None:
    """Fill ``part`` with the whole of ``url``, trying again after each of ``pauses``."""
    stage(listener, f"Downloading {_file_name(url)}")
    for attempt in range(len(pauses) + 1):
        try:
            return _fetch_rest(url, part, listener)
        except _NoAnswer as error:
            worth_it = error.retry == "always" or (error.retry == "midway" and attempt > 0)
            if not worth_it or attempt == len(pauses):
                raise
            note(listener, f"{error.problem} Trying again ({attempt + 1} of {len(pauses)}).")
            time.sleep(pauses[attempt])
        except OSError as error:  # those of the network are a _NoAnswer by now
            raise cannot_write(error, part.target) from error


def _fetch_rest(url: str, part: _Part, listener: Listener) -> None:
    """Add to ``part`` what it lacks, in one connection."""
    kept = _Version.read(part.version_path, url)
    done = part.size() if kept.validator else 0
    with _open(url, {"Range": f"bytes={done}-", "If-Range": kept.validator} if done else {}) as answer:
        sent = _version(url, answer)
        sent_range = answer.headers.get("Content-Range", "")
        if answer.status == 200:
            done = 0
            part.begin(sent)
        elif not (sent_range.startswith((f"bytes {done}-", "bytes */")) and kept.agrees_with(sent)):
            part.discard()
            raise _NoAnswer(f"{_shown(url)} has changed.", "Try again.", retry="always")
        total = sent.total_bytes or (kept.total_bytes if done else 0)
        if answer.status != 416:  # 416: nothing is left to send
            with part.path.open("ab") as file:
                progress(listener, done, total)
                for chunk in _chunks(answer, url):
                    done += file.write(chunk)
                    progress(listener, done, total)
    if total and (size := part.size()) != total:
        if size > total:
            part.discard()
        cut = f"The connection to {_parts(url).hostname} was cut at {size:,} of {total:,} bytes."
        raise _NoAnswer(cut, _GOES_ON, retry="always")


def _chunks(answer: _Answer, url: str) -> Iterator[bytes]:
    try:
        while chunk := answer.read(_CHUNK_BYTES):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        cut = f"The connection to {_parts(url).hostname} was cut."
        raise _NoAnswer(cut, _GOES_ON, retry="always") from error


def _version(url: str, answer: _Answer) -> _Version:
    headers = answer.headers
    total = headers.get("Content-Range", "").rpartition("/")[2] or headers.get("Content-Length", "")
    total_bytes = int(total) if total.isdecimal() else 0
    return _Version(url, headers.get("ETag", ""), headers.get("Last-Modified", ""), total_bytes)


def _is_unchanged(url: str, version: _Version) -> bool:
    headers = {"If-None-Match": version.etag, "If-Modified-Since": version.modified}
    with _open(url, {name: value for name, value in headers.items() if value}) as answer:
        return answer.status == 304


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follow a server elsewhere, but not from an encrypted connection to an open one."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise URLError("it leads to an address that is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, headers: Mapping[str, str]) -> _Answer:
    """The server's answer of status 200, 206, 304 or 416; raises _NoAnswer for every other end."""
    try:
        plain_url = urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]")
        request = urllib.request.Request(plain_url, headers={"User-Agent": "plaintune", **headers})
        opener = urllib.request.build_opener(_SafeRedirects)
        answer: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT_SECONDS)
        return answer
    except HTTPError as error:
        if error.code in (304, 416):
            return error
        error.close()
        raise _declined(url, error.code) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreached(url, error.reason if isinstance(error, URLError) else error) from error


def _declined(url: str, status: int) -> _NoAnswer:
    what, check = f"{_shown(url)} (the server says {status})", "Check the address."
    if status in (404, 410):
        return _NoAnswer(f"There is no {what}.", check, retry="never")
    if status in (401, 403, 407):
        return _NoAnswer(f"There is no permission for {what}.", "Get it in a browser.", retry="never")
    if status == 429 or status >= 500:
        return _NoAnswer(f"There is no way to get {what} now.", "Try again later.", retry="always")
    return _NoAnswer(f"There is no way to get {what}.", check, retry="never")


def _unreached(url: str, reason: object) -> _NoAnswer:
    host, check = _parts(url).hostname, "Check the address and that this machine is online."
    match reason:
        case socket.gaierror():
            return _NoAnswer(f"{host} is not found: its name is not known here.", check, retry="midway")
        case ConnectionRefusedError():
            return _NoAnswer(f"{host} refuses the connection.", check, retry="midway")
        case TimeoutError():
            return _NoAnswer(f"{host} took too long to answer.", "Try again later.", retry="always")
        case ssl.SSLCertVerificationError():
            fix = "Check this machine's date; on a company network, set SSL_CERT_FILE to its certificate."
            return _NoAnswer(f"{host} cannot prove its name: {reason.verify_message}.", fix, retry="never")
        case http.client.InvalidURL() | ValueError() | str():
            return _NoAnswer(f"{_shown(url)} cannot be had: {reason}.", "Check the address.", retry="never")
        case _:
            return _NoAnswer(f"{_shown(url)} cannot be reached: {reason}.", check, retry="always")


def _wrong_file(path: Path, *, md5: str | None = None, sha256: str | None = None) -> UserError | None:
    """What to say of a file whose checksum is another than was expected; None where all is well."""
    for name, digest, expected in (("MD5", _md5, md5), ("SHA-256", hashlib.sha256, sha256)):
        if expected is None:
            continue
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, digest).hexdigest()
        except OSError as error:
            return UserError(f"{path} cannot be read: {error.strerror}.", "Check its name.")
        if found != expected.lower():
            fault = f"its {name} is {found} and should be {expected.lower()}"
            problem = f"{path.name.removesuffix('.part')} is not the file that was expected: {fault}."
            return UserError(
                problem, "Download it again; if that does not help, the server has another file."
            )
    return None


def _cached_place(url: str) -> Path:
    return cache_folder() / "downloads" / f"{hashlib.sha256(url.encode()).hexdigest()[:10]}-{_file_name(url)}"


def _parts(url: str) -> urllib.parse.SplitResult:
    with contextlib.suppress(ValueError):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.username is None:
            return parts
    fix = "Give one that begins with https:// or http://, with no password in it."
    raise UserError(f"'{url.rpartition('@')[2]}' is not a web address that plaintune can use.", fix)


def _file_name(url: str) -> str:
    """The last part of the address as a file name that every system takes."""
    last = urllib.parse.unquote(_parts(url).path).rsplit("/", 1)[-1]
    return re.sub(r"[^\w.-]", "_", last)[-100:].strip(".") or "download"


def _shown(url: str) -> str:
    """The address as it may stand in a message: what follows `?` is often a key."""
    return urllib.parse.urlunsplit(_parts(url)._replace(query="", fragment=""))
