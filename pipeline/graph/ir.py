"""The graph that passes work on: nodes in the order they run, values with shapes, constants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.expression import ACC, Expr
from tvmopt.schedules.operators import LEFT_TO_TVM, Operator, operator_of
from tvmopt.schedules.workload import Attr, Tensor

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]

ONNX = LEFT_TO_TVM.name
"""Operator of nodes that no template computes and TVM's own importer lowers; `Node.proto` says what they are."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operator.

    Attributes:
        op: name of an operator of `schedules.operators`.
        inputs: names of values or constants; an absent optional input is ``""``.
        outputs: names of values.
        layers: names of the source model's layers that it stands for.
        attrs: attributes of the operator family, by name.
        epilogue: what is stored, as an expression of the result and the inputs (`schedules.expression`).
        proto: the ONNX node, for operators of ONNX.
        inner: for two operators fused into one, what the first passes to the second (`schedules.workload`).
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layers: tuple[str, ...]
    attrs: Mapping[str, Attr] = field(default_factory=dict)
    epilogue: Expr = ACC
    proto: onnx.NodeProto | None = None
    inner: Expr = ACC

    def __post_init__(self) -> None:
        operator_of(self.op)

    @property
    def operator(self) -> Operator:
        """The facts about its operator."""
        return operator_of(self.op)

    @property
    def output(self) -> str:
        """The only output.

        Raises:
            ValueError: when there are several.
        """
        (name,) = self.outputs
        return name

    @property
    def kind(self) -> str:
        """ONNX's operator type, or the operator family."""
        return self.proto.op_type if self.proto is not None else self.op


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a value that a pass made and that holds the same numbers as another value.

    Attributes:
        value: name of the other value.
        form: ``layout``: a copy in another layout; ``maps``: maps of one pixel each, which become `value` when their
            rows and columns are dropped; ``image``: a line as an image of one row; ``planes``: each plane of a volume
            as an image; ``moved``: integers of int8, moved by 128 so that they are uint8; ``part``: one of the `parts`
            that `value` joins.
        parts: the names of all parts, in order.
        axis: along which they are joined.
    """

    value: str
    form: Literal["layout", "maps", "image", "planes", "moved", "part"]
    parts: tuple[str, ...] = ()
    axis: int = 0


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in the order they run.

    Attributes:
        nodes: each reads only results of earlier ones.
        values: shape, dtype and layout of every value that is not a constant.
        constants: arrays by name, as the model has them (not packed).
        inputs: names of the model's inputs.
        outputs: names of the model's outputs.
        opset: version of ONNX's operators that `ONNX` nodes follow.
        origins: the origins of values that hold the same numbers as another value.
    """

    nodes: tuple[Node, ...]
    values: Mapping[str, Tensor]
    constants: Mapping[str, Array]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opset: int
    origins: Mapping[str, Origin] = field(default_factory=dict)

    def tensor(self, name: str) -> Tensor:
        """Shape, dtype and layout of a value or constant.

        Raises:
            KeyError: when the graph has neither.
        """
        if name in self.values:
            return self.values[name]
        array = self.constants[name]
        return Tensor(tuple(array.shape), str(array.dtype))

    def uses(self) -> Counter[str]:
        """How often each value is read, the model's outputs included."""
        counts = Counter(name for node in self.nodes for name in node.inputs if name)
        counts.update(self.outputs)
        return counts

    def producers(self) -> dict[str, Node]:
        """The node that makes each value."""
        return {name: node for node in self.nodes for name in node.outputs}

    def scalar(self, name: str) -> float | None:
        """The value of a constant with one element, else None."""
        array = self.constants.get(name)
        return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None


class Editor:
    """Builds the next graph from `graph`: nodes are added one by one, names stay unique."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.values = dict(graph.values)
        self.constants = dict(graph.constants)
        self.origins = dict(graph.origins)
        self.renamed: dict[str, str] = {}
        self.images: dict[str, str] = {}
        """Images of lines and volumes that the nodes so far compute, by the name of the line or volume."""

    def add(self, node: Node) -> None:
        """Appends `node`, its inputs renamed as `rename` asked."""
        self.nodes.append(replace(node, inputs=tuple(self.renamed.get(name, name) for name in node.inputs)))

    def value(self, stem: str, tensor: Tensor, origin: Origin | None = None) -> str:
        """Adds a value and returns its name; `origin` is for one that holds the same numbers as another value."""
        name = self._fresh(stem)
        self.values[name] = tensor
        if origin is not None:
            self.origins[name] = origin
        return name

    def constant(self, stem: str, array: Array) -> str:
        """Adds a constant and returns its name."""
        name = self._fresh(stem)
        self.constants[name] = array
        return name

    def rename(self, old: str, new: str) -> None:
        """Makes later nodes that read `old` read `new` instead."""
        self.renamed[old] = self.renamed.get(new, new)

    def graph_of(self, nodes: Iterable[Node] | None = None) -> Graph:
        """The new graph, without dead code."""
        outputs = tuple(self.renamed.get(name, name) for name in self.graph.outputs)
        kept = list(self.nodes if nodes is None else nodes)
        graph = replace(
            self.graph,
            nodes=tuple(kept),
            values=self.values,
            constants=self.constants,
            outputs=outputs,
            origins=self.origins,
        )
        return without_dead_code(graph)

    def _fresh(self, stem: str) -> str:
        name, count = stem, 1
        while name in self.values or name in self.constants:
            name, count = f"{stem}_{count}", count + 1
        return name


def without_dead_code(graph: Graph) -> Graph:
    """`graph` without nodes, values and constants that no output needs."""
    needed, kept = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    needed.update(graph.inputs)
    needed.update(name for node in kept for name in node.outputs)
    return replace(
        graph,
        nodes=tuple(reversed(kept)),
        values={name: tensor for name, tensor in graph.values.items() if name in needed},
        constants={name: array for name, array in graph.constants.items() if name in needed},
        origins={name: origin for name, origin in graph.origins.items() if name in needed},
    )


def rewrite(graph: Graph, rule: Callable[[Editor, Node], bool]) -> Graph:
    """Runs `rule` on every node; a node for which the rule returns False is kept.

    Args:
        graph: what to rewrite.
        rule: adds nodes, values, constants or renames to the editor, and says whether it did.
    """
    editor = Editor(graph)
    for node in graph.nodes:
        current = replace(node, inputs=tuple(editor.renamed.get(name, name) for name in node.inputs))
        if not rule(editor, current):
            editor.add(current)
    return editor.graph_of()


def as_float32(value: float | Array) -> Array:
    """`value` as a float32 array."""
    return np.asarray(value, np.float32)
