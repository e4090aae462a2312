"""Other pre-trained models: every family trains and exports; what is unsafe or out of reach is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from conftest import Cli, make_backbone, review_rows, write_csv


@pytest.mark.parametrize("family", ["roberta", "deberta", "modernbert"])
def test_every_family_trains_and_its_graph_agrees_with_torch(cli: Cli, tmp_path: Path, family: str) -> None:
    backbone = make_backbone(family, tmp_path / "backbone")
    write_csv(tmp_path / "reviews.csv", ["review", "sentiment"], review_rows())
    done = cli("train", "reviews.csv", "--backbone", backbone, "--minutes", 5, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "reviews-model" / "manifest.json").read_text())
    assert manifest["parity"]["largest_difference"] <= 1e-3
    assert manifest["backbone"]["source"] == "folder"
    assert len(manifest["backbone"]["sha256"]) == 64


def refused(cli: Cli, folder: Path, backbone: object, *words: str, **env: str) -> None:
    write_csv(folder / "reviews.csv", ["review", "sentiment"], review_rows())
    done = cli("train", "reviews.csv", "--backbone", backbone, cwd=folder, **env)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-2].startswith("Error: ")
    for word in words:
        assert word in done.stderr
    assert not (folder / "reviews-model").exists()


def test_a_hub_that_cannot_be_reached_is_two_lines_with_the_remedy(cli: Cli, tmp_path: Path) -> None:
    closed = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hub")}
    refused(cli, tmp_path, "someone/some-model", "someone/some-model", "--backbone DIR", **closed)


def test_pickled_weights_are_refused(cli: Cli, tmp_path: Path, tiny_backbone: Path) -> None:
    pickled = Path(shutil.copytree(tiny_backbone, tmp_path / "pickled"))
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    refused(cli, tmp_path, pickled, "pickled", "model.safetensors")


def test_a_folder_that_is_not_there_is_refused(cli: Cli, tmp_path: Path) -> None:
    refused(cli, tmp_path, "./nowhere", "no such folder")


def test_damaged_weights_are_refused(cli: Cli, tmp_path: Path, tiny_backbone: Path) -> None:
    damaged = Path(shutil.copytree(tiny_backbone, tmp_path / "damaged"))
    weights = (damaged / "model.safetensors").read_bytes()
    (damaged / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    refused(cli, tmp_path, damaged, "could not be opened")
