"""Several operations of a graph as one of ONNX Runtime's own, which gives the same in less time.

ONNX Runtime finds such places by itself, but not all of them: how much faster, docs/experiments.md.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

RUNTIME = "com.microsoft"  # whose operations these are
NORMS = ("LayerNormalization", "SkipLayerNormalization")


class _Nodes:
    """The nodes of a graph by what goes into them and what comes out of them."""

    def __init__(self, graph: Any) -> None:
        self.maker = {name: node for node in graph.node for name in node.output}
        self.users = defaultdict[str, list[Any]](list)
        for node in graph.node:
            for name in node.input:
                self.users[name].append(node)

    def only_user(self, name: str) -> Any:
        """The node that alone takes ``name``, None where there are several."""
        return self.users[name][0] if len(self.users[name]) == 1 else None


def fuse_sums(model: Any) -> None:
    """What a layer adds to its input, and the layer normalization of the sum, as one operation; in place."""
    nodes, spare = _Nodes(model.graph), []
    for norm in [node for node in model.graph.node if node.op_type == "LayerNormalization"]:
        added = nodes.maker.get(norm.input[0])
        if added is None or added.op_type != "Add" or nodes.only_user(norm.input[0]) is None:
            continue
        makers = [nodes.maker.get(name) for name in added.input]
        if len(norm.input) == 3 and any(maker is not None and maker.op_type in NORMS for maker in makers):
            epsilon = next(part.f for part in norm.attribute if part.name == "epsilon")
            inputs = [*added.input, *norm.input[1:]]
            _become(norm, "SkipLayerNormalization", inputs, norm.output[0], epsilon=epsilon)
            spare.append(added)
    _remove(model, spare)


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


def _other(node: Any, name: str) -> str:
    """What goes into ``node`` beside ``name``."""
    return str(next(beside for beside in node.input if beside != name))


def _become(node: Any, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
    import onnx

    made = onnx.helper.make_node(kind, inputs, [output], name=node.name, domain=RUNTIME, **attributes)
    node.CopyFrom(made)


def _remove(model: Any, spare: list[Any]) -> None:
    """Take the nodes ``spare`` out, and say whose operations stand in their place."""
    import onnx

    for node in spare:
        model.graph.node.remove(node)
    if all(known.domain != RUNTIME for known in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(RUNTIME, 1))
