"""Element-wise expressions: what a kernel stores, computed from its result and further operands.

An expression is a tree of frozen nodes. `to_json` writes nested lists, the form in records and in the hashes that name
workloads: ``["acc"]``, ``["arg", i]``, ``["const", x]`` or ``[function, operand, …]``. The functions are those of
`schedules.compute.pointwise`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Acc:
    """What the operator itself computes."""

    def to_json(self) -> list[Any]:
        """``["acc"]``."""
        return [_ACC]


@dataclass(frozen=True, slots=True)
class Arg:
    """The element of the workload's input number `index` that broadcasts to the output's element."""

    index: int

    def to_json(self) -> list[Any]:
        """``["arg", index]``."""
        return [_ARG, self.index]


@dataclass(frozen=True, slots=True)
class Named:
    """A value bound to a name where the expression is evaluated; only inside kernels, never in a workload."""

    name: str

    def to_json(self) -> list[Any]:
        """Not possible.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"named value {self.name!r} exists only inside a kernel and has no JSON form")


@dataclass(frozen=True, slots=True)
class Const:
    """A number."""

    value: float

    def to_json(self) -> list[Any]:
        """``["const", value]``."""
        return [_CONST, self.value]


@dataclass(frozen=True, slots=True)
class Call:
    """A function applied to operands; `call` is its shorthand.

    Attributes:
        function: its name.
        operands: in order.
    """

    function: str
    operands: tuple[Expr, ...]
    # Cached: tuning hashes workloads, and with them these trees, again and again.
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.function, self.operands)))

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process hashes strings differently, so the hash must not be pickled.
        return Call, (self.function, self.operands)

    def to_json(self) -> list[Any]:
        """``[function, operand, …]``."""
        return [self.function, *(operand.to_json() for operand in self.operands)]


Expr = Acc | Arg | Named | Const | Call

ACC = Acc()

_ACC, _ARG, _CONST = "acc", "arg", "const"


def call(function: str, *operands: Expr) -> Call:
    """`function` of `operands`."""
    return Call(function, operands)


def expression_from_json(data: Any) -> Expr:
    """The inverse of `to_json`.

    Raises:
        ValueError: when `data` is not what `to_json` writes.
    """
    match data:
        case ["acc"]:
            return ACC
        case ["arg", int(index)]:
            return Arg(index)
        case ["const", int(value) | float(value)]:
            return Const(value)
        case [str(function), *operands] if function not in (_ACC, _ARG, _CONST):
            return Call(function, tuple(map(expression_from_json, operands)))
    raise ValueError(f"not an expression: {data!r}")


def operands_of(expr: Expr) -> tuple[Expr, ...]:
    """The operands of a call; none for any other node."""
    return expr.operands if isinstance(expr, Call) else ()


def functions_of(expr: Expr) -> set[str]:
    """The names of all functions in `expr`."""
    own = {expr.function} if isinstance(expr, Call) else set()
    return own.union(*map(functions_of, operands_of(expr)))


def arguments_of(expr: Expr) -> set[int]:
    """The indices of all arguments in `expr`."""
    own = {expr.index} if isinstance(expr, Arg) else set()
    return own.union(*map(arguments_of, operands_of(expr)))


def tables_of(expr: Expr) -> set[int]:
    """The indices of the arguments that are tables: they belong to all elements, and do not broadcast."""
    match expr:
        case Call("table", (places, Arg(index))):
            return {index} | tables_of(places)
    return set[int]().union(*map(tables_of, operands_of(expr)))


def size_of(expr: Expr) -> int:
    """The number of functions in `expr`, each as often as it occurs."""
    return isinstance(expr, Call) + sum(map(size_of, operands_of(expr)))


def reads_of(expr: Expr, places: set[int]) -> int:
    """How often `expr` reads arguments whose indices are in `places`."""
    own = isinstance(expr, Arg) and expr.index in places
    return own + sum(reads_of(operand, places) for operand in operands_of(expr))


def rename_arguments(expr: Expr, renamed: Callable[[int], Expr]) -> Expr:
    """`expr` with every argument replaced by what `renamed` returns for its index."""
    if isinstance(expr, Arg):
        return renamed(expr.index)
    if isinstance(expr, Call):
        return Call(expr.function, tuple(rename_arguments(operand, renamed) for operand in expr.operands))
    return expr


def replace_result(expr: Expr, result: Expr) -> Expr:
    """`expr` with `result` in place of the kernel's result."""
    if expr == ACC:
        return result
    if isinstance(expr, Call):
        return Call(expr.function, tuple(replace_result(operand, result) for operand in expr.operands))
    return expr


def taken_factor(expr: Expr) -> tuple[float, Expr]:
    """A factor of the kernel's result, and `expr` of the result that already has this factor.

    Returns:
        1 and `expr` itself, unless `expr` reads the result only as a multiple of it.
    """
    if _results_in(expr) != 1:
        return 1.0, expr
    match expr:
        case Call("mul", (Acc(), Const(value)) | (Const(value), Acc())) if value != 0.0 and math.isfinite(value):
            return value, ACC
        case Call("div", (Acc(), Const(value))) if value != 0.0 and abs(math.frexp(value)[0]) == 0.5:
            return 1.0 / value, ACC
        case Call(function, operands):
            place = next(i for i, operand in enumerate(operands) if _results_in(operand))
            factor, operand = taken_factor(operands[place])
            if factor == 1.0:
                return 1.0, expr
            further, rest = taken_factor(Call(function, (*operands[:place], operand, *operands[place + 1 :])))
            return factor * further, rest
    return 1.0, expr


def _results_in(expr: Expr) -> int:
    return 1 if expr == ACC else sum(map(_results_in, operands_of(expr)))
