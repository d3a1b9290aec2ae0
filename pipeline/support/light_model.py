"""ONNX models without their large weights: copies of the rest are cheap, and a file can hold the weights."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from pathlib import Path

import onnx

LARGE_BYTES = 1 << 12
"""Smaller tensors stay: shapes may depend on their values."""
WEIGHTS = "weights.bin"
"""Name of the file beside the model."""
_LINE = 64


def weights_nbytes(model: onnx.ModelProto) -> int:
    """Bytes of the initialisers of `model`; `model.ByteSize()` would serialise it."""
    return sum(map(_nbytes, model.graph.initializer))


def _nbytes(tensor: onnx.TensorProto) -> int:
    """Bytes of the elements of `tensor`."""
    if tensor.data_type in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
        return int(tensor.ByteSize())
    elements: int = math.prod(tensor.dims)
    return elements * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def without_weights(model: onnx.ModelProto, file: Path | None = None) -> onnx.ModelProto:
    """A copy of `model` whose large weights have only a shape and a dtype.

    Args:
        model: the model, its weights in itself; it is not changed.
        file: where to write the weights that are left out, and where the copy then says that they are; the copy must be
            saved beside it.
    """
    light = copy_without(model, ("initializer",))
    if file is None:
        light.graph.initializer.extend(_without_data(tensor, None) for tensor in model.graph.initializer)
        return light
    with file.open("wb") as weights:
        for tensor in model.graph.initializer:
            made = _without_data(tensor, weights.tell())
            light.graph.initializer.append(made)
            if made.data_location == onnx.TensorProto.EXTERNAL:
                content = tensor.raw_data
                weights.write(content)
                weights.write(bytes(-len(content) % _LINE))
    return light


def copy_without(model: onnx.ModelProto, fields: Collection[str]) -> onnx.ModelProto:
    """A copy of `model` without some fields of its graph. Protobuf keeps the memory of fields that are deleted."""
    copy = onnx.ModelProto()
    for field, value in model.ListFields():
        if field.name != "graph":
            _set(copy, field.name, value)
    for field, value in model.graph.ListFields():
        if field.name not in fields:
            _set(copy.graph, field.name, value)
    return copy


def with_stand_ins(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` whose large weights hold a single byte: for ONNX's checker, which does not count them."""
    light = without_weights(model)
    for tensor, whole in zip(light.graph.initializer, model.graph.initializer, strict=True):
        if whole.HasField("raw_data") and not tensor.HasField("raw_data"):
            tensor.raw_data = b"\0"
    return light


def serialized(model: onnx.ModelProto) -> Iterator[bytes]:
    """`model.SerializeToString(deterministic=True)` in pieces, none longer than a weight."""
    weights = model.graph.initializer
    sizes = [sum(map(len, _tensor(tensor))) for tensor in weights]
    before, after = _split(model.graph, _INITIALIZERS)
    total = len(before) + len(after) + sum(len(_head(_INITIALIZERS, size)) + size for size in sizes)
    opening, end = _split(model, _GRAPH)
    yield opening
    if model.HasField("graph"):
        yield _head(_GRAPH, total) + before
        for tensor, size in zip(weights, sizes, strict=True):
            yield _head(_INITIALIZERS, size)
            yield from _tensor(tensor)
        yield after
    yield end


_GRAPH, _INITIALIZERS, _RAW_DATA = 7, 5, 9
"""Numbers of these fields in a model, a graph and a tensor."""


def _tensor(tensor: onnx.TensorProto) -> Iterator[bytes]:
    """A tensor serialised in pieces: protobuf would take three times the memory of its elements to do it at once."""
    if not tensor.HasField("raw_data"):
        yield tensor.SerializeToString(deterministic=True)
        return
    before, after = _split(tensor, _RAW_DATA)
    content = tensor.raw_data
    yield before + _head(_RAW_DATA, len(content))
    yield content
    yield after


def _split(message: onnx.ModelProto | onnx.GraphProto | onnx.TensorProto, number: int) -> tuple[bytes, bytes]:
    """The fields of `message` before and after the field `number`, serialised."""
    before, after = type(message)(), type(message)()
    for field, value in message.ListFields():
        if field.number != number:
            _set(before if field.number < number else after, field.name, value)
    return before.SerializeToString(deterministic=True), after.SerializeToString(deterministic=True)


def _head(number: int, nbytes: int) -> bytes:
    """What stands before the `nbytes` of a message in the field `number`: its tag and its length, as protobuf does."""
    length = []
    while nbytes >= 1 << 7:
        length.append(nbytes & 0x7F | 0x80)
        nbytes >>= 7
    return bytes([number << 3 | 2, *length, nbytes])


def _without_data(tensor: onnx.TensorProto, place: int | None) -> onnx.TensorProto:
    """`tensor` without its data if that is large; `place` is where the data begins in the file, if there is one."""
    if not tensor.HasField("raw_data") or _nbytes(tensor) < LARGE_BYTES:
        return tensor
    light = onnx.TensorProto(dims=tensor.dims, data_type=tensor.data_type, name=tensor.name)
    if place is not None:
        light.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", WEIGHTS), ("offset", place), ("length", len(tensor.raw_data))):
            light.external_data.add(key=key, value=str(value))
    return light


def _set(message: onnx.ModelProto | onnx.GraphProto | onnx.TensorProto, name: str, value: object) -> None:
    """Sets a field, whether it is a message, a list or a plain value."""
    if hasattr(value, "CopyFrom"):
        getattr(message, name).CopyFrom(value)
    elif isinstance(value, str | int | float | bytes):
        setattr(message, name, value)
    else:
        getattr(message, name).extend(value)
