"""The notebook for Colab is run for real: it installs plaintune, trains, shows the report, packs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from conftest import Cli, review_rows, write_csv

RUN = (
    "import nbformat, nbclient\n"
    "notebook = nbformat.read('reviews.ipynb', 4)\n"
    "nbformat.validate(notebook)\n"
    "nbclient.NotebookClient(notebook, timeout=500, kernel_name='python3').execute()\n"
    "nbformat.write(notebook, 'ran.ipynb')\n"
)


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """An environment of its own with Jupyter's runner, and the packages that plaintune needs."""
    folder = tmp_path / "kernel"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (packages / "tests.pth").write_text(sysconfig.get_path("purelib"))
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "nbclient", "ipykernel"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"nbclient cannot be installed: {done.stderr[-300:]}")
    return python


@pytest.mark.slow
def test_the_notebook_trains_shows_the_report_and_packs_the_model(
    cli: Cli, kernel: Path, tmp_path: Path
) -> None:
    write_csv(tmp_path / "reviews.csv", ["review", "sentiment"], review_rows())
    written = cli("colab", "reviews.csv", "--minutes", 1, "--json", cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    folder = tmp_path / "reviews-colab"
    shutil.copy(tmp_path / "reviews.csv", folder)
    done = subprocess.run(
        [kernel, "-c", RUN], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ran = json.loads((folder / "ran.ipynb").read_text())
    assert "srcdoc" in json.dumps(ran["cells"][5]["outputs"])
    assert "model.onnx" in "".join(zipfile.ZipFile(folder / "reviews-model.zip").namelist())


def test_a_missing_file_is_refused_before_anything_is_written(cli: Cli, tmp_path: Path) -> None:
    refused = cli("colab", "nothing.csv", cwd=tmp_path)
    assert refused.returncode == 2
    assert "There is no file nothing.csv" in refused.stderr
    assert list(tmp_path.iterdir()) == []
