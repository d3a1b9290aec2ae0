"""ONNX models without their large weights: copies of the rest are cheap, and a file can hold the weights."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from pathlib import Path

import onnx

from tvmopt.pipeline.support.files import temporary_full
from tvmopt.pipeline.support.weights.parked import LINE, lend, new_file, place_of, refer

LARGE_BYTES = 1 << 12
"""Smaller tensors stay: shapes may depend on their values."""
PARKED_BYTES = 1 << 25
"""Models with more weights are imported with the large ones parked."""
WEIGHTS = "weights.bin"
"""Name of the file beside the model."""


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
        model: the model, its weights in itself or parked; it is not changed.
        file: where to write the weights that are left out, and where the copy then says that they are; the copy must be
            saved beside it. Parked weights appear there under their own names.
    """
    light = copy_without(model, ("initializer",))
    if file is None:
        light.graph.initializer.extend(map(_without_data, model.graph.initializer))
    else:
        light.graph.initializer.extend(_written(model, file, file.name))
    return light


def park(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """A copy of `model` whose large weights are parked in `folder`; those that are parked stay where they are.

    Raises:
        InputFileError: the disk is full, or files may not be as large.
    """
    light = copy_without(model, ("initializer",))
    try:
        file = new_file(folder)
        light.graph.initializer.extend(_written(model, file, str(file)))
    except OSError as error:
        raise temporary_full(error) from error
    return light


def _written(model: onnx.ModelProto, file: Path, location: str) -> Iterator[onnx.TensorProto]:
    """The weights of `model`, the large ones written to `file`, which they name `location`.

    Parked ones stay in their files, which are lent where `location` is not an absolute path.
    """
    with file.open("wb") as weights:
        for tensor in model.graph.initializer:
            place = place_of(tensor)
            if place is not None:
                known = str(place.file) if location == str(file) else lend(place.file, file.parent)
                yield refer(tensor, known, place.offset, place.nbytes)
            elif _is_large(tensor):
                content = tensor.raw_data
                yield refer(tensor, location, weights.tell(), len(content))
                weights.write(content)
                weights.write(bytes(-len(content) % LINE))
            else:
                yield tensor


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
    sizes = [_size(tensor) for tensor in weights]
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
    place = place_of(tensor)
    if place is None and not tensor.HasField("raw_data"):
        yield tensor.SerializeToString(deterministic=True)
        return
    before, after = _around(tensor)
    if place is None:
        content = tensor.raw_data
        yield before + _head(_RAW_DATA, len(content))
        yield content
    else:
        yield before + _head(_RAW_DATA, place.nbytes)
        yield from place.pieces()
    yield after


def _size(tensor: onnx.TensorProto) -> int:
    """How many bytes `_tensor` gives."""
    place = place_of(tensor)
    if place is None and not tensor.HasField("raw_data"):
        return int(tensor.ByteSize())
    nbytes = len(tensor.raw_data) if place is None else place.nbytes
    before, after = _around(tensor)
    return len(before) + len(_head(_RAW_DATA, nbytes)) + nbytes + len(after)


def _around(tensor: onnx.TensorProto) -> tuple[bytes, bytes]:
    """The fields of `tensor` before and after its elements, which may be parked."""
    light = onnx.TensorProto()
    for field, value in tensor.ListFields():
        if field.name not in ("raw_data", "external_data", "data_location"):
            _set(light, field.name, value)
    return _split(light, _RAW_DATA)


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


def _is_large(tensor: onnx.TensorProto) -> bool:
    return tensor.HasField("raw_data") and _nbytes(tensor) >= LARGE_BYTES


def _without_data(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """`tensor` without its data if that is large."""
    if place_of(tensor) is None and not _is_large(tensor):
        return tensor
    return onnx.TensorProto(dims=tensor.dims, data_type=tensor.data_type, name=tensor.name)


def _set(message: onnx.ModelProto | onnx.GraphProto | onnx.TensorProto, name: str, value: object) -> None:
    """Sets a field, whether it is a message, a list or a plain value."""
    if hasattr(value, "CopyFrom"):
        getattr(message, name).CopyFrom(value)
    elif isinstance(value, str | int | float | bytes):
        setattr(message, name, value)
    else:
        getattr(message, name).extend(value)
