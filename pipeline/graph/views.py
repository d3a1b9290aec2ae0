"""Views: values that are elements of another value in another order, such as transposes, reshapes and slices of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import ONNX, Graph, Node
from tvmopt.schedules.expression import Arg, Call, Const, Expr

Factor = tuple[int, int]
"""A size and a stride, in elements."""
Axis = tuple[Factor, ...]
"""An axis is a product of factors, the slowest first, so that any reshape stays a view."""


@dataclass(frozen=True, slots=True)
class View:
    """Elements of a value's row-major memory.

    Attributes:
        value: name of the value.
        start: its element at index 0 of every axis.
        axes: where the others are.
        scale: by which the elements are multiplied.
    """

    value: str
    start: int
    axes: tuple[Axis, ...]
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return tuple(math.prod(size for size, _ in axis) for axis in self.axes)

    def reshaped(self, shape: Sequence[int]) -> View | None:
        """The same elements in another shape; None if a new axis would begin within a factor, off its divisors."""
        factors = list(merged([factor for axis in self.axes for factor in axis]))
        axes: list[Axis] = []
        for whole_size in shape:
            size, axis = whole_size, list[Factor]()
            while size > 1:
                if not factors:
                    return None
                length, stride = factors.pop(0)
                if length > size:
                    if length % size:
                        return None
                    factors.insert(0, (length // size, stride))
                    length, stride = size, stride * (length // size)
                if size % length:
                    return None
                axis.append((length, stride))
                size //= length
            axes.append(tuple(axis))
        return replace(self, axes=tuple(axes))

    def transposed(self, order: Sequence[int]) -> View:
        """The axes in another order."""
        return replace(self, axes=tuple(self.axes[axis] for axis in order))

    def sliced(self, axis: int, first: int, count: int) -> View | None:
        """`count` elements of an axis from `first` on; None if the axis has several factors."""
        factors = merged(self.axes[axis])
        if len(factors) > 1 or first < 0 or count < 1:
            return None
        stride = factors[0][1] if factors else 0
        axes = (*self.axes[:axis], ((count, stride),), *self.axes[axis + 1 :])
        return replace(self, start=self.start + first * stride, axes=axes)

    def expanded(self, shape: Sequence[int]) -> View:
        """Axes of size one repeated, and further axes before the first, as broadcasting does."""
        axes: list[Axis] = [()] * (len(shape) - len(self.axes)) + list(self.axes)
        sizes = [math.prod(size for size, _ in axis) for axis in axes]
        pairs = zip(axes, sizes, shape, strict=True)
        return replace(self, axes=tuple(axis if size == want else ((want, 0),) for axis, size, want in pairs))

    def inverse(self, shape: Sequence[int]) -> View | None:
        """Where each element of the viewed value, of this shape, is in the view's own row-major memory.

        Only of a view that has every element once; None where it is no view.
        """
        factors = [factor for axis in self.axes for factor in axis]
        sizes = [size for size, _ in factors]
        own = [math.prod(sizes[place + 1 :]) for place in range(len(sizes))]
        ordered = sorted(zip(factors, own, strict=True), key=lambda pair: -pair[0][1])
        axis = tuple((size, stride) for (size, _), stride in ordered)
        return View(self.value, 0, (axis,)).reshaped(shape)


def merged(factors: Sequence[Factor]) -> Axis:
    """The same axis with as few factors as possible."""
    kept: list[Factor] = []
    for size, stride in factors:
        if size == 1:
            continue
        if kept and kept[-1][1] == size * stride:
            kept[-1] = (kept[-1][0] * size, stride)
        else:
            kept.append((size, stride))
    return tuple(kept)


def whole(graph: Graph, name: str) -> View:
    """The view of a value by itself."""
    shape = graph.tensor(name).shape
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return View(name, 0, tuple(((size, stride),) for size, stride in zip(shape, strides, strict=True)))


def views_of(graph: Graph, producers: Mapping[str, Node], name: str) -> Iterator[View]:
    """`name` as a view of the earliest possible value, then of later ones, and at last of itself."""
    node = producers.get(name)
    if node is not None and node.inputs and node.inputs[0]:
        for view in views_of(graph, producers, node.inputs[0]):
            made = through(graph, node, view, name)
            if made is not None:
                yield made
    yield whole(graph, name)


def through(graph: Graph, node: Node, view: View, output: str) -> View | None:
    """`output` of `node` as a view of the same value as its first input, `view`; None if it is none."""
    shape = graph.tensor(output).shape
    if node.op == "reshape":
        return view.reshaped(shape)
    if node.op == "pointwise":
        factor = _factor_of(node.epilogue) if len(node.inputs) == 1 and view.shape == shape else None
        return None if factor is None else replace(view, scale=view.scale * factor)
    if node.op != ONNX:
        return None
    if node.kind == "Transpose":
        return view.transposed(attributes(node).get("perm", range(len(view.axes))[::-1]))
    if node.kind == "Expand":
        return view.expanded(shape) if len(shape) >= len(view.axes) else None
    if node.kind == "Split":
        return _split(graph, node, view, output)
    return _sliced(graph, node, view) if node.kind == "Slice" else None


def _factor_of(expr: Expr) -> float | None:
    """The constant by which an expression multiplies its only argument."""
    match expr:
        case Call("mul", (Arg(0), Const(value)) | (Const(value), Arg(0))):
            return value
        case Call("div", (Arg(0), Const(value))) if value:
            return 1.0 / value
    return None


def _split(graph: Graph, node: Node, view: View, output: str) -> View | None:
    axis = int(attributes(node).get("axis", 0)) % len(view.axes)
    sizes = [graph.tensor(name).shape[axis] for name in node.outputs]
    place = node.outputs.index(output)
    if sum(sizes) != view.shape[axis]:
        return None
    return view.sliced(axis, sum(sizes[:place]), sizes[place])


def _sliced(graph: Graph, node: Node, view: View) -> View | None:
    """A slice with constant bounds and without steps."""
    if len(node.inputs) < 3 or any(name and name not in graph.constants for name in node.inputs[1:]):
        return None
    given = [graph.constants[name].reshape(-1).tolist() if name else None for name in node.inputs[1:]]
    starts, ends = given[0], given[1]
    assert starts is not None
    assert ends is not None
    axes = given[2] if len(given) > 2 and given[2] is not None else list(range(len(starts)))
    steps = given[3] if len(given) > 3 and given[3] is not None else [1] * len(starts)
    made: View | None = view
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step != 1 or made is None:
            return None
        first, last, _ = slice(int(start), int(end)).indices(made.shape[int(axis)])
        made = made.sliced(int(axis) % len(made.axes), first, last - first)
    return made
