"""Finds attention in a graph: a product, element-wise operators, a softmax, a product."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tvmopt.pipeline.graph.ir import ONNX, Graph, Node
from tvmopt.schedules.expression import ACC, Arg, Expr, call, reads_of, rename_arguments, size_of

FIRST_OPERAND = 3
"""Q, K and V come before the operands of the scores' expression."""
MAX_FUNCTIONS = 8
"""The most functions between the first product and the softmax."""


@dataclass(frozen=True, slots=True)
class Operand:
    """What a score is combined with.

    Attributes:
        value: its name.
        shape: of the scores that it broadcasts to; a reshape may have divided their batch dimensions.
        truth: whether it is a condition, boolean.
    """

    value: str
    shape: tuple[int, ...]
    truth: bool = False


@dataclass(frozen=True, slots=True)
class Scores:
    """Values made of scores.

    Attributes:
        inner: the expression of a score.
        operands: those of the expression, from `FIRST_OPERAND` on.
        nodes: on the way from the product, which is the first.
    """

    inner: Expr
    operands: tuple[Operand, ...]
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """An attention.

    Attributes:
        query, key, value: names of Q, of K transposed, and of V.
        scores: name of the first product's result.
        inner, operands: what the softmax reads, as in `Scores`.
        guard: whether NaN becomes zero behind the softmax.
        nodes: all of them, the second product last.
    """

    query: str
    key: str
    value: str
    scores: str
    inner: Expr
    operands: tuple[Operand, ...]
    guard: bool
    nodes: tuple[Node, ...]

    @property
    def last(self) -> Node:
        """The second product."""
        return self.nodes[-1]


def matches(graph: Graph) -> Iterator[Match]:
    """Every attention whose intermediate values nothing else reads."""
    finder = _Finder(graph)
    for node in graph.nodes:
        match = finder.match(node) if node.op == "softmax" else None
        if match is not None:
            yield match


class _Finder:
    """Walks from a softmax to both products."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.uses, self.producers = graph, graph.uses(), graph.producers()
        self.readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in dict.fromkeys(node.inputs):
                self.readers.setdefault(name, []).append(node)

    def match(self, softmax: Node) -> Match | None:
        """The attention around `softmax`, if there is one."""
        shape = self.graph.tensor(softmax.output).shape
        if len(shape) < 2 or softmax.attrs["axes"] != (len(shape) - 1,):
            return None
        scores = self._scores(softmax.inputs[0], shape[-2:])
        behind = None if scores is None else self._behind(softmax)
        if scores is None or behind is None or size_of(scores.inner) > MAX_FUNCTIONS:
            return None
        first, last = scores.nodes[0], behind[-1]
        if self._heads(first.output) != self._heads(last.output):
            return None  # V has more batch dimensions than the scores
        nodes = (*scores.nodes, softmax, *behind)
        guard = any(node.kind == "IsNaN" for node in behind)
        query, key, value = *first.inputs, last.inputs[1]
        return Match(query, key, value, first.output, scores.inner, scores.operands, guard, nodes)

    def _heads(self, name: str) -> int:
        return math.prod(self.graph.tensor(name).shape[:-2])

    def _behind(self, softmax: Node) -> list[Node] | None:
        """The nodes from a softmax to the product that reads it, as its left operand only."""
        name, size = softmax.output, self.graph.tensor(softmax.output).shape[-2:]
        nodes = self._guard(name) if self.uses[name] == 2 else []
        if nodes is None:
            return None
        name = nodes[-1].output if nodes else name
        while self.uses[name] == 1 and name in self.readers:
            (node,) = self.readers[name]
            nodes.append(node)
            if _is_product(self.graph, node):
                return nodes if node.inputs[0] == name else None
            if node.op != "reshape" or self.graph.tensor(node.output).shape[-2:] != size:
                return None
            name = node.output
        return None

    def _scores(self, name: str, size: tuple[int, ...]) -> Scores | None:
        """`name` as an expression of a product; its matrices have this size."""
        node = self.producers.get(name)
        if node is None or self.uses[name] != 1 or len(node.outputs) != 1:
            return None
        if self.graph.tensor(name).shape[-2:] != size:
            return None
        if _is_product(self.graph, node):
            return Scores(ACC, (), (node,))
        if node.op == "reshape":
            scores = self._scores(node.inputs[0], size)
            return None if scores is None else replace(scores, nodes=(*scores.nodes, node))
        if node.op == "pointwise":
            return self._pointwise(node, size)
        return self._where(node, size) if node.op == ONNX and node.kind == "Where" else None

    def _inner(self, node: Node, size: tuple[int, ...]) -> tuple[int, Scores] | None:
        """Which input of an element-wise node is made of scores, and how."""
        shape = self.graph.tensor(node.output).shape
        for place, name in enumerate(node.inputs):
            scores = self._scores(name, size) if self.graph.tensor(name).shape == shape else None
            if scores is not None and node.inputs.count(name) == 1:
                return place, scores
        return None

    def _pointwise(self, node: Node, size: tuple[int, ...]) -> Scores | None:
        found = self._inner(node, size)
        if found is None or reads_of(node.epilogue, {found[0]}) != 1:
            return None
        place, scores = found
        operands = list(scores.operands)

        def renamed(index: int) -> Expr:
            if index == place:
                return scores.inner
            operands.append(Operand(node.inputs[index], self.graph.tensor(node.output).shape))
            return Arg(FIRST_OPERAND + len(operands) - 1)

        return Scores(rename_arguments(node.epilogue, renamed), tuple(operands), (*scores.nodes, node))

    def _where(self, node: Node, size: tuple[int, ...]) -> Scores | None:
        """``Where(condition, scores, other)`` or with scores as the second choice."""
        found = self._inner(node, size)
        if found is None or found[0] == 0:
            return None
        place, scores = found
        other = node.inputs[3 - place]
        shape = self.graph.tensor(node.output).shape
        operands = (*scores.operands, Operand(node.inputs[0], shape, truth=True), Operand(other, shape))
        condition, fill = (Arg(FIRST_OPERAND + len(operands) - back) for back in (2, 1))
        choices = (scores.inner, fill) if place == 1 else (fill, scores.inner)
        return Scores(call("select", condition, *choices), operands, (*scores.nodes, node))

    def _guard(self, name: str) -> list[Node] | None:
        """The nodes of ``Where(IsNaN(x), 0, x)``."""
        readers = self.readers.get(name, [])
        test = next((node for node in readers if node.op == ONNX and node.kind == "IsNaN"), None)
        if test is None or self.uses[test.output] != 1:
            return None
        choice = next((node for node in readers if node.op == ONNX and node.kind == "Where"), None)
        if choice is None or choice.inputs[0] != test.output or choice.inputs[2] != name:
            return None
        zero = self.graph.constants.get(choice.inputs[1])
        return [test, choice] if zero is not None and zero.size == 1 and not np.any(zero) else None


def _is_product(graph: Graph, node: Node) -> bool:
    """Whether `node` is nothing but a product of two matrices that are both computed, or of several."""
    if node.op == "dense":
        return node.attrs["packed"] == 0 and node.epilogue == ACC
    if node.op != ONNX or node.kind != "MatMul":
        return False
    tensors = [graph.tensor(name) for name in (*node.inputs, node.output)]
    return all(tensor.dtype == "float32" and len(tensor.shape) >= 2 for tensor in tensors)
