"""Splits, joins and shuffles of channels of maps in blocks, by the channels that they choose. Returns a new graph.

1. A part of a map that begins and ends with blocks is later read where it is (`pipeline.compiler.slice_in_place`).
2. Joining such parts again, as YOLO's blocks do, is joining the maps themselves, which are then computed in place.
3. Everything else, as ShuffleNet's shuffles or joints inside a block, is one copy from the maps that were computed,
   through whatever choices lie between: parts that only pass through a block are never written.

This comes after fusion and before `find_copies`, to which it leaves what is not kept in blocks.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import ONNX, Array, Editor, Graph, Node, rewrite
from tvmopt.pipeline.graph.passes.find_copies import MOVES
from tvmopt.pipeline.graph.recognize.insert_onnx import add_onnx
from tvmopt.pipeline.graph.strides import StridedView
from tvmopt.schedules.llvm.memory_bound.pointwise import MAP_TYPES
from tvmopt.schedules.operators import Layout
from tvmopt.schedules.target import Target

MAX_SOURCES = 8
"""Maps that a choice is made from at most; one through more begins with an earlier choice."""

Channel = tuple[str, int]
"""A channel of a value."""


def choose_channels(graph: Graph, target: Target) -> Graph:
    """Makes ``channels`` of operators that only move channels of maps, where a kernel wants the result in blocks."""
    return rewrite(graph, _Chooser(graph, target).rule)


@dataclass(slots=True)
class _Chooser:
    """Follows channels through the graph."""

    graph: Graph
    target: Target
    blocked: set[str] = field(init=False)
    wanted: set[str] = field(init=False)
    chosen: dict[str, tuple[Channel, ...]] = field(default_factory=dict)
    joined: dict[str, tuple[Channel, ...]] = field(default_factory=dict)
    layers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    views: dict[str, StridedView] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.blocked = _in_blocks(self.graph)
        self.wanted = _wanted_in_blocks(self.graph, self.blocked)

    def rule(self, editor: Editor, node: Node) -> bool:
        if not node.inputs or not self.wanted.intersection(node.outputs):
            return False
        if _joins(self.graph, node):
            return self._join(editor, node)
        source = node.inputs[0]
        if source in editor.constants or source not in editor.values:
            return False
        if node.op == ONNX and node.kind in ("Split", "Slice", "Gather") and self._is_map(editor, source):
            return self._part(editor, node)
        self._follow(editor, node)
        view = self.views.get(source) if node.op == "reshape" else None
        numbers = (
            None if view is None else _merged(view, editor.values[view.source].shape, editor.values[node.output].shape)
        )
        if view is None or numbers is None:
            return False
        self.layers[node.output] = (*self.layers.get(source, ()), *node.layers)
        self._choose(editor, node, [self._source(editor, view.source)[number] for number in numbers])
        return True

    def _is_map(self, editor: Editor, name: str) -> bool:
        tensor = editor.values[name]
        return name in self.blocked and len(tensor.shape) == 4 and tensor.dtype in MAP_TYPES

    def _follow(self, editor: Editor, node: Node) -> None:
        """Notes what is a view of a map."""
        source, shape = node.inputs[0], editor.values[node.inputs[0]].shape
        moves = node.op == ONNX and node.kind == "Transpose"
        if not (moves or node.op == "reshape"):
            return
        view = self.views.get(source)
        if view is None and self._is_map(editor, source):
            view = StridedView.whole(source, shape)
        if view is None:
            return
        made = (
            StridedView(view.source, view.elements.transpose(attributes(node).get("perm")))
            if moves
            else view.reshaped(editor.values[node.output].shape)
        )
        if made is not None:
            self.views[node.output] = made
            self.layers[node.output] = (*self.layers.get(source, ()), *node.layers)

    def _part(self, editor: Editor, node: Node) -> bool:
        """Outputs that have some of the channels of the first input."""
        source = node.inputs[0]
        numbers = self._numbers(editor, node)
        if numbers is None:
            return False
        channels = self._source(editor, source)
        for output, picked in zip(node.outputs, numbers, strict=True):
            if output in self.wanted:
                self.layers[output] = (*self.layers.get(source, ()), *node.layers)
                one = Node(node.op, node.inputs, (output,), self.layers[output])
                self._choose(editor, one, [channels[number] for number in picked])
            else:
                self._slice(editor, node, output, picked)
        return True

    def _slice(self, editor: Editor, node: Node, output: str, numbers: list[int]) -> None:
        """An output that nothing wants in blocks."""
        if node.kind != "Split":
            editor.add(node)
            return
        bounds = {"starts": numbers[0], "ends": numbers[-1] + 1, "axes": 1}
        names = [editor.constant(f"{output}_{what}", np.array([number], np.int64)) for what, number in bounds.items()]
        add_onnx(editor, node, "Slice", (node.inputs[0], *names), output)

    def _numbers(self, editor: Editor, node: Node) -> list[list[int]] | None:
        """The numbers of the channels in each output; None for an operator that does something else."""
        shape = editor.values[node.inputs[0]].shape
        if node.kind == "Gather":
            places: Array | None = editor.constants.get(node.inputs[1])
            if int(attributes(node).get("axis", 0)) % 4 != 1 or places is None or places.ndim != 1 or not places.size:
                return None
            inside = bool(((places >= -shape[1]) & (places < shape[1])).all())
            return [[int(place) % shape[1] for place in places]] if inside else None
        whole = StridedView.whole(node.inputs[0], shape)
        parts = MOVES[node.kind](self.graph, node, whole.elements)
        if parts is None:
            return None
        found = [
            _merged(StridedView(node.inputs[0], part), shape, editor.values[output].shape)
            for part, output in zip(parts, node.outputs, strict=True)
        ]
        made = [numbers for numbers in found if numbers]
        return made if len(made) == len(found) else None

    def _join(self, editor: Editor, node: Node) -> bool:
        tensors = [editor.values.get(name) for name in node.inputs]
        if any(tensor is None or tensor.dtype not in MAP_TYPES for tensor in tensors):
            return False
        if not self.blocked.intersection(node.inputs):
            return False
        block = self.target.channel_block(editor.values[node.output].dtype)
        aligned = all(tensor is not None and tensor.shape[1] % block == 0 for tensor in tensors[:-1])
        if aligned and not any(name in self.chosen for name in node.inputs):
            # As it is; but what is chosen from it may come from its parts.
            self.joined[node.output] = self._parts(editor, node)
            self.layers[node.output] = node.layers
            return False
        self.layers[node.output] = tuple(
            dict.fromkeys((*(layer for name in node.inputs for layer in self.layers.get(name, ())), *node.layers))
        )
        self._choose(editor, node, list(self._parts(editor, node)))
        return True

    def _parts(self, editor: Editor, node: Node) -> tuple[Channel, ...]:
        known = (self.chosen.get(name) for name in node.inputs)
        parts = (self._all(editor, name, one) for name, one in zip(node.inputs, known, strict=True))
        return tuple(itertools.chain.from_iterable(parts))

    def _source(self, editor: Editor, name: str) -> tuple[Channel, ...]:
        """The channels of a value, as channels of what is computed and joined."""
        return self._all(editor, name, self.chosen.get(name, self.joined.get(name)))

    def _all(self, editor: Editor, name: str, known: tuple[Channel, ...] | None) -> tuple[Channel, ...]:
        if known is not None and len({source for source, _ in known}) <= MAX_SOURCES:
            return known
        return tuple((name, channel) for channel in range(editor.values[name].shape[1]))

    def _choose(self, editor: Editor, node: Node, channels: list[Channel]) -> None:
        """Adds what makes the node's only output of these channels."""
        self.chosen[node.output] = tuple(channels)
        sources = tuple(dict.fromkeys(source for source, _ in channels))
        sizes = [editor.values[source].shape[1] for source in sources]
        layers = tuple(dict.fromkeys(self.layers[node.output]))
        block = self.target.channel_block(editor.values[node.output].dtype)
        everything = [(source, i) for source, size in zip(sources, sizes, strict=True) for i in range(size)]
        if channels == everything and len(sources) == 1 and node.output not in self.graph.outputs:
            editor.rename(node.output, sources[0])
        elif channels == everything and len(sources) > 1 and all(size % block == 0 for size in sizes[:-1]):
            editor.add(Node("concat", sources, node.outputs, layers))
        else:
            firsts = dict(zip(sources, itertools.accumulate(sizes, initial=0), strict=False))
            numbers = tuple(firsts[source] + channel for source, channel in channels)
            editor.add(Node("channels", sources, node.outputs, layers, {"channels": numbers}))


def _joins(graph: Graph, node: Node) -> bool:
    """Whether a node joins maps along their channels."""
    return node.op == "concat" and len(graph.tensor(node.output).shape) == 4 and node.attrs.get("axis", 1) == 1


def _merged(view: StridedView, shape: tuple[int, ...], made: tuple[int, ...]) -> list[int] | None:
    """The channels of a map of `shape` that a view of it has, in order, if it has whole maps; else None.

    Args:
        view: ``(images, …, rows, columns)``.
        shape: of the map.
        made: the shape of the result: ``(images, channels, rows, columns)``.
    """
    elements = view.elements
    n, _, rows, columns = shape
    ends = (elements.shape[0], *elements.shape[-2:])
    if elements.ndim < 4 or ends != (n, rows, columns) or (made[0], *made[2:]) != ends:
        return None
    plain = StridedView.whole(view.source, shape).elements.strides
    pairs = (
        (n, elements.strides[0], plain[0]),
        (rows, elements.strides[-2], plain[2]),
        (columns, elements.strides[-1], 1),
    )
    if any(size > 1 and have != want for size, have, want in pairs):
        return None
    offset = view.attrs()["offset"]
    assert isinstance(offset, int)
    first, rest = divmod(offset, rows * columns)
    steps = elements.strides[1:-2]
    if rest or first >= shape[1] or any(step % (rows * columns) for step in steps):
        return None
    counts = [range(size) for size in elements.shape[1:-2]]
    places = itertools.product(*counts)
    steps = tuple(step // (rows * columns) for step in steps)
    return [first + sum(i * step for i, step in zip(place, steps, strict=True)) for place in places]


def _moves(node: Node) -> bool:
    """Whether a node only moves elements of its first input."""
    return node.op == "reshape" or (node.op == ONNX and node.kind in (*MOVES, "Gather"))


def _in_blocks(graph: Graph) -> set[str]:
    """The values that will be kept in blocks, and those that only move their channels."""
    found = set[str]()
    for node in graph.nodes:
        layout, reads = node.operator.layout, found.intersection(node.inputs)
        follows = layout is Layout.FOLLOWS or _moves(node)
        if layout is Layout.BLOCKED or (follows and reads):
            found.update(node.outputs)
    return found


def _wanted_in_blocks(graph: Graph, blocked: set[str]) -> set[str]:
    """The values that some kernel reads in blocks, maybe through movements."""
    found = set[str]()
    for node in reversed(graph.nodes):
        layout = node.operator.layout
        moves = node.op == "concat" or _moves(node)
        follows = not moves and layout is Layout.FOLLOWS and blocked.intersection(node.inputs)
        if layout is Layout.BLOCKED or follows or (moves and found.intersection(node.outputs)):
            found.update(name for name in node.inputs if name in graph.values)
    return found
