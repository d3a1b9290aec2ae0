"""Averages of quantised maps, over windows and whole maps, and interpolations between their pixels."""

from __future__ import annotations

from dataclasses import replace

from tvmopt.pipeline.graph.ir import ONNX, Editor, Node, Origin
from tvmopt.pipeline.graph.quantized.values import QuantizedValues
from tvmopt.pipeline.graph.recognize.pooling import whole_map_attrs, window_attrs
from tvmopt.pipeline.graph.recognize.shape import reduced_axes, resize_tables
from tvmopt.schedules.expression import ACC, Const, call
from tvmopt.schedules.workload import Attr, Tensor


def average(values: QuantizedValues, editor: Editor, node: Node) -> bool:
    """Adds an average over windows or whole maps that are quantised; returns False for anything else."""
    source = values.floats.get(node.inputs[0]) if node.op == ONNX and node.inputs else None
    if source is None or not source.scale.is_single or len(editor.values[source.name].shape) != 4:
        return False
    attrs = _attrs(editor, node)
    if attrs is None:
        return False
    attrs["zero"], attrs["scale"] = source.scale.unsigned_zero, float(source.scale.scale.reshape(-1)[0])
    strides = attrs["strides"]
    assert isinstance(strides, tuple)
    attrs["by_column"] = int(sums_columns(strides, editor.graph.opset))
    pool = Node("pool2d", (source.name,), node.outputs, node.layers, attrs)
    result = values.graph.tensor(node.output)
    if len(result.shape) == 4:
        editor.add(pool)
        return True
    maps = Tensor((*editor.values[source.name].shape[:2], 1, 1))
    behind = values.scale_behind(node.output)
    if behind is None or not behind.is_single:
        made = editor.value(f"{node.output}_maps", maps, Origin(node.output, "maps"))
        editor.add(replace(pool, outputs=(made,)))
        editor.add(Node("reshape", (made,), node.outputs, node.layers))
        return True
    # Rounded before its rows and columns are dropped: then rounding is part of the kernel.
    pooled = editor.value(f"{node.output}_maps", maps)
    editor.add(replace(pool, outputs=(pooled,)))
    made = values.round_to(editor, pooled, behind, node)
    integers = values.place(editor, node.output, behind)
    editor.add(Node("reshape", (made,), (integers.name,), node.layers))
    values.know(editor, node.output, integers)
    return True


def sums_columns(strides: tuple[int, ...], opset: int) -> bool:
    """Whether onnxruntime adds the sums of a window's columns: its vector kernels do, but it has others from 19 on.

    Source: `MlasPool2DVectorKernel`, for steps of at most two columns; compared with its results.
    """
    return opset < 19 and strides[1] <= 2


def _attrs(editor: Editor, node: Node) -> dict[str, Attr] | None:
    """The attributes of the pooling that an operator is; None if it is none, or of no average."""
    if node.kind == "GlobalAveragePool":
        return whole_map_attrs(editor.graph.tensor(node.inputs[0]), "average")
    if node.kind == "AveragePool":
        return window_attrs(editor, node)
    if node.kind == "ReduceMean" and reduced_axes(editor, node) == (2, 3):
        return whole_map_attrs(editor.graph.tensor(node.inputs[0]), "average")
    return None


def interpolate(values: QuantizedValues, editor: Editor, node: Node) -> bool:
    """Adds a Resize of a quantised map whose pixels are weighted means of its operand's; False for anything else."""
    resizes = node.op == ONNX and node.kind in ("Resize", "Upsample")
    source = values.floats.get(node.inputs[0]) if resizes else None
    if source is None or not source.scale.is_single:
        return False
    same = values.graph.tensor(node.inputs[0]).shape == values.graph.tensor(node.output).shape
    found = None if same else resize_tables(editor, node)
    if found is None or found[1]["taps"] == 1:
        return False
    names, attrs = found
    scale = Const(float(source.scale.scale.reshape(-1)[0]))
    attrs = {**attrs, "zero": source.scale.unsigned_zero}
    epilogue = call("mul", ACC, scale)
    editor.add(Node("resize2d", (source.name, *names), node.outputs, node.layers, attrs, epilogue))
    return True
