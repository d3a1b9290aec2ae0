"""Decides the layout of every feature map, once, for the whole graph. Returns a new graph.

1. Convolutions, pooling and the element-wise operators between them keep feature maps in the target's blocks of
   channels (NCHW16c of float32 for AVX-512). The first convolution reads few channels in plain order.
2. A map that a convolution or average pooling pads is stored with a halo of zeros, written by the kernel that makes
   the map: there is no padding step, and no inner loop checks for the border.
3. Maps that are concatenated have the halo of the result, so that they can be computed in its memory
   (`pipeline.compiler.concat_in_place`), and parts of maps have the halo of the whole, so that they can be read there
   (`pipeline.compiler.slice_in_place`).
4. A ``relayout`` is inserted only where layouts differ.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tvmopt.pipeline.graph.ir import ONNX, Editor, Graph, Node, Origin, without_dead_code
from tvmopt.pipeline.graph.passes.fuse_epilogue import broadcasts
from tvmopt.pipeline.graph.strides import through_blocks
from tvmopt.schedules.compute.functions import ONE_BY_ONE, QUANTIZED, finite_at_zero
from tvmopt.schedules.compute.phases import phases_of
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.expression import functions_of, tables_of
from tvmopt.schedules.llvm.depthwise.integer_quads import quads_of
from tvmopt.schedules.llvm.maps.channels import is_part
from tvmopt.schedules.llvm.memory_bound.copied import MOVED
from tvmopt.schedules.llvm.parts.quads import QUAD
from tvmopt.schedules.operators import (
    CHANNELS,
    CONCAT,
    CONV3D,
    COPY,
    DEPTH_TO_SPACE,
    INTEGER_CONV2D,
    INTEGER_DEPTHWISE_CONV2D,
    MAP_NORM,
    POINTWISE,
    TRANSPOSED_CONV2D,
    Layout,
)
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor

Halo = tuple[int, int, int, int]
NO_HALO: Halo = (0, 0, 0, 0)
WIDE = 4
"""A halo this many times as large as its map, halo included, is for one reader."""
PLAIN_CHANNELS = 4
"""A convolution reads up to this many channels in plain order, if they are in plain order already."""


def plan_layout(graph: Graph, target: Target) -> Graph:
    """Gives every value its layout.

    Args:
        graph: recognised and fused.
        target: sets how many channels make a block.
    """
    blocked = _blocked_nodes(graph, target)
    halos = _halos(graph, blocked)
    _share(graph, target, blocked, halos)
    return _Planner(graph, target, blocked, halos).run()


def needed_halo(node: Node, data: Tensor, output: Tensor, kernel: tuple[int, int]) -> Halo:
    """The rows and columns that the windows of `node` reach beyond its input (top, left, bottom, right)."""
    pads, strides = node.attrs["pads"], node.attrs["strides"]
    dilations = node.attrs.get("dilations", (1, 1))
    assert isinstance(pads, tuple)
    assert isinstance(strides, tuple)
    assert isinstance(dilations, tuple)
    if node.op == TRANSPOSED_CONV2D.name:
        phases = [phases_of(kernel[i], strides[i], dilations[i], pads[i]) for i in range(2)]
        (top, bottom), (left, right) = (phases[i].reach(output.shape[2 + i], data.shape[2 + i]) for i in range(2))
        return (top, left, bottom, right)
    reach = [(output.shape[2 + i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 for i in range(2)]
    bottom, right = (max(0, reach[i] - pads[i] - data.shape[2 + i]) for i in range(2))
    return (pads[0], pads[1], bottom, right)


def _kernel_of(graph: Graph, node: Node) -> tuple[int, int] | None:
    """The window of a node that needs a halo, else None. A maximum clamps its window and needs none."""
    if node.op == CONV3D.name:
        shape, depth = graph.tensor(node.inputs[1]).shape, node.attrs["depth"]
        assert isinstance(depth, tuple)
        return (shape[2] // depth[0], shape[3])
    if node.operator.convolution:
        shape = graph.tensor(node.inputs[1]).shape
        # Whole quads of pixels are read.
        columns = quads_of(shape[3]) * QUAD if node.operator is INTEGER_DEPTHWISE_CONV2D else shape[3]
        return (shape[2], columns)
    if node.op == "pool2d" and node.attrs["kind"] == "average":
        kernel = node.attrs["kernel"]
        assert isinstance(kernel, tuple)
        return (kernel[0], kernel[1])
    return None


def _blocked_nodes(graph: Graph, target: Target) -> set[int]:
    """Ids of the nodes whose output is kept in blocks."""
    blocked: set[int] = set()
    in_blocks: set[str] = set()
    for node in graph.nodes:
        take = node.operator.layout is Layout.BLOCKED
        if node.operator.layout is Layout.FOLLOWS:
            take = any(name in in_blocks for name in node.inputs) and _can_block(graph, node, target)
        if take:
            blocked.add(id(node))
            in_blocks.add(node.output)
    return blocked


def _can_block(graph: Graph, node: Node, target: Target) -> bool:
    """Whether the kernel of a node could read and write maps in blocks."""
    output = graph.tensor(node.output)
    if node.operator is CONCAT:
        block = target.channel_block(output.dtype)
        return (
            node.attrs.get("axis", 1) == 1
            and len(output.shape) == 4
            and all(graph.tensor(name).shape[1] % block == 0 for name in node.inputs[:-1])
        )
    assert node.operator in (POINTWISE, MAP_NORM)
    tables = tables_of(node.epilogue)
    names = [name for i, name in enumerate(node.inputs) if i not in tables]
    tensors = [graph.tensor(name) for name in names]
    types = (FLOAT32, QUANTIZED) if node.operator is POINTWISE else (FLOAT32,)
    if len(output.shape) != 4 or any(tensor.dtype not in types for tensor in (*tensors, output)):
        return False
    if functions_of(node.epilogue) & ONE_BY_ONE:
        return False
    # In the padding of the last block operands are zero; a result that is not finite there would spread.
    if output.shape[1] % target.channel_block(output.dtype) and not finite_at_zero(node.epilogue):
        return False
    for name, tensor in zip(names, tensors, strict=True):
        if tensor.elements > 1 and not broadcasts(tensor, output):
            return False
        if tensor.elements > 1 and len(tensor.shape) != 4 and name not in graph.constants:
            return False
    return True


def _halos(graph: Graph, blocked: set[int]) -> dict[str, Halo]:
    """For each value the largest halo that any reader needs; operands of a concatenation get the halo of its result.

    A halo of more than `WIDE` times the map is only for the reader that needs it: the others would read across it.
    """
    halos: dict[str, Halo] = {}
    uses = graph.uses()

    def widen(name: str, need: Halo) -> None:
        top, left, bottom, right = (max(pair) for pair in zip(halos.get(name, NO_HALO), need, strict=True))
        halos[name] = (top, left, bottom, right)

    for node in reversed(graph.nodes):
        kernel = _kernel_of(graph, node)
        if kernel is not None:
            name = node.inputs[0]
            need = needed_halo(node, graph.tensor(name), graph.tensor(node.output), kernel)
            if uses[name] == 1 or not _is_wide(graph.tensor(name), need):
                widen(name, need)
        elif node.op == "concat" and id(node) in blocked and node.output not in graph.outputs:
            for name in node.inputs:
                widen(name, halos.get(node.output, NO_HALO))
    return halos


def _share(graph: Graph, target: Target, blocked: set[int], halos: dict[str, Halo]) -> None:
    """Gives maps that could share memory the largest halo of any: single images, joined or parts of each other."""
    groups: dict[str, set[str]] = {}
    for node in graph.nodes:
        if node.operator not in (CHANNELS, CONCAT):
            continue
        if node.output in graph.outputs or graph.tensor(node.output).shape[0] != 1:
            continue
        if node.operator is CHANNELS:
            shape, channels = graph.tensor(node.inputs[0]).shape, node.attrs["channels"]
            assert isinstance(channels, tuple)
            block = target.channel_block(graph.tensor(node.output).dtype)
            shares = len(node.inputs) == 1 and is_part(channels, shape[1], block)
        else:
            shares = id(node) in blocked
        if shares and not any(name in graph.outputs or name in graph.inputs for name in node.inputs):
            joined = set[str]().union(*(groups.get(name, {name}) for name in (*node.inputs, *node.outputs)))
            groups.update((name, joined) for name in joined)
    for group in groups.values():
        top, left, bottom, right = (max(sides) for sides in zip(*(halos.get(x, NO_HALO) for x in group), strict=True))
        halo = (top, left, bottom, right)
        if not any(_is_wide(graph.tensor(name), halo) for name in group):
            halos.update((name, halo) for name in group)


def _is_wide(tensor: Tensor, halo: Halo) -> bool:
    """Whether a map with this halo takes more than `WIDE` times its own memory."""
    rows, columns = tensor.shape[2] + halo[0] + halo[2], tensor.shape[3] + halo[1] + halo[3]
    return rows * columns > WIDE * tensor.shape[2] * tensor.shape[3]


class _Planner:
    """Walks the graph in order and inserts a relayout where a reader needs another layout."""

    def __init__(self, graph: Graph, target: Target, blocked: set[int], halos: dict[str, Halo]) -> None:
        self.graph, self.target, self.blocked, self.halos = graph, target, blocked, halos
        self.editor = Editor(graph)
        self.copies: dict[tuple[str, int, Halo], str] = {}
        self.producers = graph.producers()

    def run(self) -> Graph:
        for node in self.graph.nodes:
            if node.op == "concat" and id(node) not in self.blocked:
                copied = self.graph.tensor(node.output).dtype in MOVED
                self._add(node if copied else _as_onnx_concat(node), self._plain_inputs(node))
            elif id(node) in self.blocked:
                self._blocked(node)
            elif node.operator is COPY:
                self._copy(node)
            elif node.op == DEPTH_TO_SPACE.name or (node.op == "reshape" and self._same_memory(node.inputs[0])):
                self._add(node, node.inputs)
            else:
                self._add(node, self._plain_inputs(node))
        outputs = tuple(self._plain(name) for name in self.graph.outputs)
        graph = replace(
            self.graph,
            nodes=tuple(self.editor.nodes),
            values=self.editor.values,
            constants=self.editor.constants,
            outputs=outputs,
            origins=self.editor.origins,
        )
        return without_dead_code(graph)

    def _add(self, node: Node, inputs: tuple[str, ...]) -> None:
        self.editor.nodes.append(replace(node, inputs=inputs))

    def _copy(self, node: Node) -> None:
        """A copy reads maps in blocks where they are, if strides can express it; also a map that was reshaped first."""
        name = node.inputs[0]
        while (before := self.producers.get(name)) is not None and before.op == "reshape":
            name = before.inputs[0]
        tensor = self.editor.values.get(name)
        if tensor is not None and not tensor.plain:
            attrs = through_blocks(dict(node.attrs), tensor)
            if attrs is not None:
                self._add(replace(node, attrs=attrs), (name,))
                return
        self._add(node, self._plain_inputs(node))

    def _blocked(self, node: Node) -> None:
        inputs = [self._operand(node, i, name) for i, name in enumerate(node.inputs)]
        tensor = self.editor.values[node.output]
        halo = self.halos.get(node.output, NO_HALO)
        if node.output in self.graph.outputs:
            halo = NO_HALO
        self.editor.values[node.output] = replace(tensor, block=self.target.channel_block(tensor.dtype), halo=halo)
        self._add(node, tuple(inputs))

    def _operand(self, node: Node, index: int, name: str) -> str:
        if name in self.graph.constants:
            return self._constant(node, index, name)
        tensor = self.editor.values[name]
        block = self.target.channel_block(tensor.dtype)
        kernel = _kernel_of(self.graph, node) if index == 0 else None
        if kernel is None:
            if len(tensor.shape) != 4:
                return name
            # One number broadcasts in an expression; as an operator's own operand it is a map like any other.
            own = index < node.operator.own(len(node.inputs))
            if not own and (tensor.elements == 1 or (tensor.shape[1] == 1 and index > 0)):
                return name
            if tensor.block == block:
                return name
            shares = node.operator in (CONCAT, CHANNELS)
            return self._layout(name, block, self.halos.get(name, NO_HALO) if shares else NO_HALO)
        need = needed_halo(node, tensor, self.graph.tensor(node.output), kernel)
        few = tensor.block == 1 and tensor.shape[1] <= PLAIN_CHANNELS
        if node.operator.plain_data and few and node.attrs["groups"] == 1:
            block = 1
        if node.operator is INTEGER_CONV2D and few and node.attrs["groups"] == 1:
            block = QUAD
        enough = all(have >= want for have, want in zip(tensor.halo, need, strict=True))
        if tensor.block == block and enough:
            return name
        halo = self.halos.get(name, need)
        return self._layout(name, block, need if _is_wide(tensor, need) else halo)

    def _constant(self, node: Node, index: int, name: str) -> str:
        """Gives an epilogue's operand rank 4, so that it is blocked like the map; others stay as they are."""
        array = self.graph.constants[name]
        if index < node.operator.own(len(node.inputs)) or array.size == 1 or index in tables_of(node.epilogue):
            return name
        shape = (1,) * (4 - array.ndim) + array.shape
        made = self.editor.constant(f"{name}_map", np.ascontiguousarray(array.reshape(shape)))
        return made

    def _layout(self, name: str, block: int, halo: Halo) -> str:
        tensor = self.editor.values[name]
        if (tensor.block, tensor.halo) == (block, halo):
            return name
        key = (name, block, halo)
        if key not in self.copies:
            made = replace(tensor, block=block, halo=halo)
            copy = self.editor.value(f"{name}_layout", made, Origin(name, "layout"))
            producer = self.producers.get(name)
            layers = producer.layers if producer is not None else (name,)
            self.editor.nodes.append(Node("relayout", (name,), (copy,), layers))
            self.copies[key] = copy
        return self.copies[key]

    def _plain(self, name: str) -> str:
        tensor = self.editor.values.get(name)
        if tensor is None or tensor.plain:
            return name
        if self._same_memory(name):
            return self._reshaped(name)
        return self._layout(name, 1, NO_HALO)

    def _reshaped(self, name: str) -> str:
        key = (name, 0, NO_HALO)
        if key not in self.copies:
            tensor = replace(self.editor.values[name], block=1)
            self.copies[key] = self.editor.value(f"{name}_plain", tensor)
            producer = self.producers[name]
            self.editor.nodes.append(Node("reshape", (name,), (self.copies[key],), producer.layers))
        return self.copies[key]

    def _same_memory(self, name: str) -> bool:
        """Whether the value is in plain order in memory: no halo, and one pixel per map or one channel per block."""
        tensor = self.editor.values.get(name)
        if tensor is None or tensor.plain:
            return True
        if any(tensor.halo):
            return False
        return tensor.shape[2] * tensor.shape[3] == 1 and tensor.shape[1] % tensor.block == 0

    def _plain_inputs(self, node: Node) -> tuple[str, ...]:
        return tuple(self._plain(name) if name else name for name in node.inputs)


def _as_onnx_concat(node: Node) -> Node:
    import onnx

    proto = onnx.helper.make_node("Concat", list(node.inputs), list(node.outputs), name=node.layers[0], axis=1)
    return replace(node, op=ONNX, proto=proto)
