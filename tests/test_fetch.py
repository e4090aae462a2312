"""Downloads from a server on this machine that misbehaves in every way a server can."""

from __future__ import annotations

import errno
import hashlib
import io
import socket
import sys
import tarfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from plaintune.core.errors import OutputExists, UserError
from plaintune.core.events import Event
from plaintune.data import fetch
from plaintune.data.fetch import DATASETS, Dataset, cache_folder, cached_download, download, get_dataset

CONTENT = bytes(range(256)) * 4000  # about a megabyte, so that it goes over in several pieces
NO_PAUSES = (0.0,) * 5


@dataclass
class Site:
    """One file on a loopback server, and what went over the line."""

    url: str = ""
    content: bytes = CONTENT
    etag: str | None = '"first"'
    modified: str | None = None
    status: int = 0  # answered instead of the file
    cuts: int = 0  # so many answers end half-way
    claims_more_bytes: int = 0
    takes_ranges: bool = True
    skips_bytes: int = 0  # of the rest that was asked for
    asked: list[dict[str, str]] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)

    @property
    def ranges_asked(self) -> list[str | None]:
        return [headers.get("Range") for headers in self.asked]


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site = self.site
        self.site.asked.append(dict(self.headers))
        if site.status:
            return self.answer(site.status, b"")
        if site.etag and self.headers["If-None-Match"] == site.etag:
            return self.answer(304, b"")
        if site.modified and self.headers["If-Modified-Since"] == site.modified:
            return self.answer(304, b"")
        same = self.headers["If-Range"] in (site.etag, site.modified)
        if not (self.headers["Range"] and site.takes_ranges and same):
            return self.answer(200, site.content)
        start, size = int(self.headers["Range"][6:-1]) + site.skips_bytes, len(site.content)
        if start >= size:
            return self.answer(416, b"that is all", f"bytes */{size}")
        return self.answer(206, site.content[start:], f"bytes {start}-{size - 1}/{size}")

    def answer(self, status: int, body: bytes, content_range: str = "") -> None:
        self.site.answered.append(status)
        self.send_response(status)
        headers = {
            "ETag": self.site.etag,
            "Last-Modified": self.site.modified,
            "Content-Range": content_range,
        }
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body) + self.site.claims_more_bytes))
        self.end_headers()
        cut = status in (200, 206) and self.site.cuts > 0
        self.site.cuts -= cut
        self.wfile.write(body[: len(body) // 2] if cut else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    handler = type("SiteHandler", (Handler,), {"site": site})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a reader may hang up
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        site.url = f"http://127.0.0.1:{server.server_port}/data/reviews.csv"
        yield site
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("PLAINTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PLAINTUNE_IMDB_URL", raising=False)
    monkeypatch.setattr(fetch, "PAUSES_SECONDS", NO_PAUSES)
    monkeypatch.chdir(tmp_path)


def refused_address() -> str:
    """An address where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/reviews.csv"


def test_a_file_is_downloaded_whole_with_its_progress_in_bytes(site: Site, tmp_path: Path) -> None:
    events: list[Event] = []
    target = download(site.url, tmp_path / "new" / "reviews.csv", listener=events.append)
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["reviews.csv"]
    assert (events[0].kind, events[0].message) == ("stage", "Downloading reviews.csv")
    steps = [event.step for event in events if event.kind == "progress"]
    assert steps == sorted(steps)
    assert (len(steps) > 2, steps[0], steps[-1], events[-1].total) == (True, 0, len(CONTENT), len(CONTENT))


@pytest.mark.parametrize("cuts", [1, 3, 5])
def test_a_cut_connection_goes_on_where_it_stopped(site: Site, tmp_path: Path, cuts: int) -> None:
    site.cuts = cuts
    notes: list[Event] = []
    download(site.url, tmp_path / "reviews.csv", listener=notes.append, pauses=NO_PAUSES)
    assert (tmp_path / "reviews.csv").read_bytes() == CONTENT
    assert site.answered == [200] + [206] * cuts
    assert sum("was cut at" in event.message for event in notes) == cuts


def test_after_five_new_tries_it_gives_up_and_the_same_command_goes_on(site: Site, tmp_path: Path) -> None:
    site.cuts = 6
    with pytest.raises(UserError, match="same command") as stopped:
        download(site.url, tmp_path / "reviews.csv", pauses=NO_PAUSES)
    kept = len(CONTENT) - len(CONTENT) // 2**6
    assert f"was cut at {kept:,} of {len(CONTENT):,} bytes" in stopped.value.problem
    assert not (tmp_path / "reviews.csv").exists()
    download(site.url, tmp_path / "reviews.csv", pauses=())
    assert site.ranges_asked[-1] == f"bytes={kept}-"
    assert (tmp_path / "reviews.csv").read_bytes() == CONTENT


def test_the_pauses_between_tries_are_those_it_was_given(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    site.cuts = 2
    download(site.url, tmp_path / "reviews.csv", pauses=(1.5, 7.5, 9.5))
    assert slept == [1.5, 7.5]


def stop_half_way(site: Site, target: Path) -> None:
    site.cuts = 1
    with pytest.raises(UserError, match="was cut"):
        download(site.url, target, pauses=())


def test_a_file_that_changed_meanwhile_starts_anew(site: Site, tmp_path: Path) -> None:
    stop_half_way(site, tmp_path / "reviews.csv")
    site.content, site.etag = b"another file" * 9000, '"second"'
    download(site.url, tmp_path / "reviews.csv", pauses=())
    assert (tmp_path / "reviews.csv").read_bytes() == site.content
    assert site.answered == [200, 200]


@pytest.mark.parametrize("claim", ["another etag", "another size"])
def test_a_server_that_mixes_two_versions_is_noticed(site: Site, tmp_path: Path, claim: str) -> None:
    stop_half_way(site, tmp_path / "reviews.csv")
    site.modified = '"first"'  # it takes the old version for the new one and sends the rest
    site.content = bytes(len(CONTENT) + (claim == "another size"))
    site.etag = '"second"' if claim == "another etag" else '"first"'
    download(site.url, tmp_path / "reviews.csv", pauses=(0.0,))
    assert (tmp_path / "reviews.csv").read_bytes() == site.content
    assert site.answered == [200, 206, 200]


def test_a_server_that_sends_another_part_than_was_asked_for_is_noticed(site: Site, tmp_path: Path) -> None:
    stop_half_way(site, tmp_path / "reviews.csv")
    site.skips_bytes = 5
    download(site.url, tmp_path / "reviews.csv", pauses=(0.0,))
    assert (tmp_path / "reviews.csv").read_bytes() == CONTENT


def test_what_came_from_one_address_is_not_continued_from_another(site: Site, tmp_path: Path) -> None:
    stop_half_way(site, tmp_path / "reviews.csv")
    download(site.url + "?another", tmp_path / "reviews.csv", pauses=())
    assert site.ranges_asked == [None, None]


def test_a_network_that_goes_away_midway_is_waited_for(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.cuts, open_really = 1, fetch._open
    away = iter([False, True, True, False])

    def open_or_not(url: str, headers: Mapping[str, str]) -> object:
        if next(away):
            raise fetch._unreached(url, socket.gaierror())
        return open_really(url, headers)

    monkeypatch.setattr(fetch, "_open", open_or_not)
    download(site.url, tmp_path / "reviews.csv", pauses=NO_PAUSES)
    assert site.answered == [200, 206]


def test_a_server_that_gives_no_version_starts_anew(site: Site, tmp_path: Path) -> None:
    site.etag = None
    stop_half_way(site, tmp_path / "reviews.csv")
    download(site.url, tmp_path / "reviews.csv", pauses=())
    assert site.ranges_asked == [None, None]
    assert (tmp_path / "reviews.csv").read_bytes() == CONTENT


def test_a_weak_etag_gives_way_to_the_date(site: Site, tmp_path: Path) -> None:
    site.etag, site.modified = 'W/"first"', "Mon, 01 Jan 2024 00:00:00 GMT"
    stop_half_way(site, tmp_path / "reviews.csv")
    download(site.url, tmp_path / "reviews.csv", pauses=())
    assert site.asked[-1]["If-Range"] == site.modified
    assert site.answered == [200, 206]


def test_a_server_without_ranges_starts_anew(site: Site, tmp_path: Path) -> None:
    site.takes_ranges, events = False, list[Event]()
    stop_half_way(site, tmp_path / "reviews.csv")
    download(site.url, tmp_path / "reviews.csv", listener=events.append, pauses=())
    assert (tmp_path / "reviews.csv").read_bytes() == CONTENT
    assert (events[1].step, events[-1].step) == (0, len(CONTENT))


def test_a_run_killed_before_the_last_rename_asks_for_nothing_twice(site: Site, tmp_path: Path) -> None:
    stop_half_way(site, tmp_path / "reviews.csv")
    (tmp_path / "reviews.csv.part").write_bytes(CONTENT)
    download(site.url, tmp_path / "reviews.csv", pauses=())
    assert site.answered == [200, 416]
    assert (tmp_path / "reviews.csv").read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_thrown_away(site: Site, tmp_path: Path) -> None:
    stop_half_way(site, tmp_path / "reviews.csv")
    (tmp_path / "reviews.csv.part").write_bytes(CONTENT + b"twice")
    download(site.url, tmp_path / "reviews.csv", pauses=(0.0,))
    assert (tmp_path / "reviews.csv").read_bytes() == CONTENT


def test_an_answer_shorter_than_it_says_is_never_taken_for_whole(site: Site, tmp_path: Path) -> None:
    site.claims_more_bytes = 7
    with pytest.raises(UserError, match="was cut at"):
        download(site.url, tmp_path / "reviews.csv", pauses=())
    assert not (tmp_path / "reviews.csv").exists()


@pytest.mark.parametrize(
    ("status", "problem", "tries"),
    [
        (404, "There is no http", 1),
        (403, "permission", 1),
        (418, "no way", 1),
        (503, "now", 6),
        (429, "now", 6),
    ],
)
def test_a_refusal_is_explained_and_repeated_only_where_it_may_pass(
    site: Site, tmp_path: Path, status: int, problem: str, tries: int
) -> None:
    site.status = status
    with pytest.raises(UserError, match=problem) as refused:
        download(site.url + "?key=secret", tmp_path / "reviews.csv", pauses=NO_PAUSES)
    assert str(status) in refused.value.problem
    assert "secret" not in str(refused.value)
    assert len(site.asked) == tries


def test_no_network_no_server_and_no_answer_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def problem_of(url: str) -> str:
        with pytest.raises(UserError) as failed:
            download(url, tmp_path / "reviews.csv", pauses=())
        return failed.value.problem

    assert "refuses the connection" in problem_of(refused_address())
    monkeypatch.setattr(fetch, "TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent_server:
        assert "took too long" in problem_of(f"http://127.0.0.1:{silent_server.getsockname()[1]}/a.csv")

    def no_such_name(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    assert "example.org is not found" in problem_of("http://example.org/reviews.csv")


@pytest.mark.parametrize(
    "url",
    ["ftp://host/a.csv", "file:///etc/passwd", "reviews.csv", "http://", "http://[", "http://me:pw@host/a"],
)
def test_what_is_not_a_plain_web_address_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match="not a web address") as refused:
        download(url, tmp_path / "a.csv")
    assert "pw@" not in str(refused.value)


def test_an_address_with_spaces_and_accents_is_asked_for_as_servers_expect(
    site: Site, tmp_path: Path
) -> None:
    download(site.url + "?name=my revués", tmp_path / "a.csv", pauses=())
    assert site.answered == [200]


def test_a_wrong_checksum_is_refused_and_the_next_try_starts_anew(site: Site, tmp_path: Path) -> None:
    right = hashlib.sha256(CONTENT).hexdigest()
    site.content = b"another file"
    with pytest.raises(UserError, match=r"reviews\.csv is not the file that was expected: its SHA-256"):
        download(site.url, tmp_path / "reviews.csv", sha256=right)
    assert list(tmp_path.glob("reviews.csv*")) == []
    site.content = CONTENT
    download(site.url, tmp_path / "reviews.csv", sha256=right.upper())
    assert site.ranges_asked == [None, None]


def test_a_file_with_its_checksum_is_not_downloaded_again(site: Site, tmp_path: Path) -> None:
    md5 = hashlib.md5(CONTENT).hexdigest()
    (tmp_path / "reviews.csv").write_bytes(CONTENT)
    download(site.url, tmp_path / "reviews.csv", md5=md5)
    assert site.asked == []
    (tmp_path / "reviews.csv").write_bytes(b"spoiled")
    download(site.url, tmp_path / "reviews.csv", md5=md5)
    assert (tmp_path / "reviews.csv").read_bytes() == CONTENT


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full disk")
def test_a_full_disk_is_said_so(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch._Part, "begin", lambda part, _: part.path.symlink_to("/dev/full"))
    with pytest.raises(UserError, match="The disk is full"):
        download(site.url, tmp_path / "reviews.csv", pauses=NO_PAUSES)
    assert len(site.asked) == 1


def test_a_place_that_may_not_be_written_is_said_so(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)  # root may write everywhere, so a mode would not do
    with pytest.raises(UserError, match="no permission to write"):
        download(site.url, tmp_path / "reviews.csv")


def test_nothing_is_sent_but_the_request(site: Site, tmp_path: Path) -> None:
    download(site.url, tmp_path / "reviews.csv")
    (headers,) = site.asked
    assert set(headers) == {"Accept-Encoding", "Host", "User-Agent", "Connection"}
    assert headers["User-Agent"] == "plaintune"


def test_an_encrypted_connection_is_never_left_for_an_open_one() -> None:
    request = urllib.request.Request("https://example.org/a.csv")
    redirects: Any = fetch._SafeRedirects()
    with pytest.raises(URLError, match="not encrypted"):
        redirects.redirect_request(request, None, 302, "", {}, "http://example.org/a.csv")


def test_the_cache_keeps_the_name_and_asks_only_whether_the_file_has_changed(site: Site) -> None:
    first = cached_download(site.url)
    assert (first.parent, first.suffix) == (cache_folder() / "downloads", ".csv")
    assert first.name.endswith("-reviews.csv")
    assert cached_download(site.url) == first
    assert site.answered == [200, 304]
    site.content, site.etag = b"a new file", '"second"'
    assert cached_download(site.url).read_bytes() == b"a new file"
    assert cached_download(site.url) == first
    assert site.answered[-1] == 304


def test_a_server_that_only_gives_a_date_is_asked_by_its_date(site: Site) -> None:
    site.etag, site.modified = None, "Mon, 01 Jan 2024 00:00:00 GMT"
    assert cached_download(site.url) == cached_download(site.url)
    assert site.answered == [200, 304]


def test_two_addresses_with_one_file_name_are_two_files_in_the_cache(site: Site) -> None:
    assert cached_download(site.url + "?part=1") != cached_download(site.url + "?part=2")


@pytest.mark.parametrize("trouble", [503, 404])
def test_without_the_server_the_cache_gives_the_last_copy_and_says_so(site: Site, trouble: int) -> None:
    first, notes = cached_download(site.url), list[Event]()
    site.status = trouble
    assert cached_download(site.url, listener=notes.append) == first
    assert [note.kind for note in notes] == ["note"]
    assert "Using the copy of the last time" in notes[0].message
    with pytest.raises(UserError):
        cached_download(site.url + "?never=seen")


def test_the_cache_stands_where_the_system_keeps_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == Path("home").absolute()
    monkeypatch.delenv("PLAINTUNE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    for platform, variables, expected in (
        ("linux", {}, "/home/ada/.cache/plaintune"),
        ("linux", {"XDG_CACHE_HOME": "/cache"}, "/cache/plaintune"),
        ("darwin", {}, "/home/ada/Library/Caches/plaintune"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/plaintune"),
    ):
        with monkeypatch.context() as system:
            system.delenv("XDG_CACHE_HOME", raising=False)
            system.setattr(sys, "platform", platform)
            for name, value in variables.items():
                system.setenv(name, value)
            assert cache_folder() == Path(expected)


def little_imdb(site: Site) -> Dataset:
    """A data set like imdb, of four files, that ``site`` serves."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name in ("train/pos/0.txt", "train/neg/0.txt", "test/pos/0.txt", "test/neg/0.txt"):
            info = tarfile.TarInfo("aclImdb/" + name)
            info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()))
    site.content = archive.getvalue()
    return Dataset(
        name="imdb",
        title="Film reviews",
        terms="cite Maas et al. 2011",
        url=site.url,
        md5=hashlib.md5(site.content).hexdigest(),
        folder="aclImdb",
        parts=(("train/pos", 1), ("train/neg", 1), ("test/pos", 1), ("test/neg", 1)),
    )


def test_a_data_set_is_downloaded_checked_and_unpacked_with_its_terms(site: Site) -> None:
    notes: list[Event] = []
    imdb = little_imdb(site)
    assert get_dataset(imdb, listener=notes.append) == Path("aclImdb")
    assert Path("aclImdb/train/pos/0.txt").read_text() == "train/pos/0.txt"
    assert any("cite Maas et al. 2011" in event.message for event in notes)
    assert get_dataset(imdb, listener=notes.append) == Path("aclImdb")
    assert notes[-1].message == "aclImdb is there already, and complete."
    assert len(site.asked) == 1


def test_a_data_set_cut_in_the_middle_goes_on_with_the_same_command(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    imdb = little_imdb(site)
    with monkeypatch.context() as impatient:
        impatient.setattr(fetch, "download", lambda *args, **rest: download(*args, **rest, pauses=()))
        site.cuts = 1
        with pytest.raises(UserError, match="was cut"):
            get_dataset(imdb)
    assert not Path("aclImdb").exists()
    get_dataset(imdb)
    assert site.answered == [200, 206]
    assert Path("aclImdb/test/neg/0.txt").exists()


def test_a_data_set_can_come_from_a_file_which_is_checked_the_same(site: Site, tmp_path: Path) -> None:
    imdb, local = little_imdb(site), tmp_path / "download.tar.gz"
    local.write_bytes(site.content)
    assert get_dataset(imdb, out=tmp_path / "here", from_file=local) == tmp_path / "here"
    assert (tmp_path / "here" / "train").is_dir()
    local.write_bytes(b"another file")
    with pytest.raises(UserError, match="MD5"):
        get_dataset(imdb, out=tmp_path / "there", from_file=local)
    with pytest.raises(UserError, match="cannot be read"):
        get_dataset(imdb, out=tmp_path / "there", from_file=tmp_path / "none.tar.gz")
    assert (local.exists(), (tmp_path / "there").exists(), site.asked) == (True, False, [])


def test_another_server_can_be_named(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLAINTUNE_IMDB_URL", site.url)
    site.content = b"not the real archive"
    with pytest.raises(UserError, match=DATASETS["imdb"].md5):
        get_dataset("imdb")
    with pytest.raises(UserError, match=DATASETS["imdb"].md5):
        get_dataset("imdb", url=site.url + "?mirror=1")
    assert len(site.asked) == 2


def test_a_folder_with_only_part_of_the_data_set_is_not_taken_for_it(site: Site) -> None:
    Path("aclImdb/train/pos").mkdir(parents=True)
    with pytest.raises(OutputExists, match="not the whole data set"):
        get_dataset(little_imdb(site))


def test_an_unknown_data_set_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="Did you mean 'imdb'"):
        get_dataset("imbd")
