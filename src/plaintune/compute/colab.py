"""A notebook that trains on a free GPU of Google's Colab: the same package, data and report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import OutputExists, UserError
from ..core.files import write_text
from ..model.wheel import write_wheel

INTRODUCTION = """\
# Training on {data}

1. In the menu choose *Runtime*, *Change runtime type*, a GPU such as *T4*. A free account often gets one,
   but not always.
2. *Runtime*, *Run all*. The first cell asks for two files: `{wheel}`, which lies beside this notebook, and
   `{data}`.

What you upload is on a machine of Google's until the session ends.
"""
UPLOAD = """\
from pathlib import Path

WHEEL, DATA = {wheel!r}, {data!r}
try:
    from google.colab import files
except ImportError:  # not on Colab: the files lie beside the notebook
    files = None
missing = [name for name in (WHEEL, DATA) if not Path(name).exists()]
if missing:
    print("Choose:", ", ".join(missing))
    files.upload()
"""
INSTALL = """\
import subprocess, sys

subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", f"./{WHEEL}[train]"], check=True)
"""
LOOK = """\
import torch

print(torch.cuda.get_device_name() if torch.cuda.is_available() else "No GPU: slower, and just as right.")
"""
TRAIN = """\
import plaintune as pt

model = pt.train(DATA, out={model!r}, overwrite=True{options})
scores = model.manifest.scores
print(f"{{scores['metric']}}: {{scores['score']:.3f}} on {{scores['rows']}} examples it had never seen")
"""
REPORT = """\
import html
from IPython.display import HTML

page = html.escape(Path({model!r}, "report.html").read_text(encoding="utf-8"))
HTML(f'<iframe srcdoc="{{page}}" width="100%" height="900"></iframe>')
"""
DOWNLOAD = """\
import shutil

archive = shutil.make_archive({model!r}, "zip", ".", {model!r})
if files is not None:
    files.download(archive)
print("The model is in", archive)
"""


@dataclass(frozen=True)
class Packed:
    """What lies ready to be taken to Colab."""

    folder: Path
    notebook: Path
    wheel: Path


def write_colab(data: str, folder: Path, *, replace_existing: bool = False, **options: Any) -> Packed:
    """Write notebook and package into ``folder``; ``options`` are those of `plaintune.train`.

    Raises UserError.
    """
    file = Path(data)
    if not file.is_file():
        raise UserError(
            f"There is no file {data}.", "Colab takes one file: CSV, TSV, JSON lines, Parquet or Excel."
        )
    if folder.exists() and not replace_existing:
        raise OutputExists(f"{folder} exists already.", "Add --yes to replace what is in it, or: --out DIR")
    folder.mkdir(parents=True, exist_ok=True)
    packed = write_wheel(folder)
    notebook = folder / f"{file.name.split('.')[0]}.ipynb"
    model = f"{file.name.split('.')[0]}-model"
    given = {name: value for name, value in options.items() if value not in (None, (), [])}
    chosen = "".join(f", {name}={value!r}" for name, value in given.items())
    cells = [
        _cell("markdown", INTRODUCTION.format(data=file.name, wheel=packed.name)),
        _cell("code", UPLOAD.format(data=file.name, wheel=packed.name)),
        _cell("code", INSTALL),
        _cell("code", LOOK),
        _cell("code", TRAIN.format(model=model, options=chosen)),
        _cell("code", REPORT.format(model=model)),
        _cell("code", DOWNLOAD.format(model=model)),
    ]
    write_text(notebook, json.dumps(_notebook(cells), indent=1))
    return Packed(folder, notebook, packed)


def _cell(kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True)}
    return cell if kind == "markdown" else {**cell, "execution_count": None, "outputs": []}


def _notebook(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """The notebook format 4.5; the metadata ask Colab for a GPU."""
    numbered = [{**cell, "id": f"cell-{number}"} for number, cell in enumerate(cells)]
    python = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"accelerator": "GPU", "colab": {"gpuType": "T4"}, "kernelspec": python}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": numbered}
