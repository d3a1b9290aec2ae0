"""Recurrent cells: how the gates of one time step become the next state. LSTM, GRU and the plain cell, after ONNX.

A cell consists of expressions (`schedules.expression`) over named vectors of hidden units, such as ``Named("c")``.
For a gate ``g``, ``x_g`` is its input projection with the biases, ``a_g`` the product of its recurrent weights with the
stage's source, ``p_g`` its peephole weights, ``b_g`` its recurrent bias. ``h`` and ``c`` are the states of the previous
step. Any other name is a value that an earlier step of the cell computed.

Source: the ONNX operator specification, LSTM, GRU and RNN.
"""

from __future__ import annotations

from dataclasses import dataclass

from tvmopt.schedules.expression import Const, Expr, Named, call
from tvmopt.schedules.workload import Workload

GATES: dict[str, tuple[str, ...]] = {"lstm": ("i", "o", "f", "g"), "gru": ("z", "r", "n"), "rnn": ("h",)}
"""The gates of each kind of cell in the order in which ONNX stacks their weights."""

ACTIVATIONS: dict[str, int] = {"lstm": 3, "gru": 2, "rnn": 1}
"""How many activation functions a kind of cell has: for the gates, the new value, LSTM's output."""

FUNCTIONS: dict[str, tuple[float | None, ...]] = {
    "sigmoid": (),
    "tanh": (),
    "relu": (),
    "softplus": (),
    "softsign": (),
    "affine": (None, None),
    "elu": (1.0,),
    "hardsigmoid": (0.2, 0.5),
    "leakyrelu": (0.01,),
    "scaledtanh": (None, None),
    "thresholdedrelu": (None,),
}
"""The activation functions that cells can use, with the defaults of their constants: alpha, then beta.

None where ONNX has no default, or onnxruntime another one.
A workload names a function with its constants behind colons: ``hardsigmoid:0.2:0.5``.
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a recurrence: time steps, rows of the batch, directions (1 or 2), gates, hidden units."""

    steps: int
    batch: int
    directions: int
    gates: int
    hidden: int


def shape_of(workload: Workload) -> Shape:
    """The sizes of a ``recurrence`` workload.

    Projections of one step are those of every step.
    """
    _, batch, _ = workload.inputs[0].shape
    kept = workload.attr("keeps_cell")
    assert isinstance(kept, int)
    steps = workload.output.shape[0] - kept
    directions, _, hidden = workload.inputs[1].shape
    return Shape(steps, batch, directions, len(GATES[workload.attr("kind")]), hidden)


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a time step; it begins only when all hidden units have finished the previous part.

    Attributes:
        gates: the gates whose recurrent weights are multiplied here.
        source: the vector they are multiplied with.
        steps: the values computed for each hidden unit, in order, each with its name.
        stores: the names that later stages or steps read.
    """

    gates: tuple[str, ...]
    source: str
    steps: tuple[tuple[str, Expr], ...]
    stores: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A time step, as stages that run one after another.

    Attributes:
        stages: the stages; the last one stores ``h``.
        memory: names of the vectors that need memory besides ``h``.
    """

    stages: tuple[Stage, ...]
    memory: tuple[str, ...]


def cell_of(workload: Workload) -> Cell:
    """The cell of a ``recurrence`` workload.

    Raises:
        ValueError: when `workload` names an unknown kind of cell or activation.
    """
    kind, names = workload.attr("kind"), workload.attr("activations").split()
    if kind not in GATES or len(names) != ACTIVATIONS[kind] or not all(map(is_known, names)):
        raise ValueError(f"no recurrent cell {kind!r} with activations {names}")
    if kind == "lstm":
        return _lstm(workload, names)
    if kind == "gru":
        return _gru(workload, names)
    steps = _activated(workload, "h", names[0], _gate("h"))
    return Cell((Stage(GATES["rnn"], "h", steps, ("h",)),), ())


def activate(name: str, value: Expr) -> Expr:
    """The activation function `name` of a workload, applied to `value`."""
    function, *constants = name.split(":")
    a, b = (*(Const(float(constant)) for constant in constants), Const(0.0), Const(0.0))[:2]
    match function:
        case "affine":
            return call("add", call("mul", a, value), b)
        case "elu":
            return call("elu", value, a)
        case "hardsigmoid":
            return call("hard_sigmoid", value, a, b)
        case "leakyrelu":
            return call("leaky_relu", value, a)
        case "scaledtanh":
            return call("mul", a, call("tanh", call("mul", b, value)))
        case "softsign":
            return call("div", value, call("add", Const(1.0), call("abs", value)))
        case "thresholdedrelu":
            return call("if_greater", value, a, value, Const(0.0))
        case _:
            return call(function, value)


def is_known(name: str) -> bool:
    """Whether cells can use the activation function `name`, and it has all its constants."""
    function, *constants = name.split(":")
    return function in FUNCTIONS and len(constants) == len(FUNCTIONS[function])


def operands_of(workload: Workload) -> tuple[str, ...]:
    """The names of a ``recurrence`` workload's optional operands, which follow projections and weights."""
    return tuple(workload.attr("operands").split())


def _lstm(workload: Workload, names: list[str]) -> Cell:
    gate, new, output = names
    peepholes = "peepholes" in operands_of(workload)

    def total(name: str) -> Expr:
        seen = call("add", _gate(name), call("mul", Named(f"p_{name}"), Named("c")))
        return seen if peepholes else _gate(name)

    forget: tuple[tuple[str, Expr], ...] = _activated(workload, "f", gate, total("f"))
    if workload.attr("input_forget"):
        forget = (("f", call("sub", Const(1.0), Named("i"))),)
    kept, added = call("mul", Named("f"), Named("c")), call("mul", Named("i"), Named("g"))
    steps = (
        *_activated(workload, "i", gate, total("i")),
        *forget,
        *_activated(workload, "g", new, _gate("g")),
        ("c", call("add", kept, added)),
        # Here c is already the new cell: the output gate's peephole reads that one.
        *_activated(workload, "o", gate, total("o")),
        ("h", call("mul", Named("o"), activate(output, Named("c")))),
    )
    return Cell((Stage(GATES["lstm"], "h", steps, ("c", "h")),), ("c",))


def _gru(workload: Workload, names: list[str]) -> Cell:
    gate, new = names
    reset, update = (_activated(workload, name, gate, _gate(name)) for name in ("r", "z"))
    # (1 - z) n + z h
    mixed = call("add", Named("n"), call("mul", Named("z"), call("sub", Named("h"), Named("n"))))
    if workload.attr("linear_before_reset"):
        product: Expr = Named("a_n")
        if "bias" in operands_of(workload):
            product = call("add", product, Named("b_n"))
        total = call("add", Named("x_n"), call("mul", Named("r"), product))
        steps = (*reset, *update, *_activated(workload, "n", new, total), ("h", mixed))
        return Cell((Stage(GATES["gru"], "h", steps, ("h",)),), ())
    # The reset gate scales the state before the new state's weights multiply it, hence a second stage.
    first = (*reset, *update, ("s", call("mul", Named("r"), Named("h"))))
    second = (*_activated(workload, "n", new, _gate("n")), ("h", mixed))
    stages = (Stage(("z", "r"), "h", first, ("z", "s")), Stage(("n",), "s", second, ("h",)))
    return Cell(stages, ("z", "s"))


def _gate(name: str) -> Expr:
    """A gate's input: the recurrent product plus the projection."""
    return call("add", Named(f"a_{name}"), Named(f"x_{name}"))


def _activated(workload: Workload, name: str, function: str, value: Expr) -> tuple[tuple[str, Expr], ...]:
    """`value`, clipped if the workload asks for it, then activated; two steps, as functions repeat their operand."""
    limit = workload.attr("clip")
    if limit:
        value = call("clip", value, Const(-limit), Const(limit))
    return (name, value), (name, activate(function, Named(name)))
