"""A graph of operations, and the few fields of ONNX that it takes to write one (onnx.proto, IR version 10). Pure."""

import struct
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Value = tuple[str, int, list[int | str]]
"""name, kind of number (`NUMPY`), shape"""

NUMPY: Final = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 9: "?"}  # TensorProto.DataType
_ONNX: Final = {np.dtype(kind): number for number, kind in NUMPY.items()}
FLOAT, INT, STRING, TENSOR, INTS = 1, 2, 3, 4, 7  # AttributeProto.AttributeType
OPSETS: Final = (("", 14), ("com.microsoft", 1))


@dataclass(slots=True)
class Node:
    """One operation."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    domain: str = ""


@dataclass(slots=True)
class Graph:
    """Operations in order, and the constants that they use."""

    nodes: list[Node]
    constants: dict[str, Array]


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _whole(tag: int, number: int) -> bytes:
    return _varint(tag << 3) + _varint(number)


def _bytes(tag: int, data: bytes | str) -> bytes:
    data = data.encode() if isinstance(data, str) else data
    return _varint(tag << 3 | 2) + _varint(len(data)) + data


def _constant(name: str, value: Array) -> bytes:
    dims = b"".join(_whole(1, size) for size in value.shape)
    return dims + _whole(2, _ONNX[value.dtype]) + _bytes(8, name) + _bytes(9, np.ascontiguousarray(value).tobytes())


def _attribute(name: str, value: Any) -> bytes:
    out = _bytes(1, name)
    if isinstance(value, float):
        return out + _varint(2 << 3 | 5) + struct.pack("<f", value) + _whole(20, FLOAT)
    if isinstance(value, int):
        return out + _whole(3, value) + _whole(20, INT)
    if isinstance(value, bytes):
        return out + _bytes(4, value) + _whole(20, STRING)
    if isinstance(value, list):
        return out + b"".join(_whole(8, number) for number in value) + _whole(20, INTS)
    return out + _bytes(5, _constant("", value)) + _whole(20, TENSOR)


def _node(node: Node) -> bytes:
    names = b"".join(_bytes(1, name) for name in node.inputs) + b"".join(_bytes(2, name) for name in node.outputs)
    attributes = b"".join(_bytes(5, _attribute(*item)) for item in node.attributes.items())
    return names + _bytes(4, node.kind) + attributes + _bytes(7, node.domain)


def _value(name: str, kind: int, shape: list[int | str]) -> bytes:
    dims = b"".join(_bytes(1, _whole(1, size) if isinstance(size, int) else _bytes(2, size)) for size in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _whole(1, kind) + _bytes(2, dims)))


def model(graph: Graph, inputs: list[Value], outputs: list[Value]) -> bytes:
    """The file."""
    body = b"".join(_bytes(1, _node(node)) for node in graph.nodes)
    body += _bytes(2, "moonshine")
    body += b"".join(_bytes(5, _constant(*item)) for item in graph.constants.items())
    body += b"".join(_bytes(11, _value(*value)) for value in inputs)
    body += b"".join(_bytes(12, _value(*value)) for value in outputs)
    domains = b"".join(_bytes(8, _bytes(1, name) + _whole(2, version)) for name, version in OPSETS)
    return _whole(1, 10) + _bytes(2, "relay.standin") + _bytes(7, body) + domains
