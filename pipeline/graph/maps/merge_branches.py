"""Convolutions of one map whose results are added are one convolution. Returns a new graph.

Networks with branches for training (RepVGG, MobileOne) add a 3×3 and a 1×1 convolution and batch normalisation of the
same map; others add a map to its own depthwise convolution, for positions. Kernels and biases can be added beforehand:
a smaller kernel lies inside the larger one, and the map itself, perhaps scaled by channel, is a kernel with one tap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tvmopt.pipeline.graph.ir import Array, Editor, Graph, Node, rewrite
from tvmopt.schedules.expression import ACC, Arg, Expr, call

_CONVOLUTIONS = ("conv2d", "depthwise_conv2d")
_SHIFTED = call("add", ACC, Arg(2))
_SCALED = call("add", call("mul", Arg(0), Arg(1)), Arg(2))


@dataclass(frozen=True, slots=True)
class _Branch:
    """A linear function of a map.

    Attributes:
        source: the map.
        layers: that it stands for.
        conv: the convolution; None for a scale.
        scale: of each channel, without a convolution.
        bias: of each channel.
    """

    source: str
    layers: tuple[str, ...]
    conv: Node | None
    scale: Array | None
    bias: Array | None


def merge_branches(graph: Graph) -> Graph:
    """Merges the branches of every sum that nothing else reads, as far as they start from one map."""
    merger = _Merger(graph.uses())
    return rewrite(graph, merger.rule)


@dataclass(frozen=True, slots=True)
class _Merger:
    """Goes through the graph.

    Attributes:
        uses: how often each value is read.
        makers: the nodes so far, by what they make.
    """

    uses: Mapping[str, int]
    makers: dict[str, Node] = field(default_factory=dict)

    def rule(self, editor: Editor, node: Node) -> bool:
        if len(node.outputs) != 1:
            return False
        self.makers[node.output] = node
        if node.op != "pointwise" or node.epilogue != call("add", Arg(0), Arg(1)) or len(set(node.inputs)) < 2:
            return False
        shapes = {editor.graph.tensor(name).shape for name in (*node.inputs, *node.outputs)}
        branches = self._branches(editor, node) if len(shapes) == 1 else []
        merged = _merged(editor, node, branches) if len(branches) == len(node.inputs) else None
        if merged is None:
            return False
        self.makers[node.output] = merged
        editor.add(merged)
        return True

    def _branches(self, editor: Editor, node: Node) -> list[_Branch]:
        """The operands of a sum that are branches; one may be the map that the other starts from."""
        found = [self._branch(editor, name) for name in node.inputs]
        for place, one in enumerate(list(found)):
            other = node.inputs[1 - place]
            if one is not None and one.conv is not None and one.source == other and found[1 - place] is None:
                found[1 - place] = _Branch(other, (), None, np.ones(1, np.float32), None)
        return [branch for branch in found if branch is not None]

    def _branch(self, editor: Editor, name: str) -> _Branch | None:
        node = self.makers.get(name)
        if node is None or self.uses.get(name) != 1 or any(x not in editor.constants for x in node.inputs[1:]):
            return None
        constants = [editor.constants[other] for other in node.inputs[1:]]
        if node.op in _CONVOLUTIONS and node.epilogue in (ACC, _SHIFTED) and len(constants) < 3:
            return _Branch(node.inputs[0], node.layers, node, None, constants[1] if len(constants) > 1 else None)
        channels = editor.values[name].shape[1:2]
        if node.op == "pointwise" and node.epilogue == _SCALED and all((x.size,) == channels for x in constants):
            return _Branch(node.inputs[0], node.layers, None, *constants)
        return None


def _merged(editor: Editor, node: Node, branches: Sequence[_Branch]) -> Node | None:
    """The convolution that computes the sum `node` of branches; None if there is none."""
    convs = [branch.conv for branch in branches if branch.conv is not None]
    if not convs or len({branch.source for branch in branches}) > 1:
        return None
    whole = max(convs, key=lambda conv: editor.constants[conv.inputs[1]].size)
    kernel = editor.constants[whole.inputs[1]].copy()
    for branch in branches:
        if branch.conv is whole:
            continue
        fits = (
            _add_scale(whole, kernel, branch)
            if branch.conv is None
            else _add_kernel(editor, whole, kernel, branch.conv)
        )
        if not fits:
            return None
    channels = kernel.shape[0]
    biases = [branch.bias.reshape(1, -1, 1, 1) for branch in branches if branch.bias is not None]
    inputs = [whole.inputs[0], editor.constant(f"{whole.inputs[1]}_sum", kernel)]
    epilogue: Expr = ACC
    if biases:
        bias = np.broadcast_to(sum(biases[1:], biases[0]), (1, channels, 1, 1))
        inputs.append(editor.constant(f"{whole.inputs[1]}_sum_bias", np.ascontiguousarray(bias, np.float32)))
        epilogue = _SHIFTED
    layers = tuple(dict.fromkeys((*(layer for branch in branches for layer in branch.layers), *node.layers)))
    return replace(whole, inputs=tuple(inputs), outputs=node.outputs, layers=layers, epilogue=epilogue)


def _add_kernel(editor: Editor, whole: Node, kernel: Array, other: Node) -> bool:
    """Adds the kernel of `other` where its taps meet the same pixels, if they are taps of the whole."""
    part = editor.constants[other.inputs[1]]
    same = ("strides", "groups")
    if (
        whole.op != other.op
        or part.shape[:2] != kernel.shape[:2]
        or any(whole.attrs[x] != other.attrs[x] for x in same)
    ):
        return False
    first = _first_tap(whole, _sizes(other, "pads"), kernel.shape[2:], part.shape[2:])
    spread = any(
        part.shape[2 + i] > 1 and _sizes(whole, "dilations")[i] != _sizes(other, "dilations")[i] for i in range(2)
    )
    if first is None or spread:
        return False
    (y, x), (rows, columns) = first, part.shape[2:]
    kernel[:, :, y : y + rows, x : x + columns] += part
    return True


def _add_scale(whole: Node, kernel: Array, branch: _Branch) -> bool:
    """Adds a scale of the map itself."""
    first = _first_tap(whole, (0, 0), kernel.shape[2:], (1, 1))
    groups, outputs, inputs = whole.attrs["groups"], kernel.shape[0], kernel.shape[1]
    assert isinstance(groups, int)
    assert branch.scale is not None
    if first is None or whole.attrs["strides"] != (1, 1) or inputs * groups != outputs:
        return False
    places = np.arange(outputs)
    kernel[places, places % inputs, first[0], first[1]] += branch.scale.reshape(-1)
    return True


def _first_tap(
    whole: Node, pads: tuple[int, ...], kernel: tuple[int, ...], part: tuple[int, ...]
) -> tuple[int, int] | None:
    """Which tap of the whole meets the pixels of the first tap of a part of this size, with these pads before it."""
    taps = []
    for axis in range(2):
        tap, rest = divmod(_sizes(whole, "pads")[axis] - pads[axis], _sizes(whole, "dilations")[axis])
        if rest or tap < 0 or tap + part[axis] > kernel[axis]:
            return None
        taps.append(tap)
    return taps[0], taps[1]


def _sizes(node: Node, name: str) -> tuple[int, ...]:
    """An attribute with a number for each axis, or each end of one."""
    sizes = node.attrs[name]
    assert isinstance(sizes, tuple)
    return sizes
