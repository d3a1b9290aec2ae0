"""Fuses element-wise operators into the kernel that makes their operand. Returns a new graph.

1. Behind a convolution, matrix product or pooling whose result only the element-wise operator reads, its expression
   becomes the kernel's epilogue: bias, residual addition and activation need no separate pass over memory.
2. An element-wise operator that only one other element-wise operator reads becomes part of that one's expression.

The kernel moves to the place of the element-wise operator, so that every operand of the epilogue is computed by then.
"""

from __future__ import annotations

from dataclasses import replace

from tvmopt.pipeline.graph.ir import Graph, Node, without_dead_code
from tvmopt.pipeline.graph.quantized.scales import reads_bytes
from tvmopt.schedules.compute.functions import QUANTIZED, finite_at_zero
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.expression import Arg, Call, Expr, reads_of, rename_arguments, size_of, tables_of
from tvmopt.schedules.operators import MAP_NORM, Layout
from tvmopt.schedules.workload import Tensor

MAX_FUNCTIONS = 24
"""The most functions in an expression: with more, its kernel would spill registers."""


FLOATS = frozenset({FLOAT32})
QUANTISED = frozenset({FLOAT32, QUANTIZED})


def fuse_epilogue(graph: Graph) -> Graph:
    """Fuses until nothing changes; what only makes floats of integers at first only into its reader."""
    return _fused(_fused(graph, waiting=True), waiting=False)


def _fused(graph: Graph, *, waiting: bool) -> Graph:
    """Fuses until nothing changes; `waiting` for readers to take what makes floats of integers.

    A map of integers has a quarter of the bytes of one of floats.
    """
    nodes = list(graph.nodes)
    position = 0
    while position < len(nodes):
        node = nodes[position]
        if node.op != "pointwise" or (waiting and _dequantizes(node)):
            position += 1
            continue
        current = replace(graph, nodes=tuple(nodes))
        fused = _fuse_one(current, node)
        if fused is None:
            position += 1
            continue
        producer, merged = fused
        nodes[position] = merged
        nodes.remove(producer)
        # The merged node may fuse again; it is now one place earlier.
        position = max(position - 1, 0)
    return without_dead_code(replace(graph, nodes=tuple(nodes)))


def _fuse_one(graph: Graph, node: Node) -> tuple[Node, Node] | None:
    """The producer that `node` is fused into and the merged node, or None."""
    uses, producers = graph.uses(), graph.producers()
    # Of several producers the last to run is chosen: an earlier one would have to wait for it anyway. But beside a
    # kernel of integers, what only makes floats of integers comes first: then the kernel reads the integers.
    order = {id(other): i for i, other in enumerate(graph.nodes)}
    candidates = [producers[name] for name in node.inputs if name in producers]
    integers = any(reads_bytes(graph, other) for other in candidates)
    for producer in sorted(candidates, key=lambda other: (not (integers and _dequantizes(other)), -order[id(other)])):
        if len(producer.outputs) != 1 or uses[producer.output] != node.inputs.count(producer.output):
            continue
        merged = _merge(graph, producer, node)
        if merged is not None:
            return producer, merged
    return None


def _merge(graph: Graph, producer: Node, node: Node) -> Node | None:
    made, result = graph.tensor(producer.output), graph.tensor(node.output)
    if made.shape != result.shape or size_of(node.epilogue) + size_of(producer.epilogue) > MAX_FUNCTIONS:
        return None
    tables = tables_of(node.epilogue)
    others = [name for i, name in enumerate(node.inputs) if name != producer.output and i not in tables]
    if producer.op == "pointwise":
        if _repeats(node, producer.output):
            return None
    elif (
        any(graph.tensor(name).dtype not in _types(graph, producer) for name in (*node.inputs, node.output))
        or not producer.operator.takes_epilogue
        or (tables and producer.operator.layout is Layout.PLAIN)
        or not all(_operand_fits(graph, producer, name) for name in others)
    ):
        return None
    elif producer.operator.layout is not Layout.PLAIN and not finite_at_zero(node.epilogue):
        # The padding channels of the last block would become infinite.
        return None
    inputs = list(producer.inputs)

    def renamed(index: int) -> Expr:
        name = node.inputs[index]
        if name == producer.output:
            return producer.epilogue
        # The producer's own operands must stay in place, so an operand that is read again gets another place.
        known = inputs if producer.op == "pointwise" else inputs[producer.operator.own(len(producer.inputs)) :]
        if name not in known:
            inputs.append(name)
            return Arg(len(inputs) - 1)
        return Arg(len(inputs) - len(known) + known.index(name))

    epilogue = rename_arguments(node.epilogue, renamed)
    layers = (*producer.layers, *node.layers)
    return replace(producer, inputs=tuple(inputs), outputs=node.outputs, layers=layers, epilogue=epilogue)


def _dequantizes(node: Node) -> bool:
    """Whether a node only makes floats of integers."""
    return node.op == "pointwise" and isinstance(node.epilogue, Call) and node.epilogue.function == "dequantize"


def _types(graph: Graph, producer: Node) -> frozenset[str]:
    """The element types that the epilogue of a kernel may read and write."""
    return QUANTISED if reads_bytes(graph, producer) else FLOATS


def _repeats(node: Node, name: str) -> bool:
    """Whether the expression reads `name` more than once, so that fusing would compute it twice."""
    return reads_of(node.epilogue, {i for i, other in enumerate(node.inputs) if other == name}) > 1


def _operand_fits(graph: Graph, producer: Node, name: str) -> bool:
    """Whether the kernel of `producer` can read `name` along with each element of its result."""
    tensor, result = graph.tensor(name), graph.tensor(producer.output)
    if tensor.elements == 1 or tensor.shape == result.shape:
        return True
    if producer.operator.layout is Layout.PLAIN:
        return name in graph.constants and tensor.elements == tensor.shape[-1] == result.shape[-1]
    if producer.operator is MAP_NORM and tensor.shape[-2:] not in (result.shape[-2:], (1, 1)):
        return False
    # A kernel reads feature maps; only constants can be reshaped to that rank.
    return broadcasts(tensor, result) and (len(tensor.shape) == 4 or name in graph.constants)


def broadcasts(tensor: Tensor, result: Tensor) -> bool:
    """Whether `tensor` repeats along dimensions of the feature map `result`."""
    shape = (1,) * (len(result.shape) - len(tensor.shape)) + tensor.shape
    return len(shape) == 4 and all(a in (1, b) for a, b in zip(shape, result.shape, strict=True))
