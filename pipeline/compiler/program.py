"""A compiled model as a list of kernel calls on buffers: what the native runtime executes.

Everything is known ahead of time: which kernels run in which order, on which parts of which buffers. Modules that need
more than that (sorting, which TVM's runtime does) have no program and run on TVM's virtual machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from tvmopt.schedules.dtypes import dtype_of

Array = npt.NDArray[Any]

_DTYPES = {"bool", "float16", "float32", "float64"}
_DTYPES |= {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
"""Element types that a library can report to its caller."""

INPUT, CONSTANT, WORK = "input", "constant", "work"
"""Where a buffer is: a model input, one of the weights, or an intermediate tensor."""


@dataclass(frozen=True, slots=True)
class View:
    """A tensor in memory.

    Attributes:
        buffer: number of its buffer.
        offset: where it begins in the buffer, in bytes.
        shape: its sizes; elements follow each other in row-major order.
        dtype: element type, as numpy spells it.
    """

    buffer: int
    offset: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        """How many bytes it takes."""
        return math.prod(self.shape) * dtype_of(self.dtype).nbytes


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel call.

    Attributes:
        kernel: its symbol.
        arguments: inputs first.
        tasks: number of tasks of its parallel loops (`schedules.llvm.parts.emit.parallel_tasks`).
    """

    kernel: str
    arguments: tuple[View, ...]
    tasks: int


@dataclass(frozen=True, slots=True)
class Later:
    """A constant that is made only when it is stored, so that a model's weights exist once rather than twice.

    Attributes:
        nbytes: how many bytes it will take.
        make: makes it; each call gives the same array.
    """

    nbytes: int
    make: Callable[[], Array]


def made(constant: Array | Later) -> Array:
    """The constant's array."""
    return constant.make() if isinstance(constant, Later) else constant


@dataclass(frozen=True, slots=True)
class Program:
    """The calls in order.

    Attributes:
        calls: what runs.
        places: where each buffer is.
        inputs: the model's inputs, in order.
        outputs: the model's outputs, in order.
        constants: the arrays of the constant buffers, by number.
    """

    calls: tuple[Call, ...]
    places: tuple[str, ...]
    inputs: tuple[View, ...]
    outputs: tuple[View, ...]
    constants: Mapping[int, Array | Later]

    def sizes(self) -> list[int]:
        """Bytes of each buffer, up to the end of its furthest view."""
        sizes = [0] * len(self.places)
        for view in self.views():
            sizes[view.buffer] = max(sizes[view.buffer], view.offset + view.nbytes)
        return sizes

    def renamed(self, kernels: Mapping[str, str]) -> Program:
        """The program with other symbols for its kernels."""
        return replace(self, calls=tuple(replace(call, kernel=kernels[call.kernel]) for call in self.calls))

    def views(self) -> Iterable[View]:
        """Every tensor that is used."""
        yield from self.inputs
        for call in self.calls:
            yield from call.arguments
        yield from self.outputs


def program_of(module: Any) -> Program | None:
    """The program of a module whose kernels are called with the buffers they write to; None if it needs more than that.

    Args:
        module: after `pipeline.compiler.build.plan_calls`.
    """
    reader = _Reader(module)
    try:
        return reader.program(module["main"])
    except NotStaticError:
        return None


class NotStaticError(Exception):
    """The module does more than call kernels."""


class _Reader:
    """Follows ``main`` binding by binding."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.places: list[str] = []
        self.constants: dict[int, Array] = {}
        self.known: dict[Any, Any] = {}
        self.arrays: dict[tuple[int, tuple[int, ...], str], View] = {}
        self.calls: list[Call] = []

    def program(self, function: Any) -> Program:
        inputs = []
        for parameter in function.params:
            view = self._new(INPUT, _shape(parameter.ty), str(parameter.ty.dtype))
            self.known[parameter] = view
            inputs.append(view)
        for block in function.body.blocks:
            for binding in block.bindings:
                self.known[binding.var] = self._value(binding.value)
        result = self._value(function.body.body)
        outputs = result if isinstance(result, tuple) else (result,)
        if not all(isinstance(view, View) for view in outputs):
            raise NotStaticError
        return Program(tuple(self.calls), tuple(self.places), tuple(inputs), outputs, self.constants)

    def _value(self, expr: Any) -> Any:
        from tvm import relax
        from tvm.ir import GenericConst, GlobalVar

        if isinstance(expr, relax.Var):
            return self.known[expr]
        if isinstance(expr, GenericConst):
            return self._constant(expr)
        if isinstance(expr, relax.Tuple):
            return tuple(self._value(field) for field in expr.fields)
        if isinstance(expr, relax.TupleGetItem):
            return self._value(expr.tuple_value)[int(expr.index)]
        if not isinstance(expr, relax.Call):
            raise NotStaticError
        if isinstance(expr.op, GlobalVar):
            return self._call(expr)
        name = getattr(expr.op, "name", "")
        if name == "relax.builtin.alloc_tensor":
            return self._new(WORK, tuple(int(size) for size in expr.args[0].values), str(expr.args[1].value))
        if name == "relax.reshape":
            view = self._value(expr.args[0])
            return replace(view, shape=_shape(expr.ty))
        raise NotStaticError

    def _call(self, expr: Any) -> None:
        from tvmopt.schedules.llvm.parts.emit import parallel_tasks

        arguments = [self._value(argument) for argument in expr.args]
        if not all(isinstance(argument, View) for argument in arguments):
            raise NotStaticError
        self.calls.append(Call(expr.op.name_hint, tuple(arguments), parallel_tasks(self.module[expr.op])))

    def _constant(self, expr: Any) -> View:
        array = expr.value.numpy() if hasattr(expr.value, "numpy") else None
        if array is None:
            raise NotStaticError
        # One address is one constant; shape and dtype distinguish empty constants, and several views of one.
        key = (int(expr.value.data_ptr()), array.shape, str(expr.value.dtype))
        if key not in self.arrays:
            view = self._new(CONSTANT, array.shape, str(expr.value.dtype))
            self.constants[view.buffer] = array
            self.arrays[key] = view
        return self.arrays[key]

    def _new(self, place: str, shape: Sequence[int], dtype: str) -> View:
        self.places.append(place)
        return View(len(self.places) - 1, 0, tuple(shape), checked_dtype(dtype))


def checked_dtype(dtype: str) -> str:
    """`dtype`, if our runtime can hold it.

    Raises:
        NotStaticError: otherwise.
    """
    if dtype not in _DTYPES:
        raise NotStaticError
    return dtype


def _shape(type_: Any) -> tuple[int, ...]:
    from tvm import relax, tirx

    shape = getattr(type_, "shape", None)
    if not isinstance(shape, relax.ShapeExpr) or not all(isinstance(size, tirx.IntImm) for size in shape.values):
        raise NotStaticError
    return tuple(int(size) for size in shape.values)
