"""Puts a check before every layer whose addresses or integer divisors depend on data. Returns a new graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import ONNX, Array, Editor, Graph, Node, rewrite
from tvmopt.schedules.operators import BOUNDS
from tvmopt.schedules.workload import Attr


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the indices of a layer must keep to.

    Attributes:
        place: which input has the indices.
        limits: the first index that is too large: one for all, or one for each place along the last dimension.
        wraps: whether negative indices count from the end.
        words: what the limits are, for error messages.
    """

    place: int
    limits: tuple[int, ...]
    wraps: bool
    words: str

    def hold(self, indices: Array) -> bool:
        """Whether all of `indices` are within the bounds."""
        limits = np.array(self.limits, np.int64)
        lowest = -limits if self.wraps else np.zeros_like(limits)
        values = indices.astype(np.int64).reshape(-1, len(self.limits))
        return bool(np.all((values >= lowest) & (values < limits)))

    def message(self, node: Node) -> str:
        """Says which layer got an index that is out of bounds, and what the bounds are."""
        return f"layer {node.layers[0]!r} ({node.kind}): an index is out of range; {self.words}"


def guard_indices(graph: Graph) -> Graph:
    """Makes the layers that read or write where indices point read checked copies of these indices.

    The check ends the run if an index is out of range, and turns negative indices into positive ones. Divisors of
    integers are checked likewise: the processor would end the process at a zero.

    Raises:
        UnsupportedModelError: constant indices are out of range, or a constant divisor is zero; names the layer.
    """
    made: dict[tuple[str, tuple[int, ...], bool], str] = {}

    def rule(editor: Editor, node: Node) -> bool:
        guarded = node
        for bounds in bounds_of(editor.graph, node):
            name = node.inputs[bounds.place]
            if check_constant(editor.graph, node, bounds):
                continue
            key = (name, bounds.limits, bounds.wraps)
            if key not in made:
                made[key] = editor.value(f"{name}_checked", editor.values[name])
                attrs: dict[str, Attr] = {
                    "limits": bounds.limits,
                    "wraps": int(bounds.wraps),
                    "message": bounds.message(node),
                }
                editor.add(Node(BOUNDS.name, (name,), (made[key],), node.layers, attrs))
            inputs = list(guarded.inputs)
            inputs[bounds.place] = made[key]
            guarded = replace(guarded, inputs=tuple(inputs))
        if _divides_integers(editor.graph, node):
            guarded = replace(node, inputs=(node.inputs[0], _checked_divisor(editor, node, made)))
        if guarded.inputs == node.inputs:
            return False
        editor.add(guarded)
        return True

    return rewrite(graph, rule)


def _divides_integers(graph: Graph, node: Node) -> bool:
    return node.op == ONNX and node.kind in ("Div", "Mod") and graph.tensor(node.output).dtype.lstrip("u")[:3] == "int"


def _checked_divisor(editor: Editor, node: Node, made: dict[tuple[str, tuple[int, ...], bool], str]) -> str:
    """The divisor of `node`, or a copy of it that is checked at run time."""
    name = node.inputs[1]
    message = f"layer {node.layers[0]!r} ({node.kind}): an integer is divided by zero"
    if name in editor.constants:
        if not np.all(editor.constants[name]):
            raise UnsupportedModelError(message)
        return name
    if (name, (), False) not in made:
        made[name, (), False] = editor.value(f"{name}_divisor", editor.values[name])
        attrs: dict[str, Attr] = {"limits": (), "wraps": 0, "message": message}
        editor.add(Node(BOUNDS.name, (name,), (made[name, (), False],), node.layers, attrs))
    return made[name, (), False]


def bounds_of(graph: Graph, node: Node) -> tuple[Bounds, ...]:
    """The bounds of every input of `node` by which it computes addresses; none if it has no such input."""
    if node.op != ONNX or node.kind not in _RULES:
        return ()
    return tuple(bounds for bounds in _RULES[node.kind](graph, node) if _given(node, bounds.place))


def check_constant(graph: Graph, node: Node, bounds: Bounds) -> bool:
    """Checks the indices of `node` if they are constant; returns whether they are.

    Raises:
        UnsupportedModelError: they are out of range; names the layer.
    """
    indices = graph.constants.get(node.inputs[bounds.place])
    if indices is not None and not bounds.hold(indices):
        raise UnsupportedModelError(bounds.message(node))
    return indices is not None


def _given(node: Node, place: int) -> bool:
    return len(node.inputs) > place and bool(node.inputs[place])


def _sizes(axis: int, sizes: tuple[int, ...]) -> str:
    axes = ", ".join(str(axis + i) for i in range(len(sizes)))
    which = f"axis {axes} has" if len(sizes) == 1 else f"axes {axes} have"
    return f"{which} {', '.join(map(str, sizes))} elements"


def _along_axis(graph: Graph, node: Node) -> Iterable[Bounds]:
    shape = graph.tensor(node.inputs[0]).shape
    axis = int(attributes(node).get("axis", 0)) % len(shape)
    yield Bounds(1, (shape[axis],), True, _sizes(axis, (shape[axis],)))


def _tuples(graph: Graph, node: Node) -> Iterable[Bounds]:
    """Each row of the indices is a place along several axes."""
    shape, indices = (graph.tensor(name).shape for name in node.inputs[:2])
    first = int(attributes(node).get("batch_dims", 0))
    sizes = shape[first : first + indices[-1]]
    yield Bounds(1, sizes, True, _sizes(first, sizes))


def _unpooled(graph: Graph, node: Node) -> Iterable[Bounds]:
    size = math.prod(graph.tensor(node.output).shape)
    yield Bounds(1, (size,), False, f"the result has {size} elements")


def _images(graph: Graph, node: Node) -> Iterable[Bounds]:
    count = graph.tensor(node.inputs[0]).shape[0]
    yield Bounds(2, (count,), False, f"the batch has {count} images")


def _lengths(place: int) -> Callable[[Graph, Node], Iterable[Bounds]]:
    """Lengths of sequences, each at most the size of the time axis."""

    def bounds(graph: Graph, node: Node) -> Iterable[Bounds]:
        values = attributes(node)
        axis = int(values.get("time_axis", values.get("layout", 0)))
        steps = graph.tensor(node.inputs[0]).shape[axis]
        yield Bounds(place, (steps + 1,), False, f"sequences have at most {steps} steps")

    return bounds


_RULES: dict[str, Callable[[Graph, Node], Iterable[Bounds]]] = {
    **dict.fromkeys(("Gather", "GatherElements", "Scatter", "ScatterElements"), _along_axis),
    **dict.fromkeys(("GatherND", "ScatterND"), _tuples),
    "MaxUnpool": _unpooled,
    "RoiAlign": _images,
    "ReverseSequence": _lengths(1),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _lengths(4)),
}
"""How each operator of ONNX that computes addresses from data bounds its indices. OneHot compares its indices, and
GridSample cuts its coordinates off at the border, so neither needs a check."""
