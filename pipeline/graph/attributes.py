"""Reading the attributes of ONNX nodes."""

from __future__ import annotations

from typing import Any

from tvmopt.pipeline.graph.ir import Node


def attributes(node: Node) -> dict[str, Any]:
    """The attributes of an ONNX node, strings decoded; empty for other nodes."""
    if node.proto is None:
        return {}
    import onnx

    values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.proto.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


def window_pads(
    values: dict[str, Any],
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> tuple[int, ...]:
    """The pads (before each axis, then after each) of a windowed operator, `auto_pad` resolved.

    Args:
        values: the node's attributes.
        size: spatial sizes of the input.
        kernel: spatial sizes of the window.
        strides: steps.
        dilations: spacing of the window's elements.
    """
    mode = values.get("auto_pad", "NOTSET")
    if mode in ("NOTSET", ""):
        return tuple(int(x) for x in values.get("pads", [0] * (2 * len(size))))
    if mode == "VALID":
        return (0,) * (2 * len(size))
    before, after = [], []
    for extent, window, stride, dilation in zip(size, kernel, strides, dilations, strict=True):
        total = max(0, (-(-extent // stride) - 1) * stride + (window - 1) * dilation + 1 - extent)
        small, large = total // 2, total - total // 2
        before.append(small if mode == "SAME_UPPER" else large)
        after.append(large if mode == "SAME_UPPER" else small)
    return (*before, *after)
