"""Binds each node of an optimised graph to its workload and its kernel, once; later stages read them there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tvmopt.pipeline.graph.ir import ONNX, Node
from tvmopt.pipeline.graph.optimize import OptimizedModel
from tvmopt.pipeline.tasks.workloads import workload_of
from tvmopt.schedules.operators import BOUNDS, RESHAPE
from tvmopt.schedules.registry import BoundKernel, kernel_for
from tvmopt.schedules.workload import Workload


@dataclass(frozen=True, slots=True)
class BoundNode:
    """A node and what computes it.

    Attributes:
        node: of the graph.
        workload: what its kernel computes; None where TVM's importer lowers the node, and where it is a view or
            a check.
        kernel: the template's kernel; None without a workload, and where no template supports it on the target.
    """

    node: Node
    workload: Workload | None = None
    kernel: BoundKernel | None = None

    @property
    def is_view(self) -> bool:
        """Whether the node computes nothing."""
        return self.node.op == RESHAPE.name

    @property
    def is_check(self) -> bool:
        """Whether the node only checks indices."""
        return self.node.op == BOUNDS.name

    @property
    def is_imported(self) -> bool:
        """Whether TVM's importer lowers the node."""
        return self.node.op == ONNX


@dataclass(frozen=True, slots=True)
class BoundModel(OptimizedModel):
    """An optimised model whose nodes are bound.

    Attributes:
        nodes: those of the graph, in its order; from here on, a node's index identifies it.
    """

    nodes: tuple[BoundNode, ...]

    def workloads(self) -> Iterator[tuple[Node, Workload]]:
        """The nodes that have a workload, with their workloads, in order."""
        return ((bound.node, bound.workload) for bound in self.nodes if bound.workload is not None)

    def kernel_of(self, value: str) -> BoundKernel | None:
        """The kernel that makes `value`; None where no template does."""
        return next((bound.kernel for bound in self.nodes if value in bound.node.outputs), None)


def bind(optimized: OptimizedModel) -> BoundModel:
    """`optimized` with each node bound; unchanged if it was bound before.

    A workload that no template supports stays without a kernel: compiling refuses its node, inspecting reports it.
    """
    if isinstance(optimized, BoundModel):
        return optimized
    nodes = tuple(_bound(optimized, node) for node in optimized.graph.nodes)
    return BoundModel(optimized.model, optimized.target, optimized.graph, nodes)


def _bound(optimized: OptimizedModel, node: Node) -> BoundNode:
    if not node.operator.kernel:
        return BoundNode(node)
    workload = workload_of(optimized.graph, node)
    try:
        return BoundNode(node, workload, kernel_for(workload, optimized.target))
    except LookupError:
        return BoundNode(node, workload)
