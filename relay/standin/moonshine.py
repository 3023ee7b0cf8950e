"""Moonshine's graphs: read as its maker ships them, in onnxruntime's own format, and written as ONNX in 8 bits.

Reading takes the reader that onnxruntime brings along. Nothing is learnt or measured here: the same bytes always come
out.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import InferenceSession

from relay.standin import graph
from relay.standin.graph import Array, Graph, Node

LAYERS: Final = 8
HEADS: Final = 8
WIDTH: Final = 52  # of a head
MOST: Final = 63  # of a weight: twice 255 * 63 still fits where processors without VNNI add in 16 bits, 127 does not
POSITIONS: Final = 512  # tokens of one text; a quarter of a minute of speech is 100
_DOMAINS: Final = dict.fromkeys(("DynamicQuantizeMatMul", "MultiHeadAttention", "RotaryEmbedding"), "com.microsoft")


def _opened(data: bytes) -> Any:
    return InferenceSession.GetRootAsInferenceSession(data, 0).Model().Graph()


def _tensor(tensor: Any) -> Array:
    kind = graph.NUMPY[tensor.DataType()]
    shape = [tensor.Dims(i) for i in range(tensor.DimsLength())]
    raw = tensor.RawDataAsNumpy().tobytes() if tensor.RawDataLength() else b""
    return np.frombuffer(raw, dtype=kind).reshape(shape)


def _attributes(node: Any) -> Iterator[tuple[str, Any]]:
    for attribute in (node.Attributes(i) for i in range(node.AttributesLength())):
        kind = attribute.Type()
        name = attribute.Name().decode()
        if kind == graph.FLOAT:
            yield name, attribute.F()
        elif kind == graph.INT:
            yield name, attribute.I()
        elif kind == graph.STRING:
            yield name, attribute.S()
        elif kind == graph.TENSOR:
            yield name, _tensor(attribute.T())
        elif kind == graph.INTS:
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
            constants[f"{name}/8"], constants[f"{name}/scale"] = _eight_bits(weights)
            inputs = [node.inputs[0], f"{name}/8", f"{name}/scale"]
            node = Node("DynamicQuantizeMatMul", inputs, node.outputs, {}, _DOMAINS["DynamicQuantizeMatMul"])
        else:
            constants |= {name: floats[name] for name in node.inputs if name in floats}
        nodes.append(node)
    return Graph(nodes, constants)


def _eight_bits(weights: Array) -> tuple[Array, Array]:
    """The same in 8 bits, and the scale of each column."""
    scale = (np.abs(weights).max(axis=0) / MOST).astype(np.float32)
    scale[scale == 0] = 1
    return np.rint(weights / scale).astype(np.int8), scale


def _branches(data: bytes) -> tuple[Graph, Graph]:
    """The decoder's first step, and any later one, each with the constants that they share."""
    whole = _graph(_opened(data))
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
    heard = _graph(_opened(encoder_data))
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
    return graph.model(
        Graph(heard.nodes + cross.nodes, constants),
        [("input_values", 1, ["batch", "samples"])],
        [(name, 1, shape) for name in outputs],
    )


def decoder(data: bytes) -> bytes:
    """One token → the next: ``input_ids`` int64 [1, 1], its ``position`` [1], what was kept of those before and of the
    sound → ``token`` int64 [1, 1], the likeliest next, and what to keep.

    Put together anew from the same weights: the maker's graph reckons with shapes in 1,200 little steps, this in 180.
    """
    _, later = _branches(data)
    floats = _weights(later)
    for node in later.nodes:
        if node.kind == "MatMul" and node.inputs[1] in floats:
            floats[node.outputs[0].removesuffix("/MatMul_output_0").strip("/")] = floats[node.inputs[1]]
    make = _Maker(
        {name.removesuffix("_merged_0").strip("/").replace("/", "."): value for name, value in floats.items()}
    )
    x = make.embedding()
    for layer in range(LAYERS):
        x = make.layer(x, layer)
    x = make.normal(x, "model.decoder.norm")
    make.add("DynamicQuantizeMatMul", [x, "embedding/8", "embedding/scale"], "logits")
    make.add("ArgMax", ["logits"], "token", axis=-1, keepdims=0)
    past: list[int | str] = ["batch", HEADS, "past", WIDTH]
    heard: list[int | str] = ["batch", HEADS, "heard", WIDTH]
    return graph.model(
        make.graph,
        [
            ("input_ids", 7, [1, 1]),
            ("position", 7, [1]),
            *((name, 1, past) for name in _keys("past_key_values", "decoder")),
            *((name, 1, heard) for name in _keys("past_key_values", "encoder")),
        ],
        [("token", 7, [1, 1]), *((name, 1, past) for name in _keys("present", "decoder"))],
    )


class _Maker:
    """A decoder in the making. Every method adds what it is named after, and gives the name of what comes out."""

    def __init__(self, floats: dict[str, Array]) -> None:
        self.graph = Graph([], {})
        self._floats = floats
        slow = floats["model.decoder.rotary_emb.Cast_1_output_0"].reshape(1, -1)
        turns = np.arange(POSITIONS, dtype=np.float32)[:, np.newaxis] * slow
        self._rotary = 2 * slow.size
        self.graph.constants |= {"cos": np.cos(turns), "sin": np.sin(turns)}

    def add(self, kind: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        self.graph.nodes.append(Node(kind, inputs, list(outputs), attributes, _DOMAINS.get(kind, "")))
        return outputs[0]

    def embedding(self) -> str:
        """A column of the matrix that also makes the last product."""
        self._eight("embedding", self._floats["model.decoder.embed_tokens.weight_transposed"])
        self.graph.constants["row"] = np.array([1, 1, -1], dtype="<i8")
        self.add("Gather", ["embedding/8", "input_ids"], "column/8", axis=1)
        self.add("Cast", ["column/8"], "column", to=1)
        self.add("Gather", ["embedding/scale", "input_ids"], "column/scale", axis=0)
        self.add("Mul", ["column", "column/scale"], "column/scaled")
        return self.add("Reshape", ["column/scaled", "row"], "embedded")

    def normal(self, x: str, name: str) -> str:
        self.graph.constants[f"{name}/scale"] = self._floats[f"{name}.weight"]
        return self.add("LayerNormalization", [x, f"{name}/scale"], name, axis=-1, epsilon=1e-5)

    def layer(self, x: str, number: int) -> str:
        name = f"model.decoder.layers.{number}"
        x = self.add("Add", [x, self.itself(self.normal(x, f"{name}.input_layernorm"), name, number)], f"{name}/1")
        other = self.sound(self.normal(x, f"{name}.post_attention_layernorm"), name, number)
        x = self.add("Add", [x, other], f"{name}/2")
        return self.add("Add", [x, self.wide(self.normal(x, f"{name}.final_layernorm"), name)], f"{name}/3")

    def itself(self, x: str, name: str, number: int) -> str:
        """Attention to the tokens before."""
        mine = f"{name}.self_attn"
        q, k, v = self.split(self.product(x, f"{mine}.q_proj", f"{mine}.k_proj", f"{mine}.v_proj"), 3)
        q, k = self.turned(q), self.turned(k)
        past = [f"past_key_values.{number}.decoder.{part}" for part in ("key", "value")]
        present = [f"present.{number}.decoder.{part}" for part in ("key", "value")]
        inputs = [q, k, v, "", "", "", *past]
        return self.product(self.add("MultiHeadAttention", inputs, mine, *present, num_heads=HEADS), f"{mine}.dense")

    def sound(self, x: str, name: str, number: int) -> str:
        """Attention to the sound."""
        mine = f"{name}.encoder_attn"
        heard = [f"past_key_values.{number}.encoder.{part}" for part in ("key", "value")]
        inputs = [self.product(x, f"{mine}.q_proj"), *heard]
        return self.product(self.add("MultiHeadAttention", inputs, mine, num_heads=HEADS), f"{mine}.dense")

    def wide(self, x: str, name: str) -> str:
        value, gate = self.split(self.product(x, f"{name}.mlp.up_proj"), 2)
        gate = self.add("Mul", [gate, self.add("Sigmoid", [gate], f"{gate}/open")], f"{gate}/gate")
        return self.product(self.add("Mul", [gate, value], f"{value}/gated"), f"{name}.mlp.down_proj")

    def turned(self, x: str) -> str:
        inputs = [x, "position", "cos", "sin"]
        more = {"interleaved": 1, "num_heads": HEADS, "rotary_embedding_dim": self._rotary}
        return self.add("RotaryEmbedding", inputs, f"{x}/turned", **more)

    def split(self, x: str, parts: int) -> list[str]:
        names = [f"{x}/{n}" for n in range(parts)]
        self.add("Split", [x], *names, axis=-1)
        return names

    def product(self, x: str, *names: str) -> str:
        """With the weights of one name, or of several side by side, and the bias where there is one."""
        self._eight(names[0], np.concatenate([self._floats[name] for name in names], axis=1))
        inputs = [x, f"{names[0]}/8", f"{names[0]}/scale"]
        if (bias := self._floats.get(f"{names[0]}.bias")) is not None:
            self.graph.constants[f"{names[0]}/bias"] = bias
            inputs += ["", f"{names[0]}/bias"]
        return self.add("DynamicQuantizeMatMul", inputs, f"{names[0]}/product")

    def _eight(self, name: str, weights: Array) -> None:
        self.graph.constants[f"{name}/8"], self.graph.constants[f"{name}/scale"] = _eight_bits(weights)
