"""A model as a service to deploy: everything that another machine needs, and none of the user's texts."""

from __future__ import annotations

import json
import platform
import re
from importlib import resources
from pathlib import Path
from typing import Any

from ..core.errors import OutputExists, UserError
from ..core.files import write_bytes, write_text
from .card import how_good, model_card
from .folder import CARD, MANIFEST, PARTS, SELF_TEST, publish, require_name, staging_folder
from .parts import SINGLE_FILE, opened_source, write_single_file
from .predict import Model
from .self_test import recorded_answers
from .wheel import pinned_requirements, write_wheel

TEMPLATES = ("Dockerfile", "compose.yaml", "plaintune.service", "client.py", "README.md")
REQUIREMENTS = "requirements.txt"
GIVEN_FILES = ("backbone", "plan", "corrections", "unlabeled")  # settings that may hold a path


def export_service(model: Model, out: Path, *, replace_existing: bool = False) -> Path:
    """``out``, a folder to deploy ``model`` from. Raises OutputExists, UserError where it is no export.

    Of an export that is there each part is replaced; what it did not bring (venv, .env) stays where it is.
    """
    require_name(out)
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        if not (out / "plaintune.service").is_file():
            raise UserError(f"{out} exists and is no export, so it is left alone.", "Choose another place.")
        if not replace_existing:
            fix = "Add --yes to replace what export wrote there, or choose another place."
            raise OutputExists(f"{out} exists already.", fix)
    name = model_name(model.folder)
    with staging_folder(out) as staged:
        (staged / "model").mkdir()
        for file, content in model_files(model).items():
            write_bytes(staged / "model" / file, content)
        (staged / "wheels").mkdir()
        wheel = write_wheel(staged / "wheels")
        lines = [f"./wheels/{wheel.name}", *pinned_requirements()]
        write_text(staged / REQUIREMENTS, "\n".join(lines) + "\n")
        for template in TEMPLATES:
            write_text(staged / template, _filled(template, name, model, wheel))
        write_text(staged / ".dockerignore", "venv\n")
        for path in (staged, *staged.rglob("*")):  # whoever runs the service is not whoever exported it
            path.chmod(0o755 if path.is_dir() else 0o644)
        if out.is_dir() and any(out.iterdir()):
            for part in sorted(staged.iterdir()):
                publish(part, out / part.name)
        else:
            publish(staged, out)
    return out


def export_file(model: Model, out: Path, *, replace_existing: bool = False) -> Path:
    """``model`` as one `.plaintune` file, which takes the place of a folder. Raises OutputExists."""
    if out.suffix != SINGLE_FILE:
        raise UserError(f"{out} does not end in {SINGLE_FILE}.", f"Name it {out.name}{SINGLE_FILE}")
    if out.is_dir() or (out.exists() and not replace_existing):
        raise OutputExists(f"{out} exists already.", "Add --yes to replace it, or choose another name.")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_single_file(model_files(model), out)
    return out


def model_name(folder: Path) -> str:
    """What a model is called in addresses and file names."""
    name = folder.absolute().name.removesuffix(SINGLE_FILE)
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "model"


def model_files(model: Model) -> dict[str, bytes]:
    """What answering needs, and the self-test; nothing that could hold a text of a user."""
    with opened_source(model.folder) as source:
        files = {name: source.read(name) for name in (MANIFEST, *PARTS)}
    files[MANIFEST] = _without_traces(files[MANIFEST])
    files[CARD] = model_card(model.manifest, model_name(model.folder)).encode()
    files[SELF_TEST] = recorded_answers(model)
    return files


def _without_traces(manifest: bytes) -> bytes:
    """The manifest without where the user's files lay, and whether some text was learned from."""
    written = json.loads(manifest)
    written["training_hashes"] = ""
    written["data"]["source"] = _bare(written["data"].get("source"))
    written["settings"] |= {option: _bare(written["settings"].get(option)) for option in GIVEN_FILES}
    return json.dumps(written, indent=1).encode()


def _bare(places: Any) -> Any:
    if isinstance(places, list):
        return [_bare(place) for place in places]
    return Path(places).name if places else places


def _filled(template: str, name: str, model: Model, wheel: Path) -> str:
    text = (resources.files(__package__) / "deploy" / template).read_text(encoding="utf-8")
    words = {
        "NAME": name,
        "HOW_GOOD": how_good(model.manifest),
        "PYTHON": ".".join(platform.python_version_tuple()[:2]),
        "VERSION": wheel.name.split("-")[1],
    }
    return re.sub(r"@([A-Z_]+)@", lambda found: words[found[1]], text)
