"""Moonshine's graphs, read as its maker ships them (onnxruntime's own format) and written as ONNX in 8 bits.

Reading takes onnxruntime's bundled reader; writing takes the few fields of the format that are needed (onnx.proto,
IR version 10). Nothing is learnt or measured here: the same bytes always come out.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import InferenceSession

Array = NDArray[Any]
LAYERS: Final = 8
HEADS: Final = 8
WIDTH: Final = 52  # of a head
_NUMPY: Final = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 9: "?"}  # TensorProto.DataType
_ONNX: Final = {np.dtype(kind): number for number, kind in _NUMPY.items()}
_FLOAT, _INT, _STRING, _TENSOR, _INTS = 1, 2, 3, 4, 7  # AttributeProto.AttributeType


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

    def before(self, outputs: Iterable[str]) -> list[Node]:
        """The operations that these outputs need, in order."""
        wanted = set(outputs)
        kept = []
        for node in reversed(self.nodes):
            if wanted.intersection(node.outputs):
                kept.append(node)
                wanted.update(node.inputs)
        return kept[::-1]


# --- reading --------------------------------------------------------------------------------------------------------


def _read(data: bytes) -> Any:
    return InferenceSession.GetRootAsInferenceSession(data, 0).Model().Graph()


def _tensor(tensor: Any) -> Array:
    kind = _NUMPY[tensor.DataType()]
    shape = [tensor.Dims(i) for i in range(tensor.DimsLength())]
    raw = tensor.RawDataAsNumpy().tobytes() if tensor.RawDataLength() else b""
    return np.frombuffer(raw, dtype=kind).reshape(shape)


def _attributes(node: Any) -> Iterator[tuple[str, Any]]:
    for attribute in (node.Attributes(i) for i in range(node.AttributesLength())):
        kind = attribute.Type()
        name = attribute.Name().decode()
        if kind == _FLOAT:
            yield name, attribute.F()
        elif kind == _INT:
            yield name, attribute.I()
        elif kind == _STRING:
            yield name, attribute.S()
        elif kind == _TENSOR:
            yield name, _tensor(attribute.T())
        elif kind == _INTS:
            yield name, [attribute.Ints(i) for i in range(attribute.IntsLength())]
        else:
            yield name, attribute.G()


def _graph(source: Any) -> Graph:
    nodes = []
    for node in (source.Nodes(i) for i in range(source.NodesLength())):
        inputs = [node.Inputs(j).decode() for j in range(node.InputsLength())]
        outputs = [node.Outputs(j).decode() for j in range(node.OutputsLength())]
        nodes.append(Node(node.OpType().decode(), inputs, outputs, dict(_attributes(node)), node.Domain().decode()))
    tensors = [source.Initializers(i) for i in range(source.InitializersLength())]
    return Graph(_sorted(nodes), {tensor.Name().decode(): _tensor(tensor) for tensor in tensors})


def _sorted(nodes: list[Node]) -> list[Node]:
    """In an order in which each finds what it needs; the file's own is another."""
    maker = {output: node for node in nodes for output in node.outputs}
    done: dict[int, Node] = {}
    for node in nodes:
        waiting = [node]
        while waiting:
            needs = [maker[name] for name in waiting[-1].inputs if name in maker and id(maker[name]) not in done]
            if needs:
                waiting += needs
            else:
                last = waiting.pop()
                done.setdefault(id(last), last)
    return list(done.values())


# --- rewriting ------------------------------------------------------------------------------------------------------


def _weights(graph: Graph) -> dict[str, Array]:
    """What the chains Cast, Mul, Add (and Transpose) make of 8-bit numbers, as floats by name; their nodes go."""
    floats = dict(graph.constants)
    rest = []
    for node in graph.nodes:
        if not node.inputs or not all(name in floats for name in node.inputs):
            rest.append(node)
            continue
        given = [floats[name] for name in node.inputs]
        if node.kind == "Cast" and given[0].dtype.itemsize == 1 and node.attributes["to"] == 1:
            made = given[0].astype(np.float32)
        elif node.kind == "Mul" and node.outputs[0].endswith("_mul_tensor"):
            made = given[0] * given[1]
        elif node.kind == "Add" and node.outputs[0].endswith("_add_tensor"):
            made = given[0] + given[1]
        elif node.kind == "Transpose" and given[0].size > 1 << 16:
            made = np.transpose(given[0], node.attributes.get("perm"))
        else:
            rest.append(node)
            continue
        floats[node.outputs[0]] = made
    graph.nodes = rest
    return floats


def _in_eight_bits(graph: Graph, floats: dict[str, Array]) -> Graph:
    """Every product with a constant matrix in 8 bits, a scale for each of its columns."""
    constants: dict[str, Array] = {}
    nodes = []
    for node in graph.nodes:
        weights = floats.get(node.inputs[1]) if node.kind == "MatMul" else None
        if weights is not None and weights.ndim == 2 and weights.size > 1 << 12:
            name = node.inputs[1]
            scale = (np.abs(weights).max(axis=0) / 127).astype(np.float32)
            scale[scale == 0] = 1
            constants[f"{name}/8"] = np.rint(weights / scale).astype(np.int8)
            constants[f"{name}/scale"] = scale
            inputs = [node.inputs[0], f"{name}/8", f"{name}/scale"]
            node = Node("DynamicQuantizeMatMul", inputs, node.outputs, {}, "com.microsoft")
        elif node.kind == "Gather" and (table := floats.get(node.inputs[0])) is not None and table.size > 1 << 16:
            nodes += _looked_up(node, table, constants)
            continue
        else:
            constants |= {name: floats[name] for name in node.inputs if name in floats}
        nodes.append(node)
    return Graph(nodes, constants)


def _looked_up(node: Node, table: Array, constants: dict[str, Array]) -> list[Node]:
    """A row out of a large table, which stays in 8 bits until then; each row has its scale."""
    name, made = node.inputs[0], node.outputs[0]
    scale = (np.abs(table).max(axis=1, keepdims=True) / 127).astype(np.float32)
    scale[scale == 0] = 1
    constants[f"{name}/rows"] = np.rint(table / scale).astype(np.int8)
    constants[f"{name}/rows/scale"] = scale
    return [
        Node("Gather", [f"{name}/rows", node.inputs[1]], [f"{made}/8"], {"axis": 0}),
        Node("Cast", [f"{made}/8"], [f"{made}/float"], {"to": 1}),
        Node("Gather", [f"{name}/rows/scale", node.inputs[1]], [f"{made}/scale"], {"axis": 0}),
        Node("Mul", [f"{made}/float", f"{made}/scale"], [made]),
    ]


def _branches(data: bytes) -> tuple[Graph, Graph]:
    """The decoder's first step, and any later one, each with the constants that they share."""
    whole = _graph(_read(data))
    choice = next(node for node in whole.nodes if node.kind == "If")
    whole.nodes.remove(choice)
    shared = _weights(whole)
    first, later = (_graph(choice.attributes[name]) for name in ("else_branch", "then_branch"))
    for branch in (first, later):
        branch.constants = {**shared, **branch.constants}
    return first, later


def _keys(kind: str, side: str) -> list[str]:
    return [f"{kind}.{layer}.{side}.{part}" for layer in range(LAYERS) for part in ("key", "value")]


def encoder(encoder_data: bytes, decoder_data: bytes) -> bytes:
    """``input_values`` float [1, samples of 16 kHz] → ``present.N.encoder.key/value``, all that the decoder needs."""
    heard = _graph(_read(encoder_data))
    first, _ = _branches(decoder_data)
    keys, values = (
        [f"/model/decoder/layers.{n}/encoder_attn/{part}_proj/MatMul_output_0" for n in range(LAYERS)] for part in "kv"
    )
    first.nodes = [node for node in first.nodes if node.outputs[0] in {*keys, *values}]
    heard = _in_eight_bits(heard, _weights(heard))
    cross = _in_eight_bits(first, first.constants)
    for node in cross.nodes:
        node.inputs[0] = "last_hidden_state"
    constants = heard.constants | cross.constants | {"heads": np.array([0, 0, HEADS, WIDTH], dtype="<i8")}
    outputs = _keys("present", "encoder")
    for made, name in zip((made for pair in zip(keys, values, strict=True) for made in pair), outputs, strict=True):
        cross.nodes.append(Node("Reshape", [made, "heads"], [f"{made}/heads"]))
        cross.nodes.append(Node("Transpose", [f"{made}/heads"], [name], {"perm": [0, 2, 1, 3]}))
    shape: list[int | str] = ["batch", HEADS, "heard", WIDTH]
    return _model(
        Graph(heard.nodes + cross.nodes, constants),
        [("input_values", 1, ["batch", "samples"])],
        [(name, 1, shape) for name in outputs],
    )


def decoder(data: bytes) -> bytes:
    """``input_ids`` int64 [1, 1] and what was kept → ``token`` int64 [1, 1], the likeliest next, and what to keep."""
    _, later = _branches(data)
    graph = _in_eight_bits(later, _weights(later))
    graph.nodes.append(Node("ArgMax", ["logits"], ["token"], {"axis": -1, "keepdims": 0}))
    outputs = _keys("present", "decoder")
    graph.nodes = graph.before(["token", *outputs])
    used = {name for node in graph.nodes for name in node.inputs}
    graph.constants = {name: value for name, value in graph.constants.items() if name in used}
    past: list[int | str] = ["batch", HEADS, "past", WIDTH]
    heard: list[int | str] = ["batch", HEADS, "heard", WIDTH]
    return _model(
        graph,
        [
            ("input_ids", 7, ["batch", "step"]),
            *((name, 1, past) for name in _keys("past_key_values", "decoder")),
            *((name, 1, heard) for name in _keys("past_key_values", "encoder")),
        ],
        [("token", 7, ["batch", "step"]), *((name, 1, past) for name in outputs)],
    )


# --- writing --------------------------------------------------------------------------------------------------------


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
        return out + _varint(2 << 3 | 5) + struct.pack("<f", value) + _whole(20, _FLOAT)
    if isinstance(value, int):
        return out + _whole(3, value) + _whole(20, _INT)
    if isinstance(value, bytes):
        return out + _bytes(4, value) + _whole(20, _STRING)
    if isinstance(value, list):
        return out + b"".join(_whole(8, number) for number in value) + _whole(20, _INTS)
    return out + _bytes(5, _constant("", value)) + _whole(20, _TENSOR)


def _node(node: Node) -> bytes:
    names = b"".join(_bytes(1, name) for name in node.inputs) + b"".join(_bytes(2, name) for name in node.outputs)
    attributes = b"".join(_bytes(5, _attribute(*item)) for item in node.attributes.items())
    return names + _bytes(4, node.kind) + attributes + _bytes(7, node.domain)


def _value(name: str, kind: int, shape: list[int | str]) -> bytes:
    dims = b"".join(_bytes(1, _whole(1, size) if isinstance(size, int) else _bytes(2, size)) for size in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _whole(1, kind) + _bytes(2, dims)))


Value = tuple[str, int, list[int | str]]


def _model(graph: Graph, inputs: list[Value], outputs: list[Value]) -> bytes:
    body = b"".join(_bytes(1, _node(node)) for node in graph.nodes)
    body += _bytes(2, "moonshine")
    body += b"".join(_bytes(5, _constant(*item)) for item in graph.constants.items())
    body += b"".join(_bytes(11, _value(*value)) for value in inputs)
    body += b"".join(_bytes(12, _value(*value)) for value in outputs)
    domains = b"".join(
        _bytes(8, _bytes(1, name) + _whole(2, version)) for name, version in (("", 14), ("com.microsoft", 1))
    )
    return _whole(1, 10) + _bytes(2, "relay.standin") + _bytes(7, body) + domains
