"""Reductions that TVM's importer gets wrong for NaN and infinities, put before it in a form that it gets right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tvmopt.pipeline.graph.ir import ONNX, Editor, Node
from tvmopt.pipeline.graph.recognize.types import Rule
from tvmopt.schedules.expression import Arg, Const, Expr, call
from tvmopt.schedules.workload import Tensor

_LAST = float(np.finfo(np.float32).max)


def place_of_extreme(editor: Editor, node: Node) -> bool:
    """ArgMax and ArgMin of float32: NaN counts as the extreme, as in numpy, and every row has a place.

    TVM begins with the least float32 at the place -1, and finds no NaN. So it gets ranks: NaN is the largest of them,
    and none is the least. A minimum is the maximum of the negative values.
    """
    import onnx

    tensor = editor.graph.tensor(node.inputs[0])
    if tensor.dtype != "float32" or node.inputs[0] in editor.constants:
        return False
    ranks = editor.value(f"{node.output}_ranks", tensor)
    expr: Expr = call("rank", Arg(0) if node.kind == "ArgMax" else call("neg", Arg(0)))
    editor.add(Node("pointwise", node.inputs, (ranks,), node.layers, {}, expr))
    proto = onnx.NodeProto()
    assert node.proto is not None
    proto.CopyFrom(node.proto)
    proto.op_type = "ArgMax"
    editor.add(replace(node, op=ONNX, inputs=(ranks,), proto=proto))
    return True


def log_sum_exp(editor: Editor, node: Node) -> bool:
    """ReduceLogSumExp of float32 over neighbouring axes: the largest value is subtracted before and added again.

    It is limited to finite numbers: infinity minus itself would be NaN.
    """
    from tvmopt.pipeline.graph.recognize.shape import reduced_axes

    axes = reduced_axes(editor, node)
    if axes is None:
        return False
    name, tensor = node.inputs[0], editor.graph.tensor(node.inputs[0])
    kept = Tensor(tuple(1 if axis in axes else size for axis, size in enumerate(tensor.shape)))

    def reduce(kind: str, taken: str) -> str:
        made = editor.value(f"{node.output}_{kind}", kept)
        editor.add(Node("reduce", (taken,), (made,), node.layers, {"kind": kind, "axes": axes}))
        return made

    def compute(stem: str, expr: Expr, taken: tuple[str, ...], shape: Tensor) -> str:
        made = editor.value(f"{node.output}_{stem}", shape)
        editor.add(Node("pointwise", taken, (made,), node.layers, {}, expr))
        return made

    largest = reduce("max", name)
    finite = call("clip", Arg(1), Const(-_LAST), Const(_LAST))
    powers = compute("powers", call("exp", call("sub", Arg(0), finite)), (name, largest), tensor)
    total = reduce("sum", powers)
    result = compute("kept", call("add", call("log", Arg(0)), finite), (total, largest), kept)
    editor.add(Node("reshape", (result,), node.outputs, node.layers))
    return True


RULES: dict[str, Rule] = {"ArgMax": place_of_extreme, "ArgMin": place_of_extreme, "ReduceLogSumExp": log_sum_exp}
