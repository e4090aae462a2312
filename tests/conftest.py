"""Fixtures: the real command line in a real process, small texts written by us, small random backbones."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from browser import accessibility_faults, axe_script, browser, browser_page, complaints  # noqa: F401  fixtures

MEASURE = Path(__file__).parents[1] / "benchmarks" / "measure.py"
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
Cli = Callable[..., subprocess.CompletedProcess[str]]

GOOD = [
    "a warm and funny film with a cast that shines",
    "I loved every minute, what a delightful evening",
    "brilliant acting and a story full of heart",
    "one of the best things I have seen this year",
    "charming, clever and beautifully shot",
    "the ending made me cry happy tears",
    "great music, great pace, great fun",
    "a wonderful surprise from start to finish",
    "my whole family adored it",
    "superb direction and a perfect script",
]
BAD = [
    "a dull and lifeless mess that never ends",
    "I hated it and walked out after an hour",
    "terrible acting and a plot full of holes",
    "one of the worst things I have seen this year",
    "boring, clumsy and badly lit",
    "the ending made me angry and tired",
    "awful music, awful pace, no fun",
    "a bitter disappointment from start to finish",
    "my whole family fell asleep",
    "poor direction and a silly script",
]
PLACES = ["at the cinema", "on a plane", "last night", "with friends", "again today", "in the rain"]


def measured(cost: Path, command: list[str]) -> list[str]:
    """``command``, begun by a small process: else its peak of memory would be told as that of the tests."""
    return [sys.executable, "-S", str(MEASURE), str(cost), "--", *command]


def review_rows() -> list[tuple[str, str]]:
    """120 short reviews: 20 sentences of ours, each seen in six places."""
    rows = [(f"{text} {place}", "positive") for text in GOOD for place in PLACES]
    return rows + [(f"{text} {place}", "negative") for text in BAD for place in PLACES]


def write_csv(path: Path, header: list[str] | None, rows: list[tuple[str, ...]]) -> Path:
    """Rows as a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if header:
            writer.writerow(header)
        writer.writerows(rows)
    return path


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Run `plaintune ARGS` in a process of its own, nobody at the terminal."""

    def run(*args: object, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "plaintune", *map(str, args)],
            cwd=cwd,
            env={**os.environ, "COLUMNS": "80", **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    return run


def make_manifest_fit(folder: Path) -> None:
    """Write the sizes and hashes of what lies in a model folder into its manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in manifest["files"]:
        content = (folder / name).read_bytes()
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with random weights: trains in seconds, knows nothing."""
    return make_backbone("bert", tmp_path_factory.mktemp("backbone"))


@pytest.fixture(scope="session")
def trained(
    cli: Cli, tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A model trained by the real command on the small reviews, and what `train --json` printed."""
    folder = tmp_path_factory.mktemp("trained")
    write_csv(folder / "reviews.csv", ["review", "sentiment"], review_rows())
    done = cli("train", "reviews.csv", "--backbone", tiny_backbone, "--minutes", 5, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "reviews-model", json.loads(done.stdout)


def make_backbone(family: str, folder: Path, *, width: int = 32) -> Path:
    """A folder with a tiny random model of a family and a word-piece tokenizer trained on our sentences."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    texts = [text for text, _ in review_rows()]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    sizes: dict[str, Any] = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": width,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 2 * width,
        "pad_token_id": 0,
    }
    torch.manual_seed(0)
    if family == "bert":
        model = transformers.BertModel(transformers.BertConfig(**sizes))
    elif family == "roberta":
        model = transformers.RobertaModel(transformers.RobertaConfig(**sizes))
    elif family == "deberta":
        relative = {
            "relative_attention": True,
            "position_buckets": 16,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "type_vocab_size": 0,
        }
        model = transformers.DebertaV2Model(transformers.DebertaV2Config(**sizes, **relative))
    else:
        local = {"global_attn_every_n_layers": 2, "local_attention": 8, "cls_token_id": 2, "sep_token_id": 3}
        local |= {"bos_token_id": 2, "eos_token_id": 3}
        model = transformers.ModernBertModel(transformers.ModernBertConfig(**sizes, **local))
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
