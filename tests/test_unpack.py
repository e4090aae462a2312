"""Archives from anyone: what is unpacked, and what is refused."""

from __future__ import annotations

import gzip
import io
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from plaintune.core.errors import OutputExists, UserError
from plaintune.core.events import Event
from plaintune.data import unpack
from plaintune.data.unpack import extract, is_archive, unpacked

REVIEWS = {"pos/1.txt": b"a lovely film", "neg/1.txt": b"a dull film"}


def make_zip(path: Path, files: Mapping[str, bytes] = REVIEWS) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, files: Mapping[str, bytes] = REVIEWS, *, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            add(archive, name, content)
    return path


def add(archive: tarfile.TarFile, name: str, content: bytes = b"", **fields: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    archive.addfile(info, io.BytesIO(content))


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() or path.is_symlink()
    }


def problem_of(archive: Path, target: Path) -> str:
    """What extract says of an archive it refuses, which leaves nothing behind."""
    with pytest.raises(UserError) as refused:
        extract(archive, target)
    assert list(target.parent.glob(f"*{target.name}*")) == []
    assert refused.value.fix
    return refused.value.problem


def temporary_folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("plaintune-*"))


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_every_kind_of_tar_is_known_by_its_contents_and_unpacked(tmp_path: Path, mode: str) -> None:
    archive = make_tar(tmp_path / "download", mode=mode)  # no extension to go by
    assert is_archive(archive)
    with unpacked(archive) as folder:
        assert files_below(folder) == REVIEWS


def test_a_zip_is_known_by_its_contents_and_unpacked(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "download")
    assert is_archive(archive)
    with unpacked(archive) as folder:
        assert files_below(folder) == REVIEWS


@pytest.mark.parametrize(
    "name_within", ["[Content_Types].xml", "mimetype"], ids=["Excel or Word", "OpenDocument"]
)
def test_a_spreadsheet_is_not_an_archive(tmp_path: Path, name_within: str) -> None:
    assert not is_archive(make_zip(tmp_path / "reviews.zip", {name_within: b"", "content.xml": b""}))


def test_texts_and_compressed_texts_are_not_archives(tmp_path: Path) -> None:
    (tmp_path / "short.csv").write_text("text,label\n")
    (tmp_path / "long.csv").write_text("a film,pos\n" * 200)
    (tmp_path / "reviews.csv.gz").write_bytes(gzip.compress(b"a film,pos\n" * 200))
    (tmp_path / "empty").touch()
    names = ["short.csv", "long.csv", "reviews.csv.gz", "empty", ".", "not there"]
    assert [name for name in names if is_archive(tmp_path / name)] == []


def test_an_archive_spoiled_from_its_first_bytes_is_still_known_by_its_name(tmp_path: Path) -> None:
    start = gzip.compress(b"some text")[:12]
    for name in ("reviews.tar.gz", "reviews.TGZ", "reviews.csv.gz"):
        (tmp_path / name).write_bytes(start)
    assert is_archive(tmp_path / "reviews.tar.gz")
    assert is_archive(tmp_path / "reviews.TGZ")
    assert not is_archive(tmp_path / "reviews.csv.gz")


def test_what_macos_adds_is_left_out(tmp_path: Path) -> None:
    junk = {"__MACOSX/pos/._1.txt": b"x", "pos/._1.txt": b"x", ".DS_Store": b"x"}
    with unpacked(make_zip(tmp_path / "a.zip", REVIEWS | junk)) as folder:
        assert files_below(folder) == REVIEWS


@pytest.mark.parametrize("end", [None, KeyboardInterrupt, RuntimeError])
def test_the_temporary_folder_is_gone_afterwards(tmp_path: Path, end: type[BaseException] | None) -> None:
    def use() -> None:
        with unpacked(make_tar(tmp_path / "a.tgz")) as folder:
            assert temporary_folders() == {folder.parent}
            if end:
                raise end

    if end:
        with pytest.raises(end):
            use()
    else:
        use()
    assert temporary_folders() == set()


OUTSIDE = ["../evil.txt", "pos/../../evil.txt", "/evil.txt", "..\\evil.txt", "C:\\evil.txt", "\\evil.txt"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    for archive in (
        make_zip(tmp_path / "a.zip", {name: b"x"}),
        make_tar(tmp_path / "a.tar.gz", {name: b"x"}),
    ):
        assert "outside" in problem_of(archive, tmp_path / "in" / "reviews")
    assert list(tmp_path.rglob("*evil*")) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("aim", ["../../etc/passwd", "/etc/passwd"])
def test_a_link_that_points_outside_is_refused(tmp_path: Path, kind: bytes, aim: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "pos/1.txt", type=kind, linkname=aim)
    assert "outside" in problem_of(tmp_path / "a.tar", tmp_path / "reviews")


def test_a_link_in_a_zip_that_points_outside_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("pos/1.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "../../etc/passwd")
    assert "outside" in problem_of(tmp_path / "a.zip", tmp_path / "reviews")


def test_a_file_is_never_written_through_a_link_of_the_archive(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "here/up", type=tarfile.SYMTYPE, linkname="..")
        add(archive, "here/up/1.txt", b"a film")
    extract(tmp_path / "a.tar", tmp_path / "reviews")
    assert files_below(tmp_path / "reviews") == {"here/up/1.txt": b"a film"}


def test_a_link_within_the_archive_becomes_the_file_it_points_to(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "soft.txt", type=tarfile.SYMTYPE, linkname="pos/1.txt")
        add(archive, "pos/1.txt", b"a film")
        add(archive, "neg/hard.txt", type=tarfile.LNKTYPE, linkname="pos/1.txt")
    extract(tmp_path / "a.tar", tmp_path / "reviews")
    same = dict.fromkeys(["soft.txt", "pos/1.txt", "neg/hard.txt"], b"a film")
    assert files_below(tmp_path / "reviews") == same
    assert not (tmp_path / "reviews" / "soft.txt").is_symlink()


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_a_device_is_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "device", type=kind)
    assert "neither a file nor a folder" in problem_of(tmp_path / "a.tar", tmp_path / "reviews")


def test_a_bomb_is_refused_before_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("1.txt", "w") as file:
        for _ in range(101):
            file.write(bytes(1 << 20))
    monkeypatch.setattr(shutil, "copyfileobj", lambda *_: pytest.fail("it was written"))
    assert "200 times" in problem_of(bomb, tmp_path / "reviews")


def test_a_bomb_in_many_small_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "RATIO_COUNTS_FROM_BYTES", 1 << 20)
    bomb = make_tar(tmp_path / "bomb.tar.gz", {f"{i}.txt": bytes(1 << 17) for i in range(9)})
    assert "200 times" in problem_of(bomb, tmp_path / "reviews")


def test_a_header_of_a_hundred_megabytes_is_not_read_into_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 100 << 20
    (tmp_path / "a.tar").write_bytes(header.tobuf())
    assert "a header of" in problem_of(tmp_path / "a.tar", tmp_path / "reviews")


def test_a_header_that_points_back_does_not_go_round_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "MOST_MEMBERS", 100)
    first, second = tarfile.TarInfo("1.txt"), tarfile.TarInfo("2.txt")
    second.size = -512  # so the next header would be this one again
    headers = first.tobuf(tarfile.GNU_FORMAT) + second.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "a.tar").write_bytes(headers + bytes(1024))
    assert "damaged" in problem_of(tmp_path / "a.tar", tmp_path / "reviews")


def test_more_than_the_disk_or_the_limit_takes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make_zip(tmp_path / "a.zip")
    with monkeypatch.context() as small:
        small.setattr(unpack, "MOST_BYTES", 20)
        assert "more than" in problem_of(archive, tmp_path / "reviews")
    with monkeypatch.context() as small:
        small.setattr(unpack, "MOST_MEMBERS", 1)
        assert "more than 1 files" in problem_of(archive, tmp_path / "reviews")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 20}))
    assert "does not fit on the disk" in problem_of(archive, tmp_path / "reviews")


def test_a_locked_zip_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"1.txt": b"a film"})
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag "encrypted" of the table of contents
    archive.write_bytes(content)
    assert "password" in problem_of(archive, tmp_path / "reviews")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"])
def test_an_archive_that_was_cut_short_is_refused_wherever_the_cut_is(tmp_path: Path, kind: str) -> None:
    archive = tmp_path / f"a.{kind}"
    make_zip(archive) if kind == "zip" else make_tar(archive, mode="w" + kind[3:].replace(".", ":"))
    whole = archive.read_bytes()
    contents_end = 2 * 1024 if kind == "tar" else len(whole)  # what follows in a tar is only padding
    for cut in range(1, contents_end, 37):
        archive.write_bytes(whole[:cut])
        assert "damaged or was cut short" in problem_of(archive, tmp_path / "reviews"), cut


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_spoiled_byte_is_found_even_behind_the_last_file(tmp_path: Path, kind: str) -> None:
    archive = make_tar(tmp_path / f"a.tar.{kind}", mode=f"w:{kind}")
    content = bytearray(archive.read_bytes())
    content[-6] ^= 0xFF  # of the checksum
    archive.write_bytes(content)
    assert "damaged" in problem_of(archive, tmp_path / "reviews")


def test_a_spoiled_header_in_the_middle_is_no_silent_end(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar", mode="w")
    content = bytearray(archive.read_bytes())
    content[1024] ^= 0xFF  # the second file's header begins here
    archive.write_bytes(content)
    assert "damaged" in problem_of(archive, tmp_path / "reviews")


def test_one_name_for_a_file_and_a_folder_is_a_damaged_archive(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tgz", {"pos": b"x", "pos/1.txt": b"x"})
    assert "damaged" in problem_of(archive, tmp_path / "reviews")


@pytest.mark.parametrize("files", [{}, {".DS_Store": b"x"}])
def test_an_archive_of_no_files_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    for archive in (make_zip(tmp_path / "a.zip", files), make_tar(tmp_path / "a.tgz", files)):
        assert is_archive(archive)
        assert "holds no files" in problem_of(archive, tmp_path / "reviews")


def test_one_folder_of_the_archive_can_become_the_target(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"top/pos/1.txt": b"a film", "README": b"x"})
    extract(archive, tmp_path / "new" / "reviews", folder="top")
    assert files_below(tmp_path / "new") == {"reviews/pos/1.txt": b"a film"}
    with pytest.raises(UserError, match="no folder 'other'"):
        extract(archive, tmp_path / "again", folder="other")


def test_what_is_there_already_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "reviews").mkdir()
    with pytest.raises(OutputExists):
        extract(make_zip(tmp_path / "a.zip"), tmp_path / "reviews")


def test_what_a_killed_run_left_behind_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / ".reviews.unpacking" / "neg"
    left.mkdir(parents=True)
    (left / "half.txt").write_text("ha")
    extract(make_zip(tmp_path / "a.zip"), tmp_path / "reviews")
    assert files_below(tmp_path / "reviews") == REVIEWS
    assert not left.parent.exists()


def test_progress_ends_with_the_size_of_the_archive(tmp_path: Path) -> None:
    archive, steps = make_tar(tmp_path / "a.tgz"), list[Event]()
    extract(archive, tmp_path / "reviews", listener=steps.append)
    assert (steps[-1].step, steps[-1].total) == (archive.stat().st_size, archive.stat().st_size)


def test_an_archive_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    assert "cannot be read" in problem_of(tmp_path / "none.zip", tmp_path / "reviews")
