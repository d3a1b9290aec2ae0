"""The layers that each kernel call of a compiled model stands for, and its outputs, for the artifact's manifest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tvmopt.pipeline.compiler.steps import imported_step, own_step
from tvmopt.pipeline.compiler.traced.kernel_calls import KernelCall
from tvmopt.pipeline.compiler.traced.layer_flow import CONSTANT, Flow, Inner, Value, same_neighbours, united
from tvmopt.pipeline.errors import BuildError
from tvmopt.pipeline.graph.ir import Node
from tvmopt.pipeline.tasks.bind import BoundModel
from tvmopt.pipeline.types import Step


def steps_of(bound: BoundModel, calls: Sequence[KernelCall]) -> tuple[Step, ...]:
    """The kernel calls of a compiled module, each with the nodes of `bound` that it computes.

    Calls of templates' kernels say which node is theirs. Kernels that TVM made from imported layers have the same
    neighbours as these layers: one kernel per layer if they match one to one, else each stands for all of them.

    Args:
        bound: the graph that was compiled.
        calls: those of the module, in order.

    Raises:
        BuildError: when the module runs other kernels than the graph asks for.
    """
    layers = _Layers(bound)
    _check_nodes(bound, calls, layers.constants)
    imported = layers.of(calls)
    return tuple(
        imported_step(bound.graph, call.kernel, *imported[place][0], alone=imported[place][1])
        if call.node is None
        else _step_of(bound, call.kernel, call.node)
        for place, call in enumerate(calls)
    )


class _Layers:
    """The imported layers of a graph, and their neighbours.

    Attributes:
        constants: places of the nodes with a template that no input of the model reaches.
    """

    def __init__(self, bound: BoundModel) -> None:
        self.constants: set[int] = set()
        self._nodes: list[Node] = []
        self._inner = self._trace(bound)

    def of(self, calls: Sequence[KernelCall]) -> dict[int, tuple[tuple[Node, ...], bool]]:
        """For each call of a kernel that TVM made: its nodes, and whether its result is theirs.

        Raises:
            BuildError: when a kernel belongs to no layer.
        """
        groups: dict[tuple[int, ...], list[tuple[int, Inner]]] = defaultdict(list)
        for place, call in enumerate(calls):
            if call.inner is not None:
                reached = call.inner.part_sinks
                parts = sorted({inner.part for inner in self._inner if not reached.isdisjoint(inner.part_sinks)})
                if not parts:
                    raise BuildError(f"the compiled module runs {call.kernel}, which no layer asks for")
                groups[tuple(parts)].append((place, call.inner))
        found: dict[int, tuple[tuple[Node, ...], bool]] = {}
        for group, kernels in groups.items():
            members = [number for number, inner in enumerate(self._inner) if inner.part in group]
            same = same_neighbours([inner for _, inner in kernels], [self._inner[number] for number in members])
            everything = tuple(self._nodes[number] for number in members)
            for order, (place, _) in enumerate(kernels):
                found[place] = (everything, False) if same is None else ((everything[same[order]],), True)
        return found

    def _trace(self, bound: BoundModel) -> tuple[Inner, ...]:
        flow = Flow()
        values: dict[str, Value] = {
            name: frozenset({("input", number)}) for number, name in enumerate(bound.graph.inputs)
        }
        for place, one in enumerate(bound.nodes):
            inputs = [values.get(name, CONSTANT) for name in one.node.inputs]
            if one.is_view:
                made = united(inputs)
            elif one.is_imported:
                made = flow.inner(inputs)
                self._nodes.append(one.node)
            else:
                for index, value in enumerate(inputs):
                    flow.sink(("node", place, index), value)
                made = frozenset({("node", place)}) if any(inputs) else CONSTANT
                if not made:
                    self.constants.add(place)
            values.update(dict.fromkeys(one.node.outputs, made))
        for number, name in enumerate(bound.graph.outputs):
            flow.sink(("output", number, 0), values.get(name, CONSTANT))
        return flow.traced()


def _check_nodes(bound: BoundModel, calls: Sequence[KernelCall], constants: set[int]) -> None:
    """Checks that every node with a template is computed once; TVM itself may fold one that only reads constants."""
    own = [call.node for call in calls if call.node is not None]
    for place, one in enumerate(bound.nodes):
        if one.workload is not None and place not in constants and place not in own:
            raise BuildError(f"layer {one.node.layers[0]!r} has no kernel in the compiled module")
    for call in calls:
        if call.node is not None and own.count(call.node) > 1:
            raise BuildError(f"the compiled module runs {call.kernel} more often than the graph asks for")


def _step_of(bound: BoundModel, symbol: str, place: int) -> Step:
    return own_step(bound.graph, bound.nodes[place].node, bound.nodes[place].kernel, symbol)
