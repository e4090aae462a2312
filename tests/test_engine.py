"""SkyPilot's own environment: how it is made, and what it is shown of the user's."""

from __future__ import annotations

import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from plaintune.compute import engine
from plaintune.compute.asking import answer
from plaintune.compute.engine import Engine, complete, copy_back
from plaintune.core.errors import UserError
from plaintune.core.events import silent


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLAINTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(engine, "_require_programs", lambda: None)
    return tmp_path / "home"


def program(folder: Path, name: str, lines: str) -> None:
    """A program of this name, found before the true one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{lines}\n")
    (folder / name).chmod(0o755)


# copies by the command after -e, which it parts as rsync does, quotes and all
LIKE_RSYNC = """
while [ "$1" != -e ]; do shift; done
eval "$2 ${3%%:*} cp -r '${3#*:}.' '$4'"
"""


def test_an_environment_that_was_made_by_hand_is_taken() -> None:
    folder = engine._engine().folder
    program(folder / "bin", "pip", "exit 0")
    program(folder / "bin", "python", f'echo "$@" >{folder}/asked')
    assert engine.made_engine() is None
    assert engine.engine(silent) == engine.made_engine()
    assert f"install --quiet skypilot[aws,gcp]=={engine.VERSION}" in (folder / "asked").read_text()


def test_a_folder_that_skypilot_cannot_log_in_from_is_refused_before_anything_costs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLAINTUNE_HOME", "/tmp/plain tune")
    with pytest.raises(UserError, match="folder with a space in its name: /tmp/plain tune") as refused:
        engine.engine(silent)
    assert "PLAINTUNE_HOME" in refused.value.fix


def test_a_python_that_makes_no_environments_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*given: object, **named: object) -> None:
        raise subprocess.CalledProcessError(1, ["ensurepip"])

    monkeypatch.setattr(venv, "create", fails)
    with pytest.raises(UserError, match="cannot make an environment") as refused:
        engine.engine(silent)
    assert "sudo apt install python3-venv" in refused.value.fix


def test_folders_with_a_space_in_their_names_are_copied(tmp_path: Path) -> None:
    rented = Engine(tmp_path / "an engine", tmp_path / "a home")
    program(rented.folder / "bin", "ssh", 'while [ "$1" != c ]; do shift; done; shift; exec "$@"')
    if shutil.which("rsync") is None:
        program(rented.folder / "bin", "rsync", LIKE_RSYNC)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("kept")
    assert copy_back(rented, "c", str(tmp_path / "there"), tmp_path / "and here", seconds=30)
    assert (tmp_path / "and here" / "file").read_text() == "kept"


def test_skypilot_is_shown_the_keys_of_one_cloud_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = ("GOOGLE_APPLICATION_CREDENTIALS", "KUBECONFIG", "HF_TOKEN", "SKYPILOT_API_SERVER_ENDPOINT",
              "RUNPOD_API_KEY", "CLOUDSDK_CONFIG", "SSH_AUTH_SOCK", "PYTHONPATH")  # fmt: skip
    shown = ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "https_proxy", "SSL_CERT_FILE")
    for name in (*hidden, *shown):
        monkeypatch.setenv(name, "set")
    seen = Engine(tmp_path / "engine", tmp_path / "home").environment()
    assert not set(hidden) & set(seen)
    assert set(shown) <= set(seen)
    assert seen["HOME"] == str(tmp_path / "home")
    google = Engine(tmp_path / "engine", tmp_path / "home").on("gcp").environment()
    assert {"GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "https_proxy"} <= set(google)
    assert not [name for name in google if name.startswith("AWS_")]


def test_skypilot_looks_into_another_cloud_once_and_finds_googles_files_only_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    made = Engine(tmp_path / "engine", tmp_path / "home")
    made.home.mkdir()
    program(made.folder / "bin", "sky", f'echo "$@" >>{tmp_path}/asked')
    linked, log = made.home / ".config" / "gcloud", tmp_path / "log"
    linked.mkdir(parents=True)  # as SkyPilot does
    for cloud in ("aws", "gcp", "gcp"):
        made.on(cloud).enable(log=log)
    assert (tmp_path / "asked").read_text() == "check gcp\n"
    assert linked.readlink() == tmp_path / "gcloud"
    made.on("aws").enable(log=log)
    assert (tmp_path / "asked").read_text() == "check gcp\ncheck aws\n"
    assert not linked.is_symlink()


def test_what_only_azure_needs_is_installed_with_the_first_order_there_and_once(tmp_path: Path) -> None:
    made = Engine(tmp_path / "engine", tmp_path / "home")
    program(made.folder / "bin", "python", f'echo "$@" >>{tmp_path}/asked')
    for cloud in ("aws", "gcp", "azure", "azure"):
        complete(made.on(cloud), silent)
    assert (tmp_path / "asked").read_text() == f"-m pip install --quiet skypilot[azure]=={engine.VERSION}\n"


def test_an_order_at_azure_stops_where_what_it_needs_cannot_be_installed(tmp_path: Path) -> None:
    made = Engine(tmp_path / "engine", tmp_path / "home").on("azure")
    program(made.folder / "bin", "python", "echo no network >&2; exit 1")
    with pytest.raises(UserError, match=r"could not be installed: no network") as refused:
        complete(made, silent)
    assert f"pip install 'skypilot[azure]=={engine.VERSION}'" in refused.value.fix
    assert made.lacks == "azure"


def test_skypilot_finds_azures_files_where_they_are_and_az_reports_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(tmp_path / "azure"))
    made = Engine(tmp_path / "engine", tmp_path / "home").on("azure")
    made.home.mkdir()
    program(made.folder / "bin", "sky", "exit 0")
    made.enable(log=tmp_path / "log")
    assert (made.home / ".azure").readlink() == tmp_path / "azure"
    assert made.environment()["AZURE_CORE_COLLECT_TELEMETRY"] == "0"
    assert "AZURE_CONFIG_DIR" not in made.on("aws").environment()


def test_what_skypilot_says_now_is_told_from_what_it_said_before(home: Path) -> None:
    made = Engine(home / "env", home)
    program(home / "env" / "bin", "sky", 'echo "✓ $1 done"')
    log = home / "log.txt"
    log.write_text("━" * 100 + "\n", encoding="utf-8")  # three bytes each
    assert made.sky("status", log=log) == "✓ status done\n"


def test_a_network_that_is_away_is_not_taken_for_bad_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unknown(Exception):
        pass

    class NoLine(Unknown):  # as Google's library has it
        pass

    for problem, status in ((NoLine, 1), (Unknown, 3)):

        def account(problem: type[Exception] = problem) -> None:
            raise problem

        monkeypatch.setattr("sys.argv", ["gce.py", "account", "{}"])
        with pytest.raises(SystemExit) as ended:
            answer({"account": account}, no_credentials=(Unknown,), away=(NoLine,))
        assert ended.value.code == status
