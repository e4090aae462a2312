"""`plaintune export`: it answers elsewhere as it did here, holds no text of the user, or says so."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import stat
import subprocess
import sys
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import BAD, GOOD, PLACES, Cli
from plaintune.core.errors import BrokenModel, UserError
from plaintune.model.export import export_file, export_service
from plaintune.model.predict import Model
from service import Service, serving

Trained = tuple[Path, dict[str, Any]]
MOST_OF_A_RUNTIME = 250_000_000  # bytes that an installation adds to an environment


@pytest.fixture(scope="module")
def model(trained: Trained) -> Model:
    return Model.load(trained[0])


@pytest.fixture(scope="module")
def single(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_file(model, tmp_path_factory.mktemp("single") / "reviews.plaintune")


def test_no_text_of_the_user_leaves_with_an_export(trained: Trained, cli: Cli, tmp_path: Path) -> None:
    done = cli("export", trained[0], "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    files = {path.relative_to(tmp_path / "out").as_posix(): path for path in tmp_path.rglob("*.*")}
    assert {"Dockerfile", "compose.yaml", "plaintune.service", "client.py", "requirements.txt"} < {
        path.name for path in (tmp_path / "out").iterdir()
    }
    written = b"\n".join(path.read_bytes() for path in files.values() if path.suffix != ".whl")
    for text in [f"{text} {place}" for text in [*GOOD, *BAD] for place in PLACES]:
        assert text.encode() not in written
    assert not {"report.html", "report.json", "data-check.json"} & {path.name for path in files.values()}


def test_every_template_is_filled_and_python_can_read_the_client(model: Model, tmp_path: Path) -> None:
    out = export_service(model, tmp_path / "out")
    for name in ("Dockerfile", "compose.yaml", "plaintune.service", "README.md"):
        assert "@" not in (out / name).read_text(), name
    compile((out / "client.py").read_text(), "client.py", "exec")
    assert "USER plaintune" in (out / "Dockerfile").read_text()
    assert "HEALTHCHECK" in (out / "Dockerfile").read_text()
    pinned = (out / "requirements.txt").read_text().splitlines()
    assert (out / pinned[0]).is_file()
    assert all("==" in line for line in pinned[1:])
    assert not {line.partition("==")[0] for line in pinned} & {"torch", "transformers", "scikit-learn"}


def test_the_dockerfile_copies_what_is_there_and_starts_it(model: Model, tmp_path: Path) -> None:
    out = export_service(model, tmp_path / "out")
    lines = [line for line in (out / "Dockerfile").read_text().splitlines() if line[0] != "#"]
    known = {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "CMD"}
    assert {line.split()[0] for line in lines} <= known
    copied = dict(line.split()[1:] for line in lines if line.startswith("COPY"))
    assert all((out / source).exists() for source in copied)
    lists = [line[line.index("CMD [") + 4 :] for line in lines if "CMD [" in line]
    (_, _, is_ready), (program, command, name, *_) = map(json.loads, lists)
    compile(is_ready, "HEALTHCHECK", "exec")
    assert (program, command, copied["model"]) == ("plaintune", "serve", f"./{name}")


def test_what_ends_at_its_self_test_is_not_started_for_ever(model: Model, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml", reason="pip install pyyaml")
    out = export_service(model, tmp_path / "out")
    (service,) = yaml.safe_load((out / "compose.yaml").read_text())["services"].values()
    assert service["restart"] == "unless-stopped"  # after a reboot, too
    assert service["ports"] == ["127.0.0.1:8000:8000"]
    assert service["environment"] == {"PLAINTUNE_TOKEN": None}  # as the shell has it
    unit = configparser.ConfigParser(interpolation=None)
    unit.read(out / "plaintune.service")
    assert unit["Service"]["RestartPreventExitStatus"] == "2"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_finds_no_fault_in_the_unit(model: Model, tmp_path: Path) -> None:
    out = export_service(model, tmp_path / "out")
    unit, program = out / "plaintune.service", out / "venv" / "bin" / "plaintune"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    whole = unit.read_text().replace("/opt/plaintune", str(out))

    def faults(content: str) -> list[str]:
        unit.write_text(content)
        command = ["systemd-analyze", "verify", "--man=no", str(unit)]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stderr
        return [line for line in told.splitlines() if unit.name in line]  # not of this machine's own units

    assert faults(whole) == []
    assert len(faults(whole.replace("Timeout", "Time") + "NoSuchKey=1\n")) == 2


def test_what_is_there_is_left_alone_unless_it_is_an_export_and_yes(
    trained: Trained, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    refused = cli("export", trained[0], "mine", "--yes", cwd=tmp_path)
    assert refused.returncode == 2
    assert "left alone" in refused.stderr
    assert cli("export", trained[0], "out", cwd=tmp_path).returncode == 0
    assert cli("export", trained[0], "out", cwd=tmp_path).returncode == 2
    assert cli("export", trained[0], "out", "--yes", cwd=tmp_path).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]


def test_exporting_again_leaves_what_was_put_there(model: Model, tmp_path: Path) -> None:
    out = export_service(model, tmp_path / "out")
    (out / "venv").mkdir()
    (out / "venv" / "mine").write_text("mine")
    (out / ".env").write_text("PLAINTUNE_TOKEN=abc")
    written = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (out / "Dockerfile").write_text("FROM elsewhere")
    (out / "model" / "manifest.json").unlink()
    (out / "wheels" / "plaintune-0.0.0-py3-none-any.whl").write_text("an earlier one")
    export_service(model, out, replace_existing=True)
    assert written == {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_export_tells_files_by_name_and_not_where_they_lay(trained: Trained, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained[0], tmp_path / "model"))
    manifest = json.loads((folder / "manifest.json").read_text())
    home = tmp_path / "ottilie"
    manifest["data"]["source"] = manifest["settings"]["unlabeled"] = str(home / "mail.csv")
    manifest["settings"] |= {"corrections": [str(home / "mended.csv")], "plan": str(home / "earlier")}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    out = export_service(Model.load(folder), tmp_path / "out")
    held = (out / "model" / "manifest.json").read_text()
    told = json.loads(held)["settings"]
    assert (told["unlabeled"], told["corrections"], told["plan"]) == ("mail.csv", ["mended.csv"], "earlier")
    assert (told["backbone"], told["seed"]) == (Path(manifest["settings"]["backbone"]).name, 0)
    assert "ottilie" not in held
    assert str(Path(manifest["settings"]["backbone"]).parent) not in held


def test_no_export_lets_anybody_find_out_whether_it_learned_from_a_text(
    model: Model, single: Path, tmp_path: Path
) -> None:
    assert len(model.manifest.training_text_hashes)
    for place in (export_service(model, tmp_path / "out") / "model", single):
        given = Model.load(place).manifest
        assert given == replace(model.manifest, training_hashes="", data=given.data, settings=given.settings)


def test_the_folder_one_is_in_is_left_where_it_is(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for here in (Path(), Path("..")):
        with pytest.raises(UserError, match="the folder you are in"):
            export_service(model, here)


def test_one_file_answers_as_the_folder_does_in_every_command(
    trained: Trained, single: Path, cli: Cli, tmp_path: Path
) -> None:
    for command in (["predict", "{}", GOOD[0], "--json"], ["explain", "{}", GOOD[0], "--json"]):
        told = [
            cli(*(str(place) if part == "{}" else part for part in command), cwd=tmp_path)
            for place in (trained[0], single)
        ]
        assert told[0].stdout == told[1].stdout != ""
    held = trained[0].parent / "reviews.csv"
    scored = cli("evaluate", single, held, "--json", cwd=tmp_path)
    assert json.loads(scored.stdout)["rows"] == 120
    assert json.loads(scored.stdout)["overlap_rows"] is None  # it was not told what it learned from
    assert "texts that it has met count, too" in scored.stderr
    with serving(single, cwd=tmp_path) as service:
        assert service.ask("/predict", {"text": GOOD[0]}).json["model"] == "reviews"


def test_the_same_model_makes_the_same_file(model: Model, single: Path, tmp_path: Path) -> None:
    again = export_file(model, tmp_path / "again.plaintune")
    assert again.read_bytes() == single.read_bytes()
    with pytest.raises(UserError, match=r"\.plaintune"):
        export_file(model, tmp_path / "again.zip")


@pytest.mark.parametrize("name", ["../manifest.json", "/etc/cron.d/x", "a/b", "..\\x", "manifest.json"])
def test_a_file_with_names_that_are_not_plain_is_refused(single: Path, tmp_path: Path, name: str) -> None:
    hostile = Path(shutil.copy(single, tmp_path / "hostile.plaintune"))
    with zipfile.ZipFile(hostile, "a") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile minds a name that comes twice
        file.writestr(zipfile.ZipInfo(name), b"{}")
    with pytest.raises(BrokenModel):
        Model.load(hostile)


def test_a_file_that_lists_very_many_members_is_not_even_listed(tmp_path: Path) -> None:
    hostile = tmp_path / "many.plaintune"
    with zipfile.ZipFile(hostile, "w") as file:
        for number in range(3000):
            file.writestr(str(number), b"")
    with pytest.raises(BrokenModel, match="too many files"):
        Model.load(hostile)


def test_a_compressed_member_is_refused_so_that_no_file_can_grow(single: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "bomb.plaintune"
    with zipfile.ZipFile(single) as old, zipfile.ZipFile(hostile, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, b"\0" * 10**7 if name == "model.onnx" else old.read(name))
    with pytest.raises(BrokenModel, match="compressed"):
        Model.load(hostile)


def test_a_file_cut_short_or_changed_is_refused(single: Path, tmp_path: Path) -> None:
    content = single.read_bytes()
    for number, damaged in enumerate((content[: len(content) // 2], b"", content[:5000] + content[5001:])):
        place = tmp_path / f"{number}.plaintune"
        place.write_bytes(damaged)
        with pytest.raises(BrokenModel):
            Model.load(place)


def test_a_deployment_that_answers_otherwise_ends_at_its_start(
    trained: Trained, cli: Cli, model: Model, tmp_path: Path
) -> None:
    out = export_service(model, tmp_path / "out")
    file = out / "model" / "self-test.json"
    told = json.loads(file.read_text())
    first, second = told["outputs"][0]
    told["outputs"][0] = [first / 2, second + first / 2] if first >= 0.5 else [first + 0.25, second - 0.25]
    file.write_text(json.dumps(told))
    ended = cli("serve", "model", "--port", "0", cwd=out)
    assert ended.returncode == 2
    assert "answers otherwise" in ended.stderr


def bytes_in(folder: Path) -> tuple[int, int]:
    """What the files hold, and what they and their folders take on this disk."""
    told = [path.lstat() for path in (folder, *folder.rglob("*"))]
    held = sum(each.st_size for each in told if stat.S_ISREG(each.st_mode))
    return held, sum(512 * each.st_blocks for each in told)


@pytest.mark.slow
def test_a_fresh_machine_serves_an_export_from_its_own_requirements(model: Model, tmp_path: Path) -> None:
    out = export_service(model, tmp_path / "out")
    subprocess.run([sys.executable, "-m", "venv", "venv"], cwd=out, check=True)
    before = bytes_in(out / "venv")
    install = ["venv/bin/pip", "install", "-q", "-r", "requirements.txt"]
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(install, cwd=out, env=alone, check=True)
    process = subprocess.Popen(
        ["venv/bin/plaintune", "serve", "model", "--port", "0"],
        cwd=out, env=alone, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        service = Service(process)
        asked = {**alone, "PLAINTUNE_ADDRESS": service.address}
        client = [sys.executable, "client.py", GOOD[0]]
        told = subprocess.check_output(client, cwd=out, env=asked, text=True)
        assert told.startswith(str(model.predict(GOOD[0])[0].answer))
        assert service.stop() == 0
    finally:
        process.kill()
        process.wait()
    listed = subprocess.check_output(["venv/bin/pip", "list"], cwd=out, text=True).lower()
    assert "onnxruntime" in listed
    assert "torch" not in listed
    added = [after - at_first for after, at_first in zip(bytes_in(out / "venv"), before, strict=True)]
    print(f"{added[0] / 1e6:.1f} MB in files, {added[1] / 1e6:.1f} MB on the disk")
    assert max(added) < MOST_OF_A_RUNTIME
