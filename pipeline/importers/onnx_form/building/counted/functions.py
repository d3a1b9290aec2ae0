"""Operators of our own domain, defined by ONNX's: they give what depends on data a size that does not."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import helper

from tvmopt.pipeline.importers.onnx_form.building.suppression import DOMAIN

FIRST_PLACES = "FirstPlaces"
"""The places of the true elements of a mask ``(count)``, in int64 and their order; zeros behind the last."""

ORDERED_BOXES = "OrderedBoxes"
"""Inputs and attribute of NonMaxSuppression, all given, and a room ``(images, classes, most)`` of -1 in int64: the room
with the places of a class's boxes that stay, the best first."""

ORIGINS = {FIRST_PLACES: "NonZero", ORDERED_BOXES: "NonMaxSuppression"}
"""What each stands for, as messages name it."""


def functions(opset: int) -> list[onnx.FunctionProto]:
    """The definitions, written in ONNX's operators of version `opset`, at least 13."""
    opsets = [helper.make_opsetid("", opset)]
    return [
        helper.make_function(DOMAIN, FIRST_PLACES, ["mask"], ["result"], _first_places(), opsets),
        helper.make_function(
            DOMAIN,
            ORDERED_BOXES,
            ["boxes", "scores", "most", "overlap", "limit", "room"],
            ["result"],
            _ordered_boxes(),
            opsets,
            attributes=["center_point_box"],
        ),
    ]


def _constant(name: str, value: int | list[int]) -> onnx.NodeProto:
    given: dict[str, Any] = {"value_ints": value} if isinstance(value, list) else {"value_int": value}
    return helper.make_node("Constant", [], [name], **given)


def _numbers() -> list[onnx.NodeProto]:
    return [_constant("zero", 0), _constant("one", 1), _constant("column", [-1, 1])]


def _counting() -> list[onnx.NodeProto]:
    """The numbers from 0 to ``size``, one below the other, as ``ranks``."""
    return [
        helper.make_node("Range", ["zero", "size", "one"], ["numbers"]),
        helper.make_node("Reshape", ["numbers", "column"], ["ranks"]),
    ]


def _first_places() -> list[onnx.NodeProto]:
    return [
        *_numbers(),
        _constant("flat", [-1]),
        helper.make_node("NonZero", ["mask"], ["found"]),
        helper.make_node("Reshape", ["found", "flat"], ["places"]),
        helper.make_node("Size", ["places"], ["size"]),
        *_counting(),
        # All zeros, of the size of the mask.
        helper.make_node("Xor", ["mask", "mask"], ["none"]),
        helper.make_node("Cast", ["none"], ["empty"], to=onnx.TensorProto.INT64),
        helper.make_node("ScatterND", ["empty", "ranks", "places"], ["result"]),
    ]


def _ordered_boxes() -> list[onnx.NodeProto]:
    suppression = helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "overlap", "limit"], ["selection"])
    suppression.attribute.add(name="center_point_box", ref_attr_name="center_point_box", type=onnx.AttributeProto.INT)
    return [
        *_numbers(),
        suppression,
        helper.make_node("Shape", ["selection"], ["sizes"]),
        _constant("first", [0]),
        _constant("second", [1]),
        _constant("two", 2),
        helper.make_node("Gather", ["sizes", "zero"], ["size"]),
        *_counting(),
        helper.make_node("Gather", ["selection", "first"], ["images"], axis=1),
        helper.make_node("Gather", ["selection", "second"], ["classes"], axis=1),
        helper.make_node("Gather", ["selection", "two"], ["places"], axis=1),
        # A box's rank in its class is its number less that of all boxes of classes before.
        helper.make_node("Shape", ["scores"], ["given"]),
        helper.make_node("Gather", ["given", "zero"], ["image_count"]),
        helper.make_node("Gather", ["given", "one"], ["class_count"]),
        helper.make_node("Mul", ["image_count", "class_count"], ["group_count"]),
        helper.make_node("Range", ["zero", "group_count", "one"], ["groups"]),
        helper.make_node("Mul", ["images", "class_count"], ["started"]),
        helper.make_node("Add", ["started", "classes"], ["group"]),
        helper.make_node("Less", ["group", "groups"], ["before"]),
        helper.make_node("Cast", ["before"], ["before_as_numbers"], to=onnx.TensorProto.INT64),
        helper.make_node("ReduceSum", ["before_as_numbers", "first"], ["starts"], keepdims=0),
        helper.make_node("Gather", ["starts", "group"], ["start"]),
        helper.make_node("Sub", ["ranks", "start"], ["rank"]),
        helper.make_node("Concat", ["images", "classes", "rank"], ["indices"], axis=1),
        helper.make_node("ScatterND", ["room", "indices", "places"], ["result"]),
    ]
