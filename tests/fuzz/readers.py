"""Draws networks of Caffe and MXNet as no framework writes them, and damage to files."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as some
from hypothesis.strategies import DrawFn

from tests.pipeline.importers.mxnet.files import node
from tvmopt.pipeline.importers.caffe.build import LAYERS
from tvmopt.pipeline.importers.caffe.schema import message_type
from tvmopt.pipeline.importers.mxnet.build import OPERATORS

_MOST_NODES = 5
_ATTRIBUTES = (
    "kernel", "stride", "pad", "dilate", "adj", "target_shape", "num_filter", "num_group", "num_hidden",
    "num_outputs", "axis", "axes", "dim", "shape", "begin", "end", "step", "scale", "scalar", "eps", "act_type",
    "pool_type", "pooling_convention", "layout", "mode", "sizes", "ratios", "steps", "offsets", "variances",
    "size", "pad_width", "reps", "repeats", "output_size", "height", "width", "input_dim", "output_dim",
    "block_size", "state_size", "num_layers", "nsize", "num_groups", "squeeze_axis", "global_pool", "no_bias",
    "flatten", "keepdims", "exclude", "transpose_a", "dtype", "depth", "nms_topk", "threshold", "coord_start",
    "id_index", "score_index", "p_value", "sample_type", "h_w", "offset", "reverse", "start", "stop", "__shape__",
)  # fmt: skip
_TEXTS = (
    "0", "1", "2", "3", "-1", "7", "1.5", "nan", "1e999", "-1e308", "(1, 1)", "(3, 3)", "(2,)", "()", "(0, -1)", "None",
    "(-1, -2, -3)", "(-4, 2, -1)", "(0, 0, 0, 0)", "True", "False", "relu", "max", "avg", "full", "same", "NHWC",
    "lstm", "99999999999999999999", "(1099511627775, 2)", "[" * 200, "(1, None)", "('a',)", "{}", "1j", "2147483647",
    "edge", "", "(None, 2, 1)", "1e-40", "channel", "float16", "bytes", "b'x'",
)  # fmt: skip
_NUMBERS = (0, 1, 2, 3, 5, 7, -1, -2, 255, 1 << 20, (1 << 31) - 1, -(1 << 31))
_SHAPE = (1, 4, 6, 5)


@some.composite
def symbols(draw: DrawFn) -> dict[str, Any]:
    """A symbol of MXNet: known operators, with operands and attributes that need not suit."""
    shape = draw(some.sampled_from(("(1, 4, 6, 5)", "(2, 3)", "(3, 2, 4)", "(5,)", "()", "(1, 2, 3, 4, 5)")))
    nodes = [node("null", "data", __shape__=shape), *(node("null", f"p{place}") for place in range(3))]
    names = some.sampled_from(sorted(OPERATORS))
    attributes = some.dictionaries(some.sampled_from(_ATTRIBUTES), some.sampled_from(_TEXTS), max_size=6)
    for place in range(draw(some.integers(1, _MOST_NODES))):
        entries = draw(some.lists(some.integers(0, len(nodes) - 1), max_size=4))
        nodes.append(node(draw(names), f"n{place}", [0, *entries][: 1 + len(entries)], **draw(attributes)))
    return {"nodes": nodes, "heads": [[len(nodes) - 1, draw(some.integers(0, 1)), 0]]}


@some.composite
def networks(draw: DrawFn) -> Any:
    """A network of Caffe as a message: known layers, with parameters that need not suit."""
    network = message_type("NetParameter")(input=["data"])
    network.input_shape.add(dim=draw(some.sampled_from((_SHAPE, (1, 4), (2, 3, 4), (1,), (), (1, 4, 6, 5, 2)))))
    blobs = ["data"]
    fields = [one.name for one in message_type("LayerParameter").DESCRIPTOR.fields if one.name.endswith("_param")]
    for place in range(draw(some.integers(1, _MOST_NODES))):
        kind = draw(some.sampled_from(sorted(LAYERS)))
        layer = network.layer.add(name=f"l{place % 3}", type=kind)
        layer.bottom.extend(draw(some.lists(some.sampled_from(blobs), min_size=0, max_size=4)) or ["data"])
        layer.top.extend(f"t{place}{index}" for index in range(draw(some.sampled_from((1, 1, 1, 2, 0)))))
        blobs += layer.top
        own = [name for name in fields if name.replace("_", "").startswith(kind.lower()[:6])]
        for name in draw(some.lists(some.sampled_from(own or fields), max_size=2, unique=True)):
            _fill(draw, getattr(layer, name))
    return network


def _fill(draw: DrawFn, message: Any) -> None:
    """Sets some fields of a message of parameters."""
    message.SetInParent()
    for field in draw(some.lists(some.sampled_from(list(message.DESCRIPTOR.fields)), max_size=5, unique=True)):
        if field.message_type is not None:
            target = getattr(message, field.name)
            for part in [target.add()] if hasattr(target, "add") else [target]:
                _fill(draw, part)
            continue
        values = draw(some.lists(_value(field), min_size=1, max_size=3))
        if hasattr(getattr(message, field.name), "extend"):
            getattr(message, field.name).extend(values)
        else:
            setattr(message, field.name, values[0])


def _value(field: Any) -> some.SearchStrategy[Any]:
    if field.enum_type is not None:
        return some.sampled_from([value.number for value in field.enum_type.values])
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return some.sampled_from((0.0, 1.0, -1.0, 0.5, 1e-30, 3e38, float("inf"), float("nan"), 2.0))
    if field.cpp_type == field.CPPTYPE_BOOL:
        return some.booleans()
    if field.cpp_type == field.CPPTYPE_STRING:
        return some.sampled_from(("", "a", "x" * 99))
    unsigned = field.cpp_type in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64)
    return some.sampled_from([abs(value) for value in _NUMBERS] if unsigned else _NUMBERS)


@some.composite
def damaged(draw: DrawFn, content: bytes) -> bytes:
    """The content of a file, cut short, with bytes of it changed, left out or doubled."""
    changed = bytearray(content)
    for _ in range(draw(some.integers(1, 4))):
        place = draw(some.integers(0, max(0, min(len(changed), 512) - 1)))
        match draw(some.sampled_from(("set", "cut", "drop", "double", "huge"))):
            case "set":
                changed[place : place + 1] = bytes([draw(some.integers(0, 255))])
            case "cut":
                del changed[draw(some.integers(0, len(changed))) :]
            case "drop":
                del changed[place : place + draw(some.integers(1, 9))]
            case "double":
                changed[place:place] = changed[place : place + draw(some.integers(1, 40))]
            case _:
                changed[place : place + 8] = b"\xff\xff\xff\xff\xff\xff\xff\x7f"
    return bytes(changed)
