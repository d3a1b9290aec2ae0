"""Dense layers and matrix products."""

from __future__ import annotations

import math

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Editor, Node, as_float32
from tvmopt.schedules.expression import ACC, Arg, Expr, call


def gemm(editor: Editor, node: Node) -> bool:
    """``alpha · A · B + beta · C`` with constant `B` and constant `C`."""
    values = attributes(node)
    left, right = node.inputs[:2]
    if right not in editor.constants or values.get("transA", 0) or editor.graph.tensor(left).dtype != "float32":
        return False
    weight = editor.constants[right]
    weight = weight.T if values.get("transB", 0) else weight
    alpha = np.float32(values.get("alpha", 1.0))
    # Weights may be most of a model: they are copied only when they are packed.
    weight = np.asarray(weight if alpha == 1 else weight * alpha, np.float32)
    inputs = [left, editor.constant(f"{right}_by_row", weight)]
    epilogue: Expr = ACC
    if len(node.inputs) > 2 and node.inputs[2]:
        if node.inputs[2] not in editor.constants:
            return False
        bias = as_float32(editor.constants[node.inputs[2]]) * np.float32(values.get("beta", 1.0))
        if bias.size > 1 and bias.shape[-1] != bias.size:
            return False
        inputs.append(editor.constant(f"{node.inputs[2]}_by_column", bias.reshape(-1)))
        epilogue = call("add", ACC, Arg(2))
    _add(editor, node, tuple(inputs), epilogue, packed=1)
    return True


def matmul(editor: Editor, node: Node) -> bool:
    """MatMul with a constant right operand, or of two operands with the same batch dimensions."""
    left, right = (editor.graph.tensor(name) for name in node.inputs)
    if left.dtype != "float32" or len(left.shape) < 2 or len(right.shape) < 2 or node.inputs[0] in editor.constants:
        return False
    if node.inputs[1] in editor.constants and math.prod(right.shape[:-2]) == 1:
        array = editor.constants[node.inputs[1]].reshape(right.shape[-2:])
        _add(editor, node, (node.inputs[0], editor.constant(f"{node.inputs[1]}_matrix", array)), ACC, packed=1)
        return True
    if node.inputs[1] in editor.constants or left.shape[:-2] != right.shape[:-2]:
        return False
    _add(editor, node, node.inputs, ACC, packed=0)
    return True


def _add(editor: Editor, node: Node, inputs: tuple[str, ...], epilogue: Expr, packed: int) -> None:
    editor.add(Node("dense", inputs, node.outputs, node.layers, {"packed": packed}, epilogue))


RULES = {"Gemm": gemm, "MatMul": matmul}
