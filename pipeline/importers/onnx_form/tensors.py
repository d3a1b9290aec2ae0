"""The tensors that an ONNX file stores: lists them, reads data that is in other files, and checks sizes."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import onnx

from tvmopt.pipeline.errors import InputFileError

MAX_BYTES = 2**31 - 1
"""The largest protobuf message, and so the largest model, weights included."""


def all_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor stored in `model`: initialisers and attributes, including those of subgraphs and functions."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        yield from _node_tensors(function.node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                if sparse.HasField("values"):
                    yield from (sparse.values, sparse.indices)
            if attribute.HasField("g"):
                yield from _graph_tensors(attribute.g)
            for graph in attribute.graphs:
                yield from _graph_tensors(graph)


def read_external_data(model: onnx.ModelProto, folder: Path, budget: int = MAX_BYTES) -> None:
    """Reads tensor data that is in files beside the model into `model` itself.

    Args:
        model: changed in place.
        folder: the model's folder; nothing outside it is read, except where `_shared_files` says. A link is followed
            only to such places.
        budget: the largest number of bytes to read in all.

    Raises:
        InputFileError: a location that leads out of the folder, a missing or too short file, too many bytes.
    """
    for tensor in all_tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        where = {entry.key: entry.value for entry in tensor.external_data}
        path = data_file(tensor.name, where.get("location", ""), folder)
        offset, length = data_extent(tensor, where, path)
        budget -= length
        if budget < 0:
            raise InputFileError(
                f"the model's weights take more than {MAX_BYTES} bytes, the most that ONNX files can hold"
            )
        with path.open("rb") as file:
            file.seek(offset)
            tensor.raw_data = file.read(length)
        tensor.ClearField("data_location")
        del tensor.external_data[:]


def data_file(tensor: str, location: str, folder: Path) -> Path:
    """The file at `location`, which must be inside `folder`; a link may lead to a file there, or among its cache's.

    Raises:
        InputFileError: it is elsewhere or missing; names the tensor.
    """
    relative = PurePosixPath(location)
    what = f"the external data of tensor {tensor!r}"
    if not location or "\0" in location or "\\" in location or relative.is_absolute() or ".." in relative.parts:
        raise InputFileError(f"{what} is at {location!r}: it must lie in the model's folder")
    path = folder
    for part in relative.parts:
        path /= part
        try:
            mode = os.lstat(path).st_mode
        except OSError as error:
            raise InputFileError(f"{what} is missing: {str(path)!r}: {error.strerror}") from error
        if stat.S_ISLNK(mode):
            path, mode = _follow(path, folder, what)
    if not stat.S_ISREG(mode):
        raise InputFileError(f"{what} is at {str(path)!r}, which is not a regular file")
    return path


def _follow(link: Path, folder: Path, what: str) -> tuple[Path, int]:
    """The file or folder to which `link` leads, and its mode."""
    try:
        target = link.resolve(strict=True)
        mode = target.stat().st_mode
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links
        raise InputFileError(f"{what} is behind the link {str(link)!r}, which leads nowhere") from error
    allowed = (folder.resolve(), *_shared_files(folder))
    if not any(target.is_relative_to(place) for place in allowed):
        raise InputFileError(
            f"{what} is behind the link {str(link)!r}, which leads out of the model's folder: put the file itself there"
        )
    return target, mode


def _shared_files(folder: Path) -> tuple[Path, ...]:
    """Where a cache of Hugging Face keeps the files of the model in `folder`, to which links lead there.

    Its layout: ``models--owner--name/snapshots/<revision>`` has the names, ``models--owner--name/blobs`` the content.
    """
    for parent in folder.resolve().parents:
        if parent.name == "snapshots" and parent.parent.name.startswith(("models--", "datasets--", "spaces--")):
            return (parent.parent / "blobs",)
    return ()


def data_extent(tensor: onnx.TensorProto, where: dict[str, str], path: Path) -> tuple[int, int]:
    """Offset and length, in bytes, of `tensor` in the file at `path`, which `where` describes.

    Raises:
        InputFileError: the file is too short, or the description no description.
    """
    size = path.stat().st_size
    try:
        offset = int(where.get("offset", 0))
        length = int(where.get("length", size - offset))
    except ValueError as error:
        raise InputFileError(f"the external data of tensor {tensor.name!r} has no sensible extent: {error}") from error
    if offset < 0 or length < 0 or offset + length > size:
        raise InputFileError(
            f"the external data of tensor {tensor.name!r} is bytes {offset} to {offset + length} of {str(path)!r}, "
            f"which has only {size}: the file is cut short, or another model's"
        )
    return offset, length


def check_sizes(model: onnx.ModelProto) -> None:
    """Checks that each tensor stored as raw bytes has as many as its shape and dtype need.

    Raises:
        InputFileError: a tensor with the wrong number of bytes, a negative size or an unknown dtype.
    """
    for tensor in all_tensors(model):
        if tensor.data_type == onnx.TensorProto.STRING:
            continue
        if any(size < 0 for size in tensor.dims):
            raise InputFileError(f"tensor {tensor.name!r} has a negative size in its shape {list(tensor.dims)}")
        bits = _bits(tensor)
        expected = (math.prod(tensor.dims) * bits + 7) // 8
        stored = len(tensor.raw_data) if tensor.HasField("raw_data") else _typed_bytes(tensor, expected)
        if stored != expected:
            raise InputFileError(f"tensor {tensor.name!r} holds {stored} bytes, but its shape needs {expected}")


def _bits(tensor: onnx.TensorProto) -> int:
    """Bits of one element."""
    known = tensor.data_type in onnx.TensorProto.DataType.values()
    name = onnx.TensorProto.DataType.Name(tensor.data_type) if known else ""
    if name in ("", "UNDEFINED"):
        raise InputFileError(f"tensor {tensor.name!r} has the unknown dtype {tensor.data_type}")
    if name == "BOOL":
        return 8
    if name.startswith("COMPLEX"):
        return int(name[7:])
    if name in ("FLOAT", "DOUBLE"):
        return 32 if name == "FLOAT" else 64
    digits = "".join(ch if ch.isdigit() else " " for ch in name).split()
    return int(digits[0])


def _typed_bytes(tensor: onnx.TensorProto, expected: int) -> int:
    """For data in typed fields: `expected` when there is any, else 0; onnxruntime checks how many there are."""
    fields = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
    return expected if any(len(getattr(tensor, name)) for name in fields) else 0
