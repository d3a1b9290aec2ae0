"""Recurrences that share their weights run as one, with their rows as one batch. Returns a new graph.

A recurrence of one row is bound by reading its weights in each step, and six of them read them six times. Networks call
one layer for several sequences, such as the paths of cars or the manoeuvres that a decoder is asked for. Where the same
operators follow all of the recurrences, these are merged too, up to the point where results go different ways.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tvmopt.pipeline.graph.ir import Array, Editor, Graph, Node, without_dead_code
from tvmopt.pipeline.graph.recognize.insert_onnx import add_onnx
from tvmopt.pipeline.graph.siblings.follow import follow
from tvmopt.schedules.workload import Tensor

_STATES = ("initial_h", "initial_c")


@dataclass(frozen=True, slots=True)
class _Batch:
    """Values that are parts of one, along an axis.

    Attributes:
        whole: the name of the one.
        parts: the names of the values, in order.
        axis: along which they follow each other.
    """

    whole: str
    parts: tuple[str, ...]
    axis: int


def merge_recurrences(graph: Graph) -> Graph:
    """Merges recurrences of one direction that share weights and do not read each other's results."""
    while True:
        group = _group(graph)
        if not group:
            return graph
        graph = _Merger(graph).merge(group)


def _group(graph: Graph) -> list[Node]:
    """Recurrences that can be one; empty if there are none.

    A recurrence that reads the result of one of them, by whatever way, runs after it.
    """
    behind: dict[str, set[int]] = {}
    groups: list[list[int]] = []
    nodes = graph.nodes
    for place, node in enumerate(nodes):
        before = {each for name in node.inputs for each in behind.get(name, ())}
        if node.op == "recurrence" and node.attrs["direction"] != "bidirectional":
            for group in groups:
                if not before.intersection(group) and _alike(graph, nodes[group[0]], node):
                    group.append(place)
                    break
            else:
                groups.append([place])
            before.add(place)
        behind.update(dict.fromkeys(node.outputs, before))
    return next(([nodes[place] for place in group] for group in groups if len(group) > 1), [])


def _alike(graph: Graph, one: Node, other: Node) -> bool:
    """Whether two recurrences differ only in their rows: inputs, first states, batch."""
    if one.attrs != other.attrs:
        return False
    named = zip(_names(one), one.inputs, other.inputs, strict=True)
    shared = all(_equal(graph, a, b) for name, a, b in named if name != "projections" and name not in _STATES)
    # A projection that is the same at every step has one: then only the results say how many there are.
    ends = ((one.inputs[0], other.inputs[0]), (one.output, other.output))
    return shared and all(graph.tensor(a).shape[0] == graph.tensor(b).shape[0] for a, b in ends)


def _names(node: Node) -> tuple[str, ...]:
    return ("projections", "weights", *str(node.attrs["operands"]).split())


def _equal(graph: Graph, one: str, other: str) -> bool:
    """Whether two names are of the same value, or of constants with the same numbers."""
    if one == other:
        return True
    if one not in graph.constants or other not in graph.constants:
        return False
    return _same_array(graph.constants[one], graph.constants[other])


def _same_array(one: Array, other: Array) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


class _Merger:
    """Merges one group of recurrences and what follows them alike.

    Args:
        graph: before.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph, self.editor = graph, Editor(graph)
        self.makers = graph.producers()
        self.readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in dict.fromkeys(node.inputs):
                self.readers.setdefault(name, []).append(node)
        self.gone: set[str] = set()
        self.batches: dict[str, _Batch] = {}

    def merge(self, group: Sequence[Node]) -> Graph:
        """The graph in which `group` is one node."""
        batches = [self._recurrence(group)]
        for batch in batches:  # grows
            for name in batch.parts:
                self.batches[name] = batch
            batches += self._followers(batch)
        for batch in batches:
            self._cut(batch)
        kept = [node for node in self.graph.nodes if not self.gone.intersection(node.outputs)]
        nodes = tuple(_in_order([*kept, *self.editor.nodes]))
        editor = self.editor
        return without_dead_code(
            replace(self.graph, nodes=nodes, values=editor.values, constants=editor.constants, origins=editor.origins)
        )

    def _recurrence(self, group: Sequence[Node]) -> _Batch:
        first = group[0]
        names = _names(first)
        inputs = [self._projections(group), *first.inputs[1:]]
        for place, name in enumerate(names):
            if name in _STATES:
                inputs[place] = self._stack([node.inputs[place] for node in group], 1)
        return self._add(group, tuple(inputs), 1)

    def _projections(self, group: Sequence[Node]) -> str:
        """The projections of all rows: as one product, if they are products with the same weights."""
        names = [node.inputs[0] for node in group]
        makers = [self.makers.get(name) for name in names]
        products = [node for node in makers if node is not None and node.op == "dense"]
        if len(products) < len(group) or not all(self._siblings(products[0], node, (0,)) for node in products):
            return self._stack(names, 1)
        if follow(self.graph, products[0], 1, (0,)) != 1:
            return self._stack(names, 1)
        data = self._stack([node.inputs[0] for node in products], 1)
        return self._new(products, (data, *products[0].inputs[1:]), 1)

    def _siblings(self, one: Node, other: Node, places: Sequence[int]) -> bool:
        """Whether two nodes differ only in the inputs at `places`."""
        own, others = ((node.op, node.kind, node.attrs, node.epilogue, node.inner) for node in (one, other))
        if own != others or len(one.inputs) != len(other.inputs):
            return False
        if (
            one.proto is not None
            and other.proto is not None
            and list(one.proto.attribute) != list(other.proto.attribute)
        ):
            return False
        rest = [place for place in range(len(one.inputs)) if place not in places]
        return all(_equal(self.graph, one.inputs[place], other.inputs[place]) for place in rest)

    def _followers(self, batch: _Batch) -> Iterator[_Batch]:
        """Merges the nodes that read each part of `batch` alike; nothing else of theirs is a value but such parts."""
        for node in self.readers.get(batch.parts[0], ()):
            batches = {place: self.batches[name] for place, name in enumerate(node.inputs) if name in self.batches}
            places = tuple(batches)
            first = all(each.parts[0] == node.inputs[place] for place, each in batches.items())
            shared = all(name in self.graph.constants for i, name in enumerate(node.inputs) if i not in batches)
            if not (first and shared) or self.gone.intersection(node.outputs):
                continue
            if len({(each.axis, len(each.parts)) for each in batches.values()}) > 1:
                continue
            group = self._each_alike(node, batches, places)
            axis = follow(self.graph, node, batch.axis, places)
            if (
                group
                and axis is not None
                and all(follow(self.graph, each, batch.axis, places) == axis for each in group)
                and all(self._fits(node, each, axis) for each in group)
            ):
                inputs = tuple(batches[i].whole if i in batches else name for i, name in enumerate(node.inputs))
                yield self._add(group, inputs, axis)

    def _fits(self, one: Node, other: Node, axis: int) -> bool:
        """Whether two results differ along `axis` only, as those of reshapes need not."""
        a, b = self.graph.tensor(one.output), self.graph.tensor(other.output)
        return a.dtype == b.dtype and (a.shape[:axis], a.shape[axis + 1 :]) == (b.shape[:axis], b.shape[axis + 1 :])

    def _each_alike(self, node: Node, batches: Mapping[int, _Batch], places: tuple[int, ...]) -> list[Node]:
        """For each part of the batches, the node that does with it what `node` does; empty if one is missing."""
        group = [node]
        for part in range(1, len(batches[places[0]].parts)):
            wanted = {place: each.parts[part] for place, each in batches.items()}
            found = [
                other
                for other in self.readers.get(wanted[places[0]], ())
                if not self.gone.intersection(other.outputs)
                and all(len(other.inputs) > place and other.inputs[place] == name for place, name in wanted.items())
                and self._siblings(node, other, places)
                and not any(other is each for each in group)
            ]
            if not found:
                return []
            group.append(found[0])
        return group

    def _add(self, group: Sequence[Node], inputs: tuple[str, ...], axis: int) -> _Batch:
        """Adds the node that stands for `group`; its members go."""
        self.gone.update(node.output for node in group)
        return _Batch(self._new(group, inputs, axis), tuple(node.output for node in group), axis)

    def _new(self, group: Sequence[Node], inputs: tuple[str, ...], axis: int) -> str:
        """Adds a node like each of `group` for all of them; returns its result, which is longer along `axis`."""
        tensors = [self.graph.tensor(node.output) for node in group]
        shape = list(tensors[0].shape)
        shape[axis] = sum(tensor.shape[axis] for tensor in tensors)
        whole = self.editor.value(f"{group[0].output}_all", Tensor(tuple(shape), tensors[0].dtype))
        layers = tuple(dict.fromkeys(layer for node in group for layer in node.layers))
        self.editor.add(replace(group[0], inputs=inputs, outputs=(whole,), layers=layers))
        return whole

    def _stack(self, names: Sequence[str], axis: int) -> str:
        """The values one behind another along `axis`."""
        constants = [self.graph.constants[name] for name in names if name in self.graph.constants]
        if len(constants) == len(names):
            return self.editor.constant(f"{names[0]}_all", np.concatenate(constants, axis))
        tensors = [self.graph.tensor(name) for name in names]
        shape = list(tensors[0].shape)
        shape[axis] = sum(tensor.shape[axis] for tensor in tensors)
        whole = self.editor.value(f"{names[0]}_all", Tensor(tuple(shape), tensors[0].dtype))
        reader = next(node for node in self.graph.nodes if names[0] in node.inputs)
        add_onnx(self.editor, reader, "Concat", tuple(names), whole, axis=axis)
        return whole

    def _cut(self, batch: _Batch) -> None:
        """Adds the parts as slices; those that nothing reads vanish with other dead code."""
        start = 0
        for name in batch.parts:
            end = start + self.graph.tensor(name).shape[batch.axis]
            bounds = {"starts": start, "ends": end, "axes": batch.axis}
            numbers = [self.editor.constant(f"{name}_{what}", np.array([at], np.int64)) for what, at in bounds.items()]
            add_onnx(self.editor, self.makers[name], "Slice", (batch.whole, *numbers), name)
            start = end


def _in_order(nodes: Sequence[Node]) -> Iterator[Node]:
    """The nodes so that each comes after those that it reads, otherwise in the order given."""
    makers = {name: node for node in nodes for name in node.outputs}
    done: set[int] = set()
    for node in nodes:
        waiting = [node]
        while waiting:
            last = waiting[-1]
            needed = [makers[name] for name in last.inputs if name in makers and id(makers[name]) not in done]
            if needed and id(last) not in done:
                waiting += needed
                continue
            waiting.pop()
            if id(last) not in done:
                done.add(id(last))
                yield last
