"""Which kernel calls a lowered module makes, and which node of the graph each of them computes.

What TVM's passes keep of a call (tried with 0.27): `build.schedule` keeps the attributes of a ``call_tir`` whose kernel
is opaque to fusion, and with them the place of its node, which `mark` adds. ``CallTIRRewrite``, in `build.plan_calls`,
drops attributes, but turns each into one call, in the same order. Neither a kernel's name nor its place identifies its
node: ``BlockBuilder.add_func`` gives equal functions one name, whatever their workloads; FoldConstant removes calls
whose operands are constant; FuseOps moves fused operators ahead of earlier calls. When an imported layer's operators
become kernels, LegalizeOps drops attributes and spans: such kernels are traced by what they read and who reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tvmopt.pipeline.compiler.traced.layer_flow import CONSTANT, Flow, Inner, Value, united
from tvmopt.pipeline.errors import BuildError

NODE = "tvmopt.node"
"""Attribute of a call: the place of its node in `pipeline.tasks.bind.BoundModel.nodes`."""

_CALLS = ("relax.call_tir", "relax.call_tir_inplace")


@dataclass(frozen=True, slots=True)
class KernelCall:
    """A call of a kernel.

    Attributes:
        kernel: its symbol.
        node: the place of the bound node that it computes; None if TVM made the kernel from imported layers.
        inner: for such a kernel, what it reads and who reads it; None for others.
    """

    kernel: str
    node: int | None
    inner: Inner | None


def mark(call: Any, place: int) -> Any:
    """The ``call_tir`` `call`, with the place of its node as an attribute."""
    from tvm import relax

    return relax.Call(call.op, call.args, {NODE: place}, call.ty_args)


def calls_of(module: Any) -> tuple[KernelCall, ...]:
    """The kernel calls of ``main``, in order.

    Args:
        module: after `pipeline.compiler.build.schedule`.
    """
    reader = _Reader()
    reader.read(module["main"])
    inner = iter(reader.flow.traced())
    return tuple(KernelCall(kernel, node, next(inner) if node is None else None) for kernel, node in reader.calls)


def check_calls(calls: Sequence[KernelCall], run: Iterable[str]) -> None:
    """Checks that a module runs `calls` and no others.

    Args:
        calls: as scheduled.
        run: names of the kernels of the planned module, in order.

    Raises:
        BuildError: when planning changed them.
    """
    if [call.kernel for call in calls] != list(run):
        raise BuildError("planning the memory changed which kernels run, or their order")


class _Reader:
    """Follows ``main`` binding by binding."""

    def __init__(self) -> None:
        self.flow = Flow()
        self.calls: list[tuple[str, int | None]] = []
        self.known: dict[Any, tuple[Value, ...]] = {}

    def read(self, function: Any) -> None:
        for number, parameter in enumerate(function.params):
            self.known[parameter] = (frozenset({("input", number)}),)
        for block in function.body.blocks:
            for binding in block.bindings:
                self.known[binding.var] = self._values(binding.value)
        for number, value in enumerate(self._values(function.body.body)):
            self.flow.sink(("output", number, 0), value)

    def _values(self, expr: Any) -> tuple[Value, ...]:
        """What an expression is made of: one value per field of a literal tuple, else one for everything."""
        from tvm import relax

        if isinstance(expr, relax.Var):
            return self.known[expr]
        if isinstance(expr, relax.Tuple):
            return tuple(united(self._values(field)) for field in expr.fields)
        if isinstance(expr, relax.TupleGetItem):
            fields = self._values(expr.tuple_value)
            return (fields[int(expr.index)] if len(fields) > 1 else united(fields),)
        if not isinstance(expr, relax.Call):
            return (CONSTANT,)
        if getattr(expr.op, "name", "") in _CALLS:
            return (self._call(expr),)
        return (united(value for argument in expr.args for value in self._values(argument)),)

    def _call(self, expr: Any) -> Value:
        arguments = [united(self._values(argument)) for argument in expr.args[1].fields]
        node = int(expr.attrs[NODE]) if expr.attrs is not None and NODE in dict(expr.attrs) else None
        self.calls.append((expr.args[0].name_hint, node))
        if node is None:
            return self.flow.inner(arguments)
        for index, argument in enumerate(arguments):
            self.flow.sink(("node", node, index), argument)
        return frozenset({("node", node)})
