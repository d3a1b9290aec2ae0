"""Fuses attention, ``softmax(Q · Kᵀ) · V``, into one kernel. Returns a new graph.

Between the first product and the softmax may be any element-wise operators (scale, masks, `Where`), which become an
expression of a score; behind the softmax may be the guard that PyTorch writes against queries without keys, NaN to
zero. The kernel reads Q, K and V, and writes its result, through strides: transposes, reshapes, slices and constant
factors around them vanish.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tvmopt.pipeline.graph.attention.match import FIRST_OPERAND, Match, Operand, matches
from tvmopt.pipeline.graph.attention.reach import reach_of
from tvmopt.pipeline.graph.ir import ONNX, Editor, Graph, Node
from tvmopt.pipeline.graph.recognize.insert_onnx import add_onnx
from tvmopt.pipeline.graph.views import Axis, Factor, View, merged, through, views_of, whole
from tvmopt.schedules.compute.attention import Place
from tvmopt.schedules.expression import ACC, Const, Expr, call, replace_result
from tvmopt.schedules.workload import Attr


def fuse_attention(graph: Graph) -> Graph:
    """Makes an ``attention`` of every match whose operands are views of one stride for each dimension."""
    found = {match.last.output: match for match in matches(graph)}
    if not found:
        return graph
    editor = Editor(graph)
    fuser = _Fuser(graph, editor)
    absorbed: dict[str, str] = {}
    for node in graph.nodes:
        match = found.get(node.outputs[0])
        made = None if match is None else fuser.fused(match)
        if made is None or match is None:
            editor.add(node)
            continue
        for other in (*match.nodes, *made.behind):
            absorbed.update(dict.fromkeys(other.outputs, made.node.output))
        editor.add(made.node)
    kept = [node for node in editor.nodes if node.op == "attention" or absorbed.keys().isdisjoint(node.outputs)]
    return _with_layers(graph, editor.graph_of(kept), absorbed)


def _with_layers(before: Graph, after: Graph, absorbed: Mapping[str, str]) -> Graph:
    """`after`, with the layers of the nodes that are gone added to the fused node that they led to.

    Args:
        before: the graph before fusing.
        after: the graph after it.
        absorbed: by name of a value, the result of the fused node that computes it, or did not need it.
    """
    made = {name for node in after.nodes for name in node.outputs}
    elsewhere = {layer for node in after.nodes if node.op != "attention" for layer in node.layers}
    owners = dict(absorbed)
    layers: dict[str, list[str]] = {}
    for node in reversed(before.nodes):
        owner = next((owners[name] for name in node.outputs if name in owners), None)
        if owner is None or (absorbed.keys().isdisjoint(node.outputs) and not made.isdisjoint(node.outputs)):
            continue
        layers.setdefault(owner, []).extend(x for x in reversed(node.layers) if x not in elsewhere)
        for name in node.inputs:
            owners.setdefault(name, owner)

    def named(node: Node) -> Node:
        return replace(node, layers=tuple(dict.fromkeys(reversed(layers[node.output]))) or node.layers)

    nodes = (named(node) if node.op == "attention" else node for node in after.nodes)
    return replace(after, nodes=tuple(nodes))


@dataclass(frozen=True, slots=True)
class _Fused:
    """A fused node and the nodes behind the second product that it stands for."""

    node: Node
    behind: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class _Matrices:
    """A view as matrices: factors of the batch dimensions, strides of a row and of a column."""

    view: View
    batch: Axis
    row: int
    column: int


class _Fuser:
    """Finds views and makes nodes; remembers the masks that it has transposed."""

    def __init__(self, graph: Graph, editor: Editor) -> None:
        self.graph, self.editor = graph, editor
        self.producers = graph.producers()
        self.readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)
        self.uses = graph.uses()
        self.masks: dict[tuple[str, bool], str] = {}

    def fused(self, match: Match) -> _Fused | None:
        """The node that computes `match`; None if an operand has no strides that the kernel can follow."""
        graph = self.graph
        batch = graph.tensor(match.scores).shape[:-2]
        (queries, depth), width = graph.tensor(match.query).shape[-2:], graph.tensor(match.value).shape[-1]
        keys = graph.tensor(match.value).shape[-2]
        query = self._matrices(match.query, (*batch, queries, depth))
        # K comes transposed.
        key = self._matrices(match.key, (*batch, depth, keys), swapped=True)
        apart = graph.tensor(match.last.output).shape[:-2]
        value = self._matrices(match.value, (*apart, keys, width), contiguous=True)
        result, behind = self._result(match, (*apart, queries, width))
        operands = [self._operand(operand) for operand in match.operands]
        if query is None or key is None or value is None or any(operand is None for operand in operands):
            return None
        present = [query, key, value, *(operand for operand in operands if operand is not None)]
        sizes, strides = _aligned([*(one.batch for one in present), result.batch])
        places = [
            Place(one.view.start, steps, one.row, one.column).numbers()
            for one, steps in zip([*present, result], strides, strict=True)
        ]
        numbers = [number for place in places[3:-1] for number in place]
        attrs: dict[str, Attr] = {
            "batch": sizes,
            "queries": queries,
            "keys": keys,
            "depth": depth,
            "width": width,
            "query": places[0],
            "key": places[1],
            "value": places[2],
            "result": places[-1],
            "operands": tuple(numbers),
            "guard": int(match.guard),
        }
        reach = self._reach(match, queries, keys)
        if reach is not None:
            attrs["reach"] = reach
        inner = _scaled(match.inner, query.view.scale * key.view.scale)
        inputs = tuple(one.view.value for one in present)
        layers = tuple(dict.fromkeys(layer for node in (*match.nodes, *behind) for layer in node.layers))
        output = behind[-1].output if behind else match.last.output
        return _Fused(Node("attention", inputs, (output,), layers, attrs, ACC, inner=inner), behind)

    def _reach(self, match: Match, queries: int, keys: int) -> int | None:
        constants = {FIRST_OPERAND + i: self.graph.constants.get(x.value) for i, x in enumerate(match.operands)}
        return reach_of(match.inner, constants, queries, keys)

    def _matrices(
        self, name: str, shape: Sequence[int], swapped: bool = False, contiguous: bool = False
    ) -> _Matrices | None:
        """`name`, broadcast to `shape`, as matrices in the earliest value where each dimension has one stride."""
        for view in views_of(self.graph, self.producers, name):
            if contiguous and view.scale != 1.0:
                continue
            made = _as_matrices(view.expanded(shape), swapped)
            if made is not None and (not contiguous or made.column == 1 or shape[-1] == 1):
                return made
        return None

    def _result(self, match: Match, shape: Sequence[int]) -> tuple[_Matrices, tuple[Node, ...]]:
        """Where the result goes, as matrices in the last value that only moves it, and the nodes on the way there."""
        name = match.last.output
        view: View | None = whole(self.graph, name)
        assert view is not None
        best = _as_matrices(view)
        assert best is not None
        behind: list[Node] = []
        taken: tuple[Node, ...] = ()
        while self.uses[name] == 1 and name in self.readers:
            node = self.readers[name][0]
            moves = node.op == "reshape" or (node.op == ONNX and node.kind == "Transpose")
            view = through(self.graph, node, view, node.output) if moves else None
            if view is None:
                break
            behind.append(node)
            name = node.output
            back = view.inverse(shape)
            made = None if back is None else _as_matrices(back)
            if made is not None and (made.column == 1 or shape[-1] == 1):
                best, taken = made, tuple(behind)
        return best, taken

    def _operand(self, operand: Operand) -> _Matrices | None:
        """An operand of a score as matrices of keys × queries, with queries next to each other or repeated."""
        shape = operand.shape
        for view in views_of(self.graph, self.producers, operand.value):
            made = _as_matrices(view.expanded(shape), swapped=True) if not operand.truth else None
            if made is not None and made.column in (0, 1) and view.scale == 1.0:
                return made
        name = self._transposed(operand)
        array = self.editor.constants.get(name)
        sizes = self.editor.values[name].shape if array is None else array.shape
        strides = [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
        view = View(name, 0, tuple(((size, stride),) for size, stride in zip(sizes, strides, strict=True)))
        return _as_matrices(view.expanded((*shape[:-2], shape[-1], shape[-2])))

    def _transposed(self, operand: Operand) -> str:
        """`operand` with its last two axes exchanged, and as numbers if it is a condition."""
        key = (operand.value, operand.truth)
        if key not in self.masks:
            self.masks[key] = self._new_mask(operand)
        return self.masks[key]

    def _new_mask(self, operand: Operand) -> str:
        name, editor = operand.value, self.editor
        if name in self.graph.constants:
            array = np.atleast_2d(self.graph.constants[name]).swapaxes(-1, -2).astype(np.float32)
            return editor.constant(f"{name}_by_key", np.ascontiguousarray(array))
        tensor = self.graph.tensor(name)
        producer = self.producers.get(name)
        owner = Node("reshape", (name,), (name,), producer.layers if producer is not None else (name,))
        if operand.truth:
            made = editor.value(f"{name}_as_number", replace(tensor, dtype="float32"))
            add_onnx(editor, owner, "Cast", (name,), made, to=1)
            name = made
        if len(tensor.shape) < 2:
            shape = (1,) * (2 - len(tensor.shape)) + tensor.shape
            made = editor.value(f"{name}_row", replace(tensor, shape=shape, dtype="float32"))
            editor.add(Node("reshape", (name,), (made,), owner.layers))
            name, tensor = made, replace(tensor, shape=shape)
        order = list(range(len(tensor.shape)))
        order[-2:] = order[:-3:-1]
        shape = tuple(tensor.shape[axis] for axis in order)
        made = editor.value(f"{operand.value}_by_key", replace(tensor, shape=shape, dtype="float32"))
        add_onnx(editor, owner, "Transpose", (name,), made, perm=order)
        return made


def _scaled(inner: Expr, factor: float) -> Expr:
    """`inner` of a score times `factor`."""
    if factor == 1.0:
        return inner
    return replace_result(inner, call("mul", ACC, Const(factor)))


def _as_matrices(view: View, swapped: bool = False) -> _Matrices | None:
    """`view` as matrices, or with `swapped` as their transposes; None if a row or a column has several strides."""
    rows, columns = (merged(axis) for axis in view.axes[-2:])
    if len(rows) > 1 or len(columns) > 1:
        return None
    row, column = (axis[0][1] if axis else 0 for axis in (rows, columns))
    batch = merged([factor for axis in view.axes[:-2] for factor in axis])
    return _Matrices(view, batch, *((column, row) if swapped else (row, column)))


def _aligned(batches: Sequence[Axis]) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Sizes of batch dimensions, and for each operand their strides."""
    left = [list(batch) for batch in batches]
    sizes: list[int] = []
    strides: list[list[int]] = [[] for _ in batches]
    while any(left):
        size = math.gcd(*(_innermost(factors) for factors in left))
        size = size if size > 1 else min(_innermost(factors) for factors in left)
        for own, factors in zip(strides, left, strict=True):
            length, stride = factors.pop()
            own.insert(0, stride)
            if length > size:
                factors.append((length // size, stride * size))
        sizes.insert(0, size)
    return _joined(tuple(sizes), [tuple(own) for own in strides])


def _innermost(factors: Sequence[Factor]) -> int:
    return factors[-1][0]


def _joined(sizes: tuple[int, ...], strides: list[tuple[int, ...]]) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Neighbouring dimensions that every operand could see as one, as one."""
    place = 0
    while place + 1 < len(sizes):
        if all(own[place] == sizes[place + 1] * own[place + 1] for own in strides):
            sizes = (*sizes[:place], sizes[place] * sizes[place + 1], *sizes[place + 2 :])
            strides = [(*own[:place], *own[place + 1 :]) for own in strides]
        else:
            place += 1
    return sizes, strides
