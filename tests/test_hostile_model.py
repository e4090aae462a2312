"""A model from a stranger: nothing in it runs, reads beyond its folder, or takes memory it does not show."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from conftest import make_manifest_fit
from plaintune.core.errors import BrokenModel, panics_as_errors
from plaintune.core.hardware import inspect_machine
from plaintune.model.onnx_file import require_plain_graph
from plaintune.model.predict import Model

Trained = tuple[Path, dict[str, Any]]
PREDICT_WITHIN = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
from plaintune.model.predict import Model
try:
    Model.load(sys.argv[1]).predict("some text")
except Exception as error:
    print(error)
"""


@pytest.fixture
def folder(trained: Trained, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained[0], tmp_path / "stranger"))


def refused(folder: Path, why: str) -> None:
    """Sizes and hashes in the manifest are made to fit: whoever builds such a folder does that, too."""
    make_manifest_fit(folder)
    with pytest.raises(BrokenModel, match=why):
        Model.load(folder)


def change_graph(folder: Path, change: Callable[[Any], None]) -> None:
    model = onnx.load(folder / "model.onnx")
    change(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


@pytest.mark.parametrize("place", ["../../../etc/passwd", "/etc/passwd", "beside.bin"])
def test_a_graph_that_wants_to_read_another_file_is_refused(folder: Path, place: str) -> None:
    (folder / "beside.bin").write_bytes(b"\0" * 4096)

    def reach_out(model: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=place)

    change_graph(folder, reach_out)
    refused(folder, "another file")


def test_a_constant_that_wants_to_read_another_file_is_refused(folder: Path) -> None:
    def reach_out(model: Any) -> None:
        constant = next(node for node in model.graph.node if node.op_type == "Constant")
        constant.attribute[0].t.external_data.add(key="location", value="/etc/passwd")

    change_graph(folder, reach_out)
    refused(folder, "another file")


def test_a_graph_that_claims_more_numbers_than_it_holds_is_refused(folder: Path) -> None:
    def lie(model: Any) -> None:
        model.graph.initializer[0].dims[:] = [2**20, 2**20]

    change_graph(folder, lie)
    refused(folder, "more numbers")


def test_a_graph_that_loops_or_brings_operations_of_its_own_is_refused(folder: Path) -> None:
    def loop(model: Any) -> None:
        body = helper.make_graph([], "body", [], [])
        model.graph.node.append(helper.make_node("Loop", ["", ""], [], body=body))

    whole = (folder / "model.onnx").read_bytes()
    change_graph(folder, loop)
    refused(folder, "graph within")
    (folder / "model.onnx").write_bytes(whole)
    change_graph(folder, lambda model: model.graph.node.append(helper.make_node("X", [], [], domain="evil")))
    refused(folder, "somebody's own")


def test_a_graph_that_would_fill_the_memory_is_stopped(folder: Path) -> None:
    """It asks for what the machine has, and the error is that of our own limit, not of the system's.

    Should ours fail, the system refuses it to the process that asks here.
    """
    memory = inspect_machine().memory_gib
    assert memory
    rows = int(0.8 * memory * 2**30) // 4 >> 20  # of 2 to the 20 numbers of 4 bytes

    def grow(model: Any) -> None:
        huge = helper.make_tensor("huge", TensorProto.INT64, [2], [rows, 1 << 20])
        model.graph.initializer.append(huge)
        model.graph.node.append(helper.make_node("ConstantOfShape", ["huge"], ["filled"]))
        model.graph.node.append(helper.make_node("ReduceSum", ["filled"], ["sum"], keepdims=0))
        last = next(node for node in model.graph.node if "logits" in node.output)
        last.output[:] = ["honest"]
        model.graph.node.append(helper.make_node("Add", ["honest", "sum"], ["logits"]))

    change_graph(folder, grow)
    require_plain_graph((folder / "model.onnx").read_bytes())
    make_manifest_fit(folder)
    command = [sys.executable, "-c", PREDICT_WITHIN, str(folder), str(rows << 22)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert re.search(rf"Available memory of \d+ is smaller than requested bytes of {rows << 22}", done.stdout)


@pytest.mark.parametrize("cut", [1, 7, 100, 5000])
def test_a_graph_cut_anywhere_is_refused(folder: Path, cut: int) -> None:
    content = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(content[:-cut])
    refused(folder, "cannot be opened")


def test_random_bytes_for_a_graph_never_end_in_anything_but_a_refusal() -> None:
    rng = np.random.default_rng(0)
    for length in rng.integers(1, 400, size=2000):
        with pytest.raises(ValueError):  # noqa: PT011  any of its reasons
            require_plain_graph(rng.bytes(int(length)))


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "manifest.json"])
def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.move(folder / name, tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(BrokenModel, match="not a file of the model's own"):
        Model.load(folder)


def test_a_manifest_without_end_is_not_read(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").symlink_to("/dev/zero")
    with pytest.raises(BrokenModel):
        Model.load(folder)


def test_endless_nesting_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("[" * 100_000 + "]" * 100_000)
    refused(folder, "cannot be opened")
    (folder / "manifest.json").write_text('{"a":' * 100_000)
    with pytest.raises(BrokenModel):
        Model.load(folder)


def test_a_tokenizer_that_blows_texts_up_is_refused(folder: Path) -> None:
    rules = json.loads((folder / "tokenizer.json").read_text())
    rules["normalizer"] = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10**6}
    (folder / "tokenizer.json").write_text(json.dumps(rules))
    refused(folder, "far longer")


def test_a_tokenizer_that_adds_a_page_to_each_text_or_for_a_character_is_refused(folder: Path) -> None:
    rules = json.loads((folder / "tokenizer.json").read_text())
    whole = (2).to_bytes(4, "little") + b"\0\0" + b"x" * 100_000 + b"\0"
    table = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(whole).decode()}
    (folder / "tokenizer.json").write_text(json.dumps({**rules, "normalizer": table}))
    refused(folder, "far longer|cannot be opened")
    mark = {"id": "many", "ids": [1] * 100, "tokens": ["a"] * 100}
    piece = {"SpecialToken": {"id": "many", "type_id": 0}}
    around = {
        "type": "TemplateProcessing",
        "single": [piece, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"many": mark},
    }
    (folder / "tokenizer.json").write_text(json.dumps({**rules, "post_processor": around}))
    refused(folder, "adds too much")


def test_a_tokenizer_that_says_each_text_many_times_is_refused(folder: Path) -> None:
    rules = json.loads((folder / "tokenizer.json").read_text())
    text = {"Sequence": {"id": "A", "type_id": 0}}
    pair = [text, {"Sequence": {"id": "B", "type_id": 0}}]
    many = {"type": "TemplateProcessing", "single": [text] * 300, "pair": pair, "special_tokens": {}}
    hidden = {"type": "Replace", "pattern": {"String": "a"}, "content": ""}  # so that "a" shows nothing
    changed = {**rules, "normalizer": hidden, "post_processor": many}
    (folder / "tokenizer.json").write_text(json.dumps(changed))
    refused(folder, "adds too much")


def test_a_text_that_a_tokenizer_makes_far_longer_is_not_read(folder: Path) -> None:
    rules = json.loads((folder / "tokenizer.json").read_text())
    rules["normalizer"] = {"type": "Replace", "pattern": {"String": "b"}, "content": "w " * 400}
    (folder / "tokenizer.json").write_text(json.dumps(rules))
    make_manifest_fit(folder)
    model = Model.load(folder)
    assert model.predict("some text")
    with pytest.raises(ValueError, match="far longer"):
        model.predict("b" * 10_000)


def test_what_a_library_in_rust_gives_up_with_is_an_error_like_others() -> None:
    class Panic(BaseException):
        pass

    with pytest.raises(ValueError, match="gave up: so it is"), panics_as_errors():
        raise Panic("so it is")
    with pytest.raises(KeyboardInterrupt), panics_as_errors():
        raise KeyboardInterrupt


@pytest.mark.parametrize("field", [b"\x3a\x00", b"\x3a\x02\x0a\x00"])
def test_a_graph_of_endless_small_parts_is_refused_before_they_are_kept(field: bytes) -> None:
    content = field * 2_000_000
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"one plain graph|more parts"):
        require_plain_graph(content)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_a_manifest_of_endless_small_things_is_not_parsed(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"[" + b"[]," * 6_000_000 + b"[]]")
    with pytest.raises(BrokenModel, match="too many values"):
        Model.load(folder)


def lying_header(header: dict[str, Any], content: bytes) -> bytes:
    told = json.dumps(header).encode()
    return len(told).to_bytes(8, "little") + told + content


@pytest.mark.parametrize("offsets", [[0, 2**40], [0, 8], [8, 0], [-8, 8]])
def test_counted_words_with_a_lying_header_are_refused(folder: Path, offsets: list[int]) -> None:
    header = {"vocabulary": {"dtype": "U64", "shape": [2**37], "data_offsets": offsets}}
    (folder / "ngrams.safetensors").write_bytes(lying_header(header, b"\0" * 8))
    refused(folder, "cannot be opened")


def test_a_header_longer_than_the_file_is_refused(folder: Path) -> None:
    (folder / "ngrams.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")
    refused(folder, "cannot be opened")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", ["one"]),
        ("classes", ["a", "b", "c"]),
        ("max_length_tokens", 10**9),
        ("prior", [0.5]),
        ("task", "mischief"),
        ("blend", {"network": float("1e999")}),
        ("blend", {"nonsense": 1.0}),
        ("blend", []),
        ("blend", {"network": 10**400}),
        ("max_length_tokens", float("inf")),
        ("format_version", float("inf")),
        ("training_hashes", 7),
        ("format_version", []),
    ],
)
def test_a_manifest_that_does_not_fit_its_model_is_refused(folder: Path, name: str, value: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, name: value}))
    if name == "training_hashes":  # asked for by evaluate alone
        Model.load(folder).predict("some text")
        return
    with pytest.raises(BrokenModel):
        Model.load(folder)


def test_a_whole_number_written_as_text_is_one(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    written = {**manifest, "max_length_tokens": str(manifest["max_length_tokens"])}
    (folder / "manifest.json").write_text(json.dumps(written))
    assert Model.load(folder).predict("some text")[0].answer
