"""Where an ONNX file stores its weights: read from protobuf's wire format, without reading the weights.

`onnx.proto` numbers the fields.
"""

from __future__ import annotations

import mmap
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf comes without types

from tvmopt.pipeline.importers.base import Stored, StoredTensor
from tvmopt.pipeline.importers.onnx.wire_format import Span, fields, rest
from tvmopt.pipeline.importers.onnx_form.tensors import all_tensors, data_extent, data_file

_GRAPH, _INITIALIZERS, _RAW_DATA = 7, 5, 9
"""Numbers of these fields in a model, a graph and a tensor."""


def stored_tensors(path: Path) -> Stored:
    """The model file at `path` with its files of external data, and where the initialisers of its graph are in them.

    Raises:
        OSError: a file cannot be read.
        ValueError: the file is no ONNX model.
        InputFileError: external data is not where a model may have it.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        raw: list[Span] = []
        try:
            model = _light(content, raw)
        except DecodeError as error:
            raise ValueError("not an ONNX model") from error
    files = [path]
    tensors = [StoredTensor(0, start, end - start) for start, end in raw]
    for tensor in all_tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            where = {entry.key: entry.value for entry in tensor.external_data}
            other = data_file(tensor.name, where.get("location", ""), path.parent)
            if other not in files:
                files.append(other)
            tensors.append(StoredTensor(files.index(other), *data_extent(tensor, where, other)))
    return Stored(tuple(files), tuple(tensors))


def _light(content: mmap.mmap, raw: list[Span]) -> onnx.ModelProto:
    """The model without the raw data of its initialisers; adds where that is to `raw`."""
    whole = (0, len(content))
    model: onnx.ModelProto = onnx.ModelProto.FromString(rest(content, whole, _GRAPH))
    for graph in fields(content, whole, _GRAPH):
        model.graph.MergeFromString(rest(content, graph.content, _INITIALIZERS))
        for place in fields(content, graph.content, _INITIALIZERS):
            model.graph.initializer.add().MergeFromString(rest(content, place.content, _RAW_DATA))
            raw += [one.content for one in fields(content, place.content, _RAW_DATA)]
    return model
