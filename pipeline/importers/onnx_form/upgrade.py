"""Converts models of old operator sets with onnx's version converter, and what that gets wrong without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import onnx.version_converter
from onnx import helper, numpy_helper

from tvmopt.pipeline.importers.onnx_form.operators import standard_opset
from tvmopt.pipeline.support.weights.parked import array_of

OLDEST_OPSET = 13
"""Older models are converted to this operator set; from it on, most operators take shapes and axes as inputs."""

_KEPT = "tvmopt.kept"
"""The domain in which nodes pass by the converter: it leaves operators of unknown domains alone."""

Nodes = list[onnx.NodeProto]
Constants = Mapping[str, onnx.TensorProto]


def upgrade(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` converted to `OLDEST_OPSET` if it is older; unchanged where the conversion is not possible.

    The converter changes what some operators compute: interpolation (it takes coordinates for those of half pixels),
    Hardmax (its axis meant all axes from there on), and the mask of Dropout. Those are rewritten here.
    """
    opset = standard_opset(model)
    if opset >= OLDEST_OPSET:
        return model
    marked = onnx.ModelProto()
    marked.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in marked.graph.initializer}
    read = {name for node in marked.graph.node for name in node.input} | {value.name for value in marked.graph.output}
    for node in marked.graph.node:
        if _is_converted_wrongly(node, opset, constants, read):
            node.domain = _KEPT
    marked.opset_import.append(helper.make_opsetid(_KEPT, 1))
    try:
        converted = onnx.version_converter.convert_version(marked, OLDEST_OPSET)
    except (RuntimeError, ValueError):  # an operator without adapter: onnxruntime and TVM know the old versions too
        return model
    nodes: Nodes = []
    for node in converted.graph.node:
        nodes += _REWRITES[node.op_type](node, constants) if node.domain == _KEPT else [node]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del converted.graph.node[:]
    converted.graph.node.extend(copies)
    opsets = [entry for entry in converted.opset_import if entry.domain != _KEPT]
    del converted.opset_import[:]
    converted.opset_import.extend(opsets)
    return converted


def _is_converted_wrongly(node: onnx.NodeProto, opset: int, constants: Constants, read: set[str]) -> bool:
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.domain:
        return False
    if node.op_type == "Hardmax":
        return True
    if node.op_type == "Dropout":
        return opset < 12 and len(node.output) > 1 and node.output[1] in read
    if node.op_type == "Upsample" or (node.op_type == "Resize" and opset < 11):
        scales = constants.get(node.input[1]) if len(node.input) > 1 else None
        factors = np.asarray(values.get("scales", [0.5]) if scales is None else array_of(scales))
        whole = bool(np.all(factors >= 1) and np.all(factors == np.round(factors)))
        return values.get("mode", b"nearest") != b"nearest" or not whole
    return False


def _resize(node: onnx.NodeProto, constants: Constants) -> Nodes:
    """`Upsample`, or `Resize` of opset 10: coordinates are divided by the scale, without an offset.

    For the nearest element, onnxruntime rounds them down where maps grow, and up where they shrink.
    """
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    mode, x, y = values.get("mode", b"nearest").decode(), node.input[0], node.output[0]
    named = node.input[1] if len(node.input) > 1 else ""
    if named and (mode != "nearest" or named not in constants):
        return [_resize_by(node, x, named, y, "floor")]
    factors = array_of(constants[named]) if named else np.asarray(values["scales"], np.float32)
    turns = [(np.maximum(factors, 1), "floor"), (np.minimum(factors, 1), "ceil")]
    turns = [turn for turn in turns if np.any(turn[0] != 1)] or turns[:1]
    nodes: Nodes = []
    for place, (scales, rounding) in enumerate(turns):
        made = y if place == len(turns) - 1 else f"{y}_grown"
        name = f"{y}_scales_{place}"
        nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(scales)))
        nodes.append(_resize_by(node, x, name, made, rounding))
        x = made
    return nodes


def _resize_by(node: onnx.NodeProto, x: str, scales: str, y: str, rounding: str) -> onnx.NodeProto:
    mode = next((attribute.s.decode() for attribute in node.attribute if attribute.name == "mode"), "nearest")
    extra = {"nearest_mode": rounding} if mode == "nearest" else {}
    asymmetric = {"coordinate_transformation_mode": "asymmetric"}
    return helper.make_node("Resize", [x, "", scales], [y], f"{node.name}/{y}", mode=mode, **asymmetric, **extra)


def _hardmax(node: onnx.NodeProto, constants: Constants) -> Nodes:
    """`Hardmax` over all axes from the given one on."""
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
    (x,), (y,), name = node.input, node.output, node.name
    return [
        helper.make_node("Shape", [x], [f"{y}_shape"], f"{name}/Shape"),
        helper.make_node("Flatten", [x], [f"{y}_rows"], f"{name}/Flatten", axis=axis),
        helper.make_node("Hardmax", [f"{y}_rows"], [f"{y}_hard"], name, axis=1),
        helper.make_node("Reshape", [f"{y}_hard", f"{y}_shape"], [y], f"{name}/Reshape"),
    ]


def _dropout(node: onnx.NodeProto, constants: Constants) -> Nodes:
    """`Dropout` with its mask, which onnxruntime fills with false outside training."""
    x, name, (y, mask) = node.input[0], node.name, node.output
    false = numpy_helper.from_array(np.array([False]))
    return [
        helper.make_node("Identity", [x], [y], name),
        helper.make_node("Shape", [x], [f"{mask}_shape"], f"{name}/Shape"),
        helper.make_node("ConstantOfShape", [f"{mask}_shape"], [mask], f"{name}/ConstantOfShape", value=false),
    ]


_REWRITES: Mapping[str, Callable[[onnx.NodeProto, Constants], Nodes]] = {
    "Dropout": _dropout,
    "Hardmax": _hardmax,
    "Resize": _resize,
    "Upsample": _resize,
}
