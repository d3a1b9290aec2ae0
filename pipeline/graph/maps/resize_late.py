"""Resizes maps behind the 1×1 convolution that reads them, not before it. Returns a new graph.

A resize combines pixels, a 1×1 convolution channels, and both are linear: their order is free. Decoders (SegFormer,
feature pyramids, atrous pyramids) enlarge small maps, join them with large ones and mix all channels; mixed first, the
small maps cost the arithmetic of their own pixels only, and nothing has to be joined: results are added.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tvmopt.pipeline.graph.ir import Array, Editor, Graph, Node, rewrite
from tvmopt.pipeline.graph.maps.compose_mixers import is_mixer
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.expression import ACC, Arg, call, rename_arguments, replace_result

PASS = 32
"""To resize or to add an element takes as long as about this many multiply-adds of a convolution."""


def resize_late(graph: Graph) -> Graph:
    """Makes of each 1×1 convolution of enlarged maps, alone or joined with others, one of the small maps."""
    mixer = _Mixer(graph, graph.producers(), graph.uses())
    return rewrite(graph, mixer.rule)


@dataclass(frozen=True, slots=True)
class _Part:
    """Some channels of what a convolution reads.

    Attributes:
        value: their map.
        weight: of these channels.
        resize: that makes the map, if it is to come behind the convolution.
    """

    value: str
    weight: Array
    resize: Node | None


@dataclass(frozen=True, slots=True)
class _Mixer:
    """Goes through the graph.

    Attributes:
        graph: as it was.
        producers: the node that makes each value.
        uses: how often each value is read.
    """

    graph: Graph
    producers: Mapping[str, Node]
    uses: Mapping[str, int]

    def rule(self, editor: Editor, node: Node) -> bool:
        if not is_mixer(self.graph, node):
            return False
        join = self._join(node.inputs[0])
        if join is not None:
            node = replace(node, layers=(*join.layers, *node.layers))
        parts = self._parts(node, node.inputs[:1] if join is None else join.inputs)
        late = [part for part in parts if part.resize is not None]
        if not late:
            return False
        total = ""
        for part in late:
            total = _resized(editor, node, part, total)
        kept = [part for part in parts if part.resize is None]
        own = node.operator.own(len(node.inputs))
        if not kept:
            operands = node.inputs[own:]
            epilogue = rename_arguments(node.epilogue, lambda index: Arg(index - own + 1))
            epilogue = replace_result(epilogue, Arg(0))
            editor.add(Node("pointwise", (total, *operands), node.outputs, node.layers, epilogue=epilogue))
            return True
        weight = editor.constant(f"{node.inputs[1]}_kept", np.concatenate([part.weight for part in kept], axis=1))
        inputs = (_joined(editor, node, kept), weight, *node.inputs[2:], total)
        epilogue = replace_result(node.epilogue, call("add", ACC, Arg(len(inputs) - 1)))
        editor.add(replace(node, inputs=inputs, epilogue=epilogue))
        return True

    def _parts(self, node: Node, names: tuple[str, ...]) -> list[_Part]:
        """What the convolution `node` reads: maps, joined unless it is one."""
        weight = self.graph.constants[node.inputs[1]]
        parts, first = [], 0
        for name in names:
            channels = self.graph.tensor(name).shape[1]
            part = weight[:, first : first + channels]
            parts.append(_Part(name, np.ascontiguousarray(part), self._late(name, weight.shape[0])))
            first += channels
        return parts

    def _join(self, name: str) -> Node | None:
        """The concatenation that makes the map `name`, if only its reader needs it."""
        join = self.producers.get(name)
        alone = join is not None and join.op == "concat" and self.uses[name] == 1
        return join if join is not None and alone and self._joins_channels(join) else None

    def _joins_channels(self, join: Node) -> bool:
        shape = self.graph.tensor(join.output).shape
        shapes = [self.graph.tensor(name).shape for name in join.inputs]
        alike = all((one[0], *one[2:]) == (shape[0], *shape[2:]) for one in shapes)
        return alike and sum(one[1] for one in shapes) == shape[1]

    def _late(self, name: str, outputs: int) -> Node | None:
        """The resize that makes `name`, if it pays to come behind a convolution with so many outputs."""
        resize = self.producers.get(name)
        if resize is None or resize.op != "resize2d" or self.uses[name] != 1 or resize.epilogue != ACC:
            return None
        small, large = self.graph.tensor(resize.inputs[0]), self.graph.tensor(name)
        if small.dtype != FLOAT32:
            return None
        channels, share = large.shape[1], math.prod(small.shape[2:]) / math.prod(large.shape[2:])
        saved = channels * outputs * (1 - share)
        return resize if saved > PASS * (2 * outputs - channels) and share < 1 else None


def _resized(editor: Editor, node: Node, part: _Part, total: str) -> str:
    """Convolves and resizes a part and adds `total`, if there is one yet; returns the name of the sum."""
    resize = part.resize
    assert resize is not None
    source, tensor = resize.inputs[0], editor.values[node.output]
    weight = editor.constant(f"{node.inputs[1]}_part", part.weight)
    small = replace(tensor, shape=(*tensor.shape[:2], *editor.values[source].shape[2:]))
    mixed = editor.value(f"{part.value}_mixed", small)
    editor.add(replace(node, inputs=(source, weight), outputs=(mixed,), epilogue=ACC))
    made = editor.value(f"{part.value}_late", tensor)
    editor.add(replace(resize, inputs=(mixed, *resize.inputs[1:]), outputs=(made,)))
    if not total:
        return made
    added = editor.value(f"{part.value}_sum", tensor)
    editor.add(Node("pointwise", (made, total), (added,), node.layers, epilogue=call("add", Arg(0), Arg(1))))
    return added


def _joined(editor: Editor, node: Node, parts: list[_Part]) -> str:
    """The maps of `parts` as one."""
    names = tuple(part.value for part in parts)
    if len(names) == 1:
        return names[0]
    tensor = editor.values[names[0]]
    channels = sum(part.weight.shape[1] for part in parts)
    made = editor.value(f"{node.output}_kept", replace(tensor, shape=(tensor.shape[0], channels, *tensor.shape[2:])))
    editor.add(Node("concat", names, (made,), node.layers))
    return made
