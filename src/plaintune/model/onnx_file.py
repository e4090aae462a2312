"""What is in an ONNX file, found by reading its bytes: nothing of it is built or run.

The format is protobuf; the numbers are those of the fields in onnx.proto3. The base install has no `onnx`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

INPUTS, OUTPUTS = [b"input_ids", b"attention_mask"], [b"logits"]
DOMAINS = (b"", b"ai.onnx", b"com.microsoft")
MOST_FIELDS = 200_000  # of a message: a graph has one for each node and each table of numbers
MOST_DIMENSIONS = 16
# fields of a model, a graph, a node, an attribute, a tensor
GRAPH, FUNCTIONS = 7, 25
NODE, TENSOR, INPUT, OUTPUT, SPARSE = 1, 5, 11, 12, 15
ATTRIBUTE, DOMAIN = 5, 7
VALUE, SUBGRAPH, VALUES, SUBGRAPHS, SPARSE_VALUES = 5, 6, 10, 11, (22, 23)
SHAPE, EXTERNAL, LOCATION = 1, 13, 14
Field = tuple[int, int | memoryview]


def require_plain_graph(content: bytes) -> None:
    """Raise ValueError for a graph that reads other files, loops, or claims more than the file holds.

    What is left is a fixed chain of products over the numbers in the file.
    """
    try:
        _check_model(memoryview(content))
    except IndexError:
        raise ValueError("it is cut short") from None


def _check_model(model: memoryview) -> None:
    graph = memoryview(b"")
    for number, value in _fields(model):
        if number == FUNCTIONS or (number == GRAPH and len(graph)):
            raise ValueError("it does not hold one plain graph")
        graph = _part(value) if number == GRAPH else graph
    inputs: list[bytes] = []
    outputs: list[bytes] = []
    for number, value in _fields(graph):
        if number == NODE:
            _check_node(_part(value))
        elif number == TENSOR:
            _check_tensor(_part(value))
        elif number in (INPUT, OUTPUT):
            (inputs if number == INPUT else outputs).append(_text(_part(value), 1))
        elif number == SPARSE:
            raise ValueError("it holds sparse numbers")
    if sorted(inputs) != sorted(INPUTS) or outputs != OUTPUTS:
        raise ValueError("it is no graph from token ids to logits")


def _check_node(node: memoryview) -> None:
    if _text(node, DOMAIN) not in DOMAINS:
        raise ValueError("it asks for operations of somebody's own")
    for number, value in _fields(node):
        if number != ATTRIBUTE:
            continue
        for kind, held in _fields(_part(value)):
            if kind in (SUBGRAPH, SUBGRAPHS, *SPARSE_VALUES):
                raise ValueError("it holds a graph within the graph")
            if kind in (VALUE, VALUES):
                _check_tensor(_part(held))


def _check_tensor(tensor: memoryview) -> None:
    shape: list[int] = []
    for number, value in _fields(tensor):
        if number == EXTERNAL or (number == LOCATION and value != 0):
            raise ValueError("it wants to read another file")
        if number == SHAPE:
            shape += [value] if isinstance(value, int) else _packed(value)
        if len(shape) > MOST_DIMENSIONS:
            raise ValueError("it claims more dimensions than there are")
    if math.prod(shape) > len(tensor):  # each number takes a byte or more
        raise ValueError("it claims more numbers than it holds")


def _fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message; those of a fixed size are skipped, none of them matters here."""
    at = count = 0
    while at < len(message):
        count += 1
        if count > MOST_FIELDS:
            raise ValueError("it holds more parts than a graph has")
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
        elif wire == 2:
            size, at = _varint(message, at)
            if size > len(message) - at:
                raise ValueError("it is cut short")
            yield number, message[at : at + size]
            at += size
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ValueError("it is no ONNX file")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("it is no ONNX file")


def _packed(values: memoryview) -> list[int]:
    found: list[int] = []
    at = 0
    while at < len(values) and len(found) <= MOST_DIMENSIONS:
        value, at = _varint(values, at)
        found.append(value)
    return found


def _text(message: memoryview, field: int) -> bytes:
    """The last text in a field, as protobuf takes it; empty where there is none."""
    found: int | memoryview = memoryview(b"")
    for number, value in _fields(message):
        found = value if number == field else found
    return bytes(_part(found))


def _part(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("it is no ONNX file")
    return value
