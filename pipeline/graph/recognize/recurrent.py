"""LSTM, GRU and RNN: one matrix product for the input projections of all time steps, then the recurrence.

The recurrence returns ``(T, D·N, H)``: time, directions and batch, hidden units. ONNX's outputs are slices of it: all
states, the last state of each direction, and LSTM's last cell, which comes after the states when it is needed.
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Array, Editor, Node, as_float32
from tvmopt.pipeline.graph.recognize.insert_onnx import add_onnx, add_slice
from tvmopt.pipeline.graph.recognize.types import Rule
from tvmopt.pipeline.importers.onnx_form.recurrent import activations_of
from tvmopt.schedules.compute.recurrent import ACTIVATIONS, GATES
from tvmopt.schedules.expression import ACC, Arg, Expr, call
from tvmopt.schedules.workload import Attr, Tensor


def recurrence(editor: Editor, node: Node) -> bool:
    """LSTM, GRU or RNN with constant weights, over sequences of the full length."""
    _Recurrence(editor, node).add()
    return True


class _Recurrence:
    """Splits one node into a matrix product, a recurrence and slices."""

    def __init__(self, editor: Editor, node: Node) -> None:
        assert node.proto is not None
        self.editor, self.node, self.activations = editor, node, activations_of(node.proto)
        self.kind, self.values = node.kind.lower(), attributes(node)
        names = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
        self.inputs = dict(zip(names, (*node.inputs, *[""] * len(names)), strict=False))
        made = iter(node.outputs)
        outputs = [next(made) if name else "" for name in node.proto.output]
        uses = editor.graph.uses()
        used = (name if uses[name] else "" for name in (*outputs, "", "", ""))
        self.outputs = dict(zip(("Y", "Y_h", "Y_c"), used, strict=False))
        self.steps, self.batch, _ = editor.graph.tensor(self.inputs["X"]).shape
        self.directions, _, self.hidden = editor.graph.tensor(self.inputs["R"]).shape
        self.gates = len(GATES[self.kind])
        self.keeps_cell = bool(self.outputs["Y_c"])

    def add(self) -> None:
        """Adds the matrix product, the recurrence and the slices of its result."""
        self._check()
        bias, held_back = self._biases()
        inputs = {"projections": self._projections(bias), "weights": self.inputs["R"]}
        if held_back is not None:
            inputs["bias"] = self._constant("bias", held_back)
        for name in ("initial_h", "initial_c"):
            if self._matters(self.inputs[name]):
                inputs[name] = self.inputs[name]
        if self._matters(self.inputs["P"]):
            inputs["peepholes"] = self.inputs["P"]
        attrs: dict[str, Attr] = {
            "kind": self.kind,
            "direction": str(self.values.get("direction", "forward")),
            "activations": " ".join(self.activations[: ACTIVATIONS[self.kind]]),
            "clip": float(self.values.get("clip", 0.0)),
            "input_forget": int(self.values.get("input_forget", 0)),
            "linear_before_reset": int(self.values.get("linear_before_reset", 0)),
            "keeps_cell": int(self.keeps_cell),
            "operands": " ".join(list(inputs)[2:]),
        }
        rows = self.directions * self.batch
        states = self._value("states", (self.steps + self.keeps_cell, rows, self.hidden))
        self.editor.add(Node("recurrence", tuple(inputs.values()), (states,), self.node.layers, attrs))
        self._cut(states)

    def _check(self) -> None:
        for name, what in (("W", "weights"), ("R", "recurrent weights"), ("B", "biases"), ("P", "peepholes")):
            if self.inputs[name] and self.inputs[name] not in self.editor.constants:
                self._refuse(f"its {what} are computed at run time; they must be constant")
        lengths = self.inputs["sequence_lens"]
        if lengths and lengths not in self.editor.constants:
            self._refuse("its sequences' lengths are computed at run time; all must have the full length")
        if lengths and (self.editor.constants[lengths] != self.steps).any():
            given = self.editor.constants[lengths].tolist()
            self._refuse(f"its sequences have the lengths {given}; all must have the full length, {self.steps}")
        dtype = self.editor.graph.tensor(self.inputs["X"]).dtype
        if dtype != "float32":
            self._refuse(f"its input is {dtype}; only float32 is supported")

    def _refuse(self, why: str) -> NoReturn:
        raise UnsupportedModelError(f"layer {self.node.layers[0]!r} ({self.node.kind}): {why}")

    def _matters(self, name: str) -> bool:
        """Whether an optional operand is present and not all zeros."""
        return bool(name) and (name not in self.editor.constants or bool(self.editor.constants[name].any()))

    def _biases(self) -> tuple[Array, Array | None]:
        """The projections' bias ``(D·G·H,)``, and ``(D, H)`` of GRU's new state if the reset gate acts on that bias."""
        if not self._matters(self.inputs["B"]):
            return np.zeros(0, np.float32), None
        parts = self.editor.constants[self.inputs["B"]].reshape(self.directions, 2, self.gates, self.hidden)
        total = parts[:, 0] + parts[:, 1]
        held_back = None
        if self.kind == "gru" and self.values.get("linear_before_reset", 0):
            new = GATES["gru"].index("n")
            total[:, new], held_back = parts[:, 0, new], parts[:, 1, new]
        return as_float32(total.reshape(-1)), held_back

    def _projections(self, bias: Array) -> str:
        """``X · W + bias`` of all time steps, gates and directions: (T, N, D·G·H)."""
        weights = self.editor.constants[self.inputs["W"]]
        columns = self.directions * self.gates * self.hidden
        matrix = np.ascontiguousarray(weights.reshape(columns, -1).T)
        inputs = [self.inputs["X"], self._constant("projection_weights", matrix)]
        epilogue: Expr = ACC
        if bias.size:
            inputs.append(self._constant("projection_bias", bias))
            epilogue = call("add", ACC, Arg(2))
        result = self._value("projections", (self.steps, self.batch, columns))
        self.editor.add(Node("dense", tuple(inputs), (result,), self.node.layers, {"packed": 1}, epilogue))
        return result

    def _cut(self, states: str) -> None:
        """Adds ONNX's outputs as slices of the states (and the last cell behind them)."""
        steps, batch, rows = self.steps, self.batch, self.directions * self.batch
        if self.outputs["Y"]:
            self._reshape(self._slice(states, (0, steps)), "Y")
        if self.outputs["Y_h"]:
            last = 0 if self.values.get("direction", "forward") == "reverse" else steps - 1
            made = self._slice(states, (last, last + 1), (0, batch))
            if self.directions == 2:
                parts = (made, self._slice(states, (0, 1), (batch, rows)))
                made = self._value("last_states", (1, rows, self.hidden))
                add_onnx(self.editor, self.node, "Concat", parts, made, axis=1)
            self._reshape(made, "Y_h")
        if self.keeps_cell:
            self._reshape(self._slice(states, (steps, steps + 1)), "Y_c")

    def _slice(self, states: str, times: tuple[int, int], rows: tuple[int, int] | None = None) -> str:
        ranges = {0: times} if rows is None else {0: times, 1: rows}
        return add_slice(self.editor, self.node, states, ranges)

    def _reshape(self, name: str, output: str) -> None:
        self.editor.add(Node("reshape", (name,), (self.outputs[output],), self.node.layers))

    def _value(self, stem: str, shape: tuple[int, ...]) -> str:
        return self.editor.value(f"{self.node.layers[0]}_{stem}", Tensor(shape))

    def _constant(self, stem: str, array: Array) -> str:
        return self.editor.constant(f"{self.node.layers[0]}_{stem}", array)


RULES: dict[str, Rule] = {"LSTM": recurrence, "GRU": recurrence, "RNN": recurrence}
