"""A recurrence that reads the same input at every step gets it once. Returns a new graph.

A decoder's input is often one code, repeated for each step. Its projection is the same at each step as well, so the
product with the input's weights is computed for one step, and the recurrence reads that row in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import ONNX, Editor, Graph, Node, rewrite
from tvmopt.pipeline.graph.recognize.insert_onnx import add_onnx, add_slice
from tvmopt.schedules.workload import Tensor


def repeat_late(graph: Graph) -> Graph:
    """Shortens to one step the projections of every recurrence whose input is the same at all steps."""
    known = _Known(graph, graph.producers())
    return rewrite(graph, known.rule)


@dataclass(frozen=True, slots=True)
class _Known:
    """Goes through the graph.

    Attributes:
        graph: before the pass.
        makers: the node that makes each value.
        first: what was added, as the first step of the value that it is named after.
    """

    graph: Graph
    makers: Mapping[str, Node]
    first: dict[str, str] = field(default_factory=dict)

    def rule(self, editor: Editor, node: Node) -> bool:
        if node.op != "recurrence" or self.graph.tensor(node.inputs[0]).shape[0] == 1:
            return False
        dense = self.makers.get(node.inputs[0])
        if dense is None or dense.op != "dense" or not self._repeats(dense.inputs[0]):
            return False
        operands = dense.inputs[2:]
        if any(name not in self.graph.constants or self.graph.constants[name].ndim > 1 for name in operands):
            return False
        shape = self.graph.tensor(dense.output).shape
        short = editor.value(f"{dense.output}_once", Tensor((1, *shape[1:])))
        data = self._first(editor, node, dense.inputs[0])
        editor.add(replace(dense, inputs=(data, *dense.inputs[1:]), outputs=(short,)))
        editor.add(replace(node, inputs=(short, *node.inputs[1:])))
        return True

    def _repeats(self, name: str) -> bool:
        """Whether a value is the same at each index of its first axis."""
        if name in self.graph.constants:
            array = self.graph.constants[name]
            return bool(np.array_equal(array, np.broadcast_to(array[:1], array.shape), equal_nan=True))
        node = self.makers.get(name)
        if node is None or node.op != ONNX:
            return False
        made, taken = self.graph.tensor(name).shape, self.graph.tensor(node.inputs[0]).shape
        if node.kind in ("Tile", "Expand"):
            return len(taken) < len(made) or taken[0] == 1
        if node.kind == "Concat":
            return bool(_axis(node, len(made))) and all(map(self._repeats, node.inputs))
        return False

    def _first(self, editor: Editor, reader: Node, name: str) -> str:
        """The first index of the first axis of a value that repeats."""
        if name in self.first:
            return self.first[name]
        if name in self.graph.constants:
            made = editor.constant(f"{name}_once", self.graph.constants[name][:1])
        elif self.makers[name].kind == "Concat":
            parts = tuple(self._first(editor, reader, part) for part in self.makers[name].inputs)
            shape = self.graph.tensor(name).shape
            made = editor.value(f"{name}_once", Tensor((1, *shape[1:])))
            add_onnx(editor, self.makers[name], "Concat", parts, made, axis=_axis(self.makers[name], len(shape)))
        else:
            made = add_slice(editor, reader, name, {0: (0, 1)})
        self.first[name] = made
        return made


def _axis(node: Node, rank: int) -> int:
    """The axis of a Concat, counted from the front."""
    return int(attributes(node)["axis"]) % rank
