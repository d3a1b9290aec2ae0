"""Finds normalisation that a model writes with means, squares and roots. Returns a new graph.

Before recognition, when nodes are ONNX's operators:

1. ``d / sqrt(mean(d · d) + epsilon)`` with ``d = x - mean(x)``, as old exporters write layer normalisation, and with
   ``d = x``, which is RMS normalisation; also as a product with the reciprocal root.
2. The variance may be ``mean(x · x) - mean(x) · mean(x)``, as ONNX itself defines group normalisation. It cancels; the
   kernel does not.

A scale and a bias behind it stay element-wise operators, which `fuse_epilogue` makes part of the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import ONNX, Editor, Graph, Node, rewrite
from tvmopt.schedules.workload import Attr


@dataclass(frozen=True, slots=True)
class _Found:
    """A normalisation: of which value, over which axes, how."""

    data: str
    axes: tuple[int, ...]
    kind: str
    epsilon: float


def find_norms(graph: Graph) -> Graph:
    """Replaces each division or product that completes a normalisation over the last axes, whole maps or channels."""
    producers = graph.producers()

    def rule(editor: Editor, node: Node) -> bool:
        if node.op != ONNX or node.kind not in ("Div", "Mul"):
            return False
        # The producers know the values' original names.
        search = _Search(graph, producers)
        found = search.normalized(producers[node.output])
        if found is None or graph.tensor(found.data).dtype != "float32" or found.data in graph.constants:
            return False
        rank = len(graph.tensor(found.data).shape)
        layers = tuple(dict.fromkeys((*search.layers, *node.layers)))
        attrs: dict[str, Attr] = {"kind": found.kind, "epsilon": found.epsilon}
        if rank == 4 and found.axes == (2, 3):
            op, attrs = "map_norm", {**attrs, "groups": graph.tensor(found.data).shape[1]}
        elif rank == 4 and found.axes == (1,):
            op = "channel_norm"
        elif found.axes == tuple(range(found.axes[0], rank)):
            op, attrs = "row_norm", {**attrs, "axis": found.axes[0]}
        else:
            return False
        editor.add(Node(op, (found.data,), node.outputs, layers, attrs))
        return True

    return rewrite(graph, rule)


@dataclass(slots=True)
class _Search:
    """Follows one normalisation from its last operator to its operand; notes the layers on the way."""

    graph: Graph
    producers: dict[str, Node]
    layers: list[str] = field(default_factory=list)

    def normalized(self, node: Node) -> _Found | None:
        """What `node`, a division or a product, normalises."""
        left, right = node.inputs
        pairs = [(left, right, "Sqrt")] if node.kind == "Div" else [(left, right, "1/Sqrt"), (right, left, "1/Sqrt")]
        for above, root, kind in pairs:
            self.layers.clear()
            inside = self._root(root, kind)
            found = None if inside is None else self._ratio(above, inside)
            if found is not None:
                return found
        return None

    def _ratio(self, above: str, inside: str) -> _Found | None:
        """The normalisation ``above / sqrt(inside)``."""
        summed = self._scalar_operand(inside, "Add")
        if summed is None:
            return None
        variance, epsilon = summed
        deviation = self._deviation(above)
        if deviation is not None:
            data, axes = deviation
            if self._variance(variance, data) == axes:
                return _Found(data, axes, "standard", epsilon)
        squares = self._mean_square(variance, above)
        return None if squares is None else _Found(above, squares, "rms", epsilon)

    def _root(self, name: str, kind: str) -> str | None:
        """What the root `name`, or its reciprocal, is of."""
        node = self._made_by(name, "Sqrt", "Pow", "Reciprocal", "Div")
        if node is None:
            return None
        wanted = 0.5 if kind == "Sqrt" else -0.5
        if node.kind == "Pow":
            return node.inputs[0] if self.graph.scalar(node.inputs[1]) == wanted else None
        if kind == "Sqrt":
            return node.inputs[0] if node.kind == "Sqrt" else None
        if node.kind == "Reciprocal":
            return self._root(node.inputs[0], "Sqrt")
        if node.kind == "Div" and self.graph.scalar(node.inputs[0]) == 1.0:
            return self._root(node.inputs[1], "Sqrt")
        return None

    def _variance(self, name: str, data: str) -> tuple[int, ...] | None:
        """The axes over which `name` is the variance of `data`."""
        node = self._made_by(name, "ReduceMean", "Sub")
        if node is None:
            return None
        if node.kind == "ReduceMean":
            squared = self._squared(node.inputs[0])
            inside = None if squared is None else self._deviation(squared)
            axes = self._mean_axes(node)
            return axes if inside == (data, axes) else None
        axes = self._mean_square(node.inputs[0], data)
        mean = self._squared(node.inputs[1])
        return axes if axes is not None and mean is not None and self._mean(mean) == (data, axes) else None

    def _mean_square(self, name: str, data: str) -> tuple[int, ...] | None:
        """The axes over which `name` is the mean of the squares of `data`."""
        node = self._made_by(name, "ReduceMean")
        if node is None or self._squared(node.inputs[0]) != data:
            return None
        return self._mean_axes(node)

    def _deviation(self, name: str) -> tuple[str, tuple[int, ...]] | None:
        """What `name` is the deviation of, from its mean over which axes."""
        node = self._made_by(name, "Sub")
        if node is None:
            return None
        mean = self._mean(node.inputs[1])
        return mean if mean is not None and mean[0] == node.inputs[0] else None

    def _mean(self, name: str) -> tuple[str, tuple[int, ...]] | None:
        """What `name` is the mean of, and over which axes."""
        node = self._made_by(name, "ReduceMean")
        axes = None if node is None else self._mean_axes(node)
        return None if node is None or axes is None else (node.inputs[0], axes)

    def _mean_axes(self, node: Node) -> tuple[int, ...] | None:
        """The axes of a mean that keeps them."""
        values, rank = attributes(node), len(self.graph.tensor(node.inputs[0]).shape)
        axes = values.get("axes")
        if len(node.inputs) > 1 and node.inputs[1] in self.graph.constants:
            axes = self.graph.constants[node.inputs[1]].reshape(-1).tolist()
        if not axes or not values.get("keepdims", 1):
            return None
        return tuple(sorted(int(axis) % rank for axis in axes))

    def _squared(self, name: str) -> str | None:
        """What `name` is the square of."""
        node = self._made_by(name, "Mul", "Pow")
        if node is None:
            return None
        square = node.inputs[0] == node.inputs[1] if node.kind == "Mul" else self.graph.scalar(node.inputs[1]) == 2.0
        return node.inputs[0] if square else None

    def _scalar_operand(self, name: str, kind: str) -> tuple[str, float] | None:
        """The value and the constant that `name` is made of by an operator of two operands in any order."""
        node = self._made_by(name, kind)
        if node is None:
            return None
        for value, other in (node.inputs, node.inputs[::-1]):
            scalar = self.graph.scalar(other)
            if scalar is not None:
                return value, scalar
        return None

    def _made_by(self, name: str, *kinds: str) -> Node | None:
        """The node that makes `name`, if it is one of these ONNX operators."""
        node = self.producers.get(name)
        if node is None or node.kind not in kinds or node.op != ONNX:
            return None
        self.layers.extend(node.layers)
        return node
