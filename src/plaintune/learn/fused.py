"""Several operations of a graph as one of ONNX Runtime's own, which gives the same in less time.

ONNX Runtime finds such places by itself, but not all of them: how much faster, docs/experiments.md.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

RUNTIME = "com.microsoft"  # whose operations these are
NORMS = ("LayerNormalization", "SkipLayerNormalization")
MASK, HIDING = "attention_mask", 3e4  # taken off the score of padding: its share becomes nothing


class _Nodes:
    """The nodes of a graph by what goes into them and what comes out of them, and its fixed numbers."""

    def __init__(self, graph: Any) -> None:
        self.maker = {name: node for node in graph.node for name in node.output}
        self.users = defaultdict[str, list[Any]](list)
        self.numbers = {part.name: part for part in graph.initializer}
        for node in graph.node:
            for name in node.input:
                self.users[name].append(node)
            if node.op_type == "Constant":
                self.numbers[node.output[0]] = node.attribute[0].t

    def only_user(self, name: str) -> Any:
        """The node that alone takes ``name``, None where there are several."""
        return self.users[name][0] if len(self.users[name]) == 1 else None

    def made_by(self, names: Any, *kinds: str) -> Any:
        """The first maker of one of ``names`` that is of one of these kinds, None where there is none."""
        makers = [self.maker.get(name) for name in names]
        return next((node for node in makers if node is not None and node.op_type in kinds), None)

    def chain(self, name: str, *kinds: str) -> list[Any]:
        """Nodes of these kinds, each of which alone takes what the one before makes; else an empty list."""
        found = []
        for kind in kinds:
            node = self.only_user(name)
            if node is None or node.op_type != kind:
                return []
            found.append(node)
            name = node.output[0]
        return found


@dataclass(frozen=True)
class _Projection:
    """A product with a matrix of weights and a bias after it, whose result is cut into heads."""

    product: Any
    biased: Any

    @property
    def result(self) -> str:
        """What comes out: shape (texts, tokens, heads x size)."""
        return str(self.biased.output[0])


@dataclass(frozen=True)
class _Attention:
    """One layer of attention as BERT writes it."""

    queries: _Projection
    keys: _Projection
    values: _Projection
    joined: Any  # the node that puts the heads side by side again
    scale: float


def fuse_sums(model: Any) -> None:
    """What a layer adds to its input, and the layer normalization of the sum, as one operation; in place."""
    nodes, spare = _Nodes(model.graph), []
    for norm in [node for node in model.graph.node if node.op_type == "LayerNormalization"]:
        added = nodes.maker.get(norm.input[0])
        if added is None or added.op_type != "Add" or nodes.only_user(norm.input[0]) is None:
            continue
        if len(norm.input) == 3 and nodes.made_by(added.input, *NORMS) is not None:
            epsilon = next(part.f for part in norm.attribute if part.name == "epsilon")
            inputs = [*added.input, *norm.input[1:]]
            _become(norm, "SkipLayerNormalization", inputs, norm.output[0], epsilon=epsilon)
            spare.append(added)
    _remove(model, spare)


def fuse_attention(model: Any, heads: int) -> int:
    """The scores, the softmax and the sum of each layer of attention as one operation; in place.

    ONNX Runtime's own never writes the scores out (Dao et al. 2022), if it is given no mask. So the mask goes
    along with the numbers: each head of the queries gets one more that is always 1, each head of the keys one
    that is 0, or -`HIDING` at padding. Attention of another form than BERT's stays as it is. Returns how many
    layers changed.
    """
    graph, nodes = model.graph, _Nodes(model.graph)
    layers = [_attention(nodes, node) for node in graph.node if node.op_type == "Softmax"]
    found = [layer for layer in layers if layer is not None]
    sizes = {nodes.numbers[layer.queries.product.input[1]].dims[1] / heads for layer in found}
    if len(sizes) != 1 or not (size := sizes.pop()).is_integer():
        return 0
    for layer in found:
        _widen(graph, nodes, layer.queries, heads, last=1.0)
        _widen(graph, nodes, layer.keys, heads, last=0.0)
        masked, at = f"{layer.keys.result} masked", list(graph.node).index(layer.joined)
        graph.node.insert(at, onnx.helper.make_node("Add", [layer.keys.result, f"{MASK} wide"], [masked]))
        inputs, result = [layer.queries.result, masked, layer.values.result], layer.joined.output[0]
        _become(layer.joined, "MultiHeadAttention", inputs, result, num_heads=heads, scale=layer.scale)
    _write_mask(graph, heads, int(size))
    _remove(model, _unused(graph))
    return len(found)


def fuse_products(model: Any) -> None:
    """A product of whole numbers, its change of format, scale and bias as one operation; in place."""
    nodes, spare = _Nodes(model.graph), list[Any]()
    vectors = {part.name for part in model.graph.initializer if len(part.dims) == 1}
    for product in [node for node in model.graph.node if node.op_type == "MatMulInteger"]:
        cast = nodes.only_user(product.output[0])
        scaled = nodes.only_user(cast.output[0])
        scale = nodes.maker[_other(scaled, cast.output[0])]
        row, weights, row_zero, weights_zero = product.input
        inputs, result = [row, weights, *scale.input, row_zero, weights_zero], scaled.output[0]
        spare += [cast, scaled, *([] if nodes.only_user(scale.output[0]) is None else [scale])]
        after = nodes.only_user(result)
        if after is not None and after.op_type == "Add" and _other(after, result) in vectors:
            inputs.append(_other(after, result))
            result = after.output[0]
            spare.append(after)
        _become(product, "MatMulIntegerToFloat", inputs, result)
    _remove(model, spare)


def _attention(nodes: _Nodes, softmax: Any) -> _Attention | None:
    """The layer around a softmax; None where it is of another form."""
    after = nodes.chain(softmax.output[0], "MatMul", "Transpose", "Reshape")
    hidden = nodes.made_by(softmax.input, "Add")
    scaled = hidden and nodes.made_by(hidden.input, "Mul", "Div")
    scores = scaled and nodes.made_by(scaled.input, "MatMul")
    if not after or scores is None or not _only_mask(nodes, _other(hidden, scaled.output[0])):
        return None
    factor = nodes.numbers.get(_other(scaled, scores.output[0]))
    cut = [_projection(nodes, name) for name in (*scores.input, after[0].input[1])]
    if factor is None or factor.dims or None in cut:
        return None
    number = float(onnx.numpy_helper.to_array(factor))
    queries, keys, values = cut
    scale = number if scaled.op_type == "Mul" else 1 / number
    return _Attention(queries, keys, values, after[-1], scale)  # type: ignore[arg-type]


def _projection(nodes: _Nodes, name: str) -> _Projection | None:
    """What ``name``, heads apart, was made from; None where other things happened to it on the way."""
    turned = nodes.made_by([name], "Transpose")
    cut = turned and nodes.made_by([turned.input[0]], "Reshape")
    biased = cut and nodes.made_by([cut.input[0]], "Add")
    product = biased and nodes.made_by(biased.input, "MatMul")
    if product is None or nodes.only_user(biased.output[0]) is None:
        return None
    fixed = (product.input[1], _other(biased, product.output[0]))
    return _Projection(product, biased) if all(part in nodes.numbers for part in fixed) else None


def _only_mask(nodes: _Nodes, name: str) -> bool:
    """Whether ``name`` follows from the mask, and not from anything learned, such as places in the text."""
    waiting, seen = [name], {name}
    while waiting:
        made = waiting.pop()
        if made in nodes.numbers and int(np.prod(nodes.numbers[made].dims)) > 1:
            return False
        node = nodes.maker.get(made)
        before = [] if node is None or node.op_type == "Shape" else list(node.input)
        waiting += [part for part in before if part not in seen]
        seen.update(before)
    return MASK in seen and "input_ids" not in seen


def _widen(graph: Any, nodes: _Nodes, projection: _Projection, heads: int, *, last: float) -> None:
    """Let each head of ``projection`` end in the number ``last``."""

    def wide(name: str, number: float) -> str:
        known = nodes.numbers[name]
        by_head = onnx.numpy_helper.to_array(known).reshape(*known.dims[:-1], heads, -1)
        width = [(0, 0)] * (by_head.ndim - 1) + [(0, 1)]
        wider = np.pad(by_head, width, constant_values=number).reshape(*known.dims[:-1], -1)
        called = f"{name} and {number:g}"
        if all(part.name != called for part in graph.initializer):
            graph.initializer.append(onnx.numpy_helper.from_array(wider, called))
        return called

    product, biased = projection.product, projection.biased
    bias = _other(biased, product.output[0])
    product.input[1] = wide(product.input[1], 0.0)
    biased.input[:] = [product.output[0], wide(bias, last)]


def _write_mask(graph: Any, heads: int, size: int) -> None:
    """What is added to the keys, 0 but for each head's last: shape (texts, tokens, heads x (size + 1))."""
    last = np.zeros((heads, size + 1), dtype=np.float32)
    last[:, -1] = HIDING
    fixed = {"last of a head": last.reshape(-1), "one": np.float32(1.0), "third": np.array([2])}
    graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(v), f"{MASK} {k}") for k, v in fixed.items()
    )
    steps = [
        ("Cast", [MASK], "number"),
        ("Sub", [f"{MASK} number", f"{MASK} one"], "padding"),  # -1 at padding, 0 elsewhere
        ("Unsqueeze", [f"{MASK} padding", f"{MASK} third"], "column"),
        ("Mul", [f"{MASK} column", f"{MASK} last of a head"], "wide"),
    ]
    for at, (kind, inputs, result) in enumerate(steps):
        to: dict[str, Any] = {"to": onnx.TensorProto.FLOAT} if kind == "Cast" else {}
        graph.node.insert(at, onnx.helper.make_node(kind, inputs, [f"{MASK} {result}"], **to))


def _unused(graph: Any) -> list[Any]:
    """The nodes whose results nobody takes, the last one first."""
    taken = {out.name for out in graph.output}
    spare = []
    for node in reversed(graph.node):
        if taken.isdisjoint(node.output):
            spare.append(node)
        else:
            taken.update(node.input)
    return spare


def _other(node: Any, name: str) -> str:
    """What goes into ``node`` beside ``name``."""
    return str(next(beside for beside in node.input if beside != name))


def _become(node: Any, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
    made = onnx.helper.make_node(kind, inputs, [output], name=node.name, domain=RUNTIME, **attributes)
    node.CopyFrom(made)


def _remove(model: Any, spare: list[Any]) -> None:
    """Take the nodes ``spare`` out, and numbers nobody takes; say whose operations stand in their place."""
    for node in spare:
        model.graph.node.remove(node)
    taken = {name for node in model.graph.node for name in node.input}
    for numbers in [part for part in model.graph.initializer if part.name not in taken]:
        model.graph.initializer.remove(numbers)
    if all(known.domain != RUNTIME for known in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(RUNTIME, 1))
