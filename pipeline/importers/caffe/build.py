"""Translates a Caffe network into ONNX, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from tvmopt.pipeline.errors import InputFileError, UnsupportedModelError
from tvmopt.pipeline.importers.caffe.layers import (
    convolution,
    detection,
    pointwise,
    recurrent,
    shaping,
    weighted,
    windows,
)
from tvmopt.pipeline.importers.caffe.layers.work import Translate, Work
from tvmopt.pipeline.importers.caffe.network import Layer, Network, read_network
from tvmopt.pipeline.importers.caffe.pair import find_pair
from tvmopt.pipeline.importers.caffe.weights import Blob, read_blobs
from tvmopt.pipeline.importers.onnx_form.building.builder import GraphBuilder
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest, settle_stored

TABLES = (
    convolution.LAYERS,
    windows.LAYERS,
    weighted.LAYERS,
    pointwise.LAYERS,
    shaping.LAYERS,
    recurrent.LAYERS,
    detection.LAYERS,
)
LAYERS: Mapping[str, Translate] = {name: translate for table in TABLES for name, translate in table.items()}
"""By type, what translates a layer."""

SOURCES = frozenset(
    ("AnnotatedData", "Data", "DummyData", "HDF5Data", "ImageData", "Input", "MemoryData", "VideoData", "WindowData")
)
"""Layers that are inputs: their first blob."""

DROPPED = frozenset(
    (
        "Accuracy",
        "CenterLoss",
        "ContrastiveLoss",
        "DetectionEvaluate",
        "EuclideanLoss",
        "HDF5Output",
        "HingeLoss",
        "InfogainLoss",
        "MultiBoxLoss",
        "MultinomialLogisticLoss",
        "SigmoidCrossEntropyLoss",
        "Silence",
        "SmoothL1Loss",
        "SoftmaxWithLoss",
        "TripletLoss",
    )
)
"""Layers of training, and those that only take blobs away."""


@dataclass(slots=True)
class _State:
    """What the layers so far have made.

    Attributes:
        values: by blob, the value that it has now.
        unread: the blobs that no layer has read since, in order; they are the network's outputs.
        later: how many layers are still to write each blob.
        absent: blobs of layers that do not run here, with the layer.
    """

    values: dict[str, str] = field(default_factory=dict)
    unread: dict[str, None] = field(default_factory=dict)
    later: dict[str, int] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def import_caffe(path: Path, request: ShapeRequest) -> onnx.ModelProto:
    """The network of which `path` is one file, in ONNX, with inputs of the shapes that `request` asks for.

    Args:
        path: the `.prototxt` or the `.caffemodel`.
        request: shapes and batch.

    Returns:
        The network in the test phase: without layers of training, with the user's names of layers and blobs.

    Raises:
        InputFileError: a file cannot be read, or the two do not belong together.
        UnsupportedModelError: layers that are not known; names all of them.
        UsageError: a shape for an input that is not there.
    """
    pair = find_pair(path) if path.name.lower().endswith(".caffemodel") else None
    network = read_network(path if pair is None else pair.network)
    _check_types(network, path)
    pair = pair or find_pair(path)
    blobs = read_blobs(pair.weights)
    _check_names(network, blobs, pair.weights)
    builder = GraphBuilder(network.name)
    state = _State()
    for layer in network.layers:
        for top in set(layer.tops):
            state.later[top] = state.later.get(top, 0) + 1
    for name, shape in settle_stored(_inputs(network), request).items():
        state.values[name] = builder.input(name, shape)
        state.unread[name] = None
    for layer in network.layers:
        _translate(builder, state, layer, blobs.get(layer.name, ()))
    return builder.model([(state.values[name], name) for name in state.unread if name not in _inputs(network)])


def _check_types(network: Network, path: Path) -> None:
    unknown: dict[str, list[str]] = {}
    for layer in network.layers:
        if layer.type not in LAYERS and layer.type not in SOURCES | DROPPED:
            unknown.setdefault(layer.type, []).append(layer.name)
    if unknown:
        found = ", ".join(f"{kind or 'no type'} ({_listed(names)})" for kind, names in unknown.items())
        raise UnsupportedModelError(
            f"{path.name!r} has layers of unknown types: {found}; write them with other layers, or cut the network "
            "before them"
        )


def _check_names(network: Network, blobs: Mapping[str, Sequence[Blob]], weights: Path) -> None:
    if not any(layer.name in blobs for layer in network.layers):
        raise InputFileError(
            f"{weights.name!r} has weights for none of the network's layers, but for {_listed(list(blobs))}: "
            "it belongs to another network"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _inputs(network: Network) -> dict[str, tuple[int, ...]]:
    """The shapes of all inputs; empty where the file says none."""
    found = dict(network.inputs)
    for layer in network.layers:
        if layer.type == "Input":
            shapes = [tuple(shape.dim) for shape in layer.parameters.input_param.shape]
            shapes = shapes * len(layer.tops) if len(shapes) == 1 else shapes or [()] * len(layer.tops)
            if len(shapes) != len(layer.tops):
                raise InputFileError(f"layer {layer.name!r} has {len(shapes)} shapes for {len(layer.tops)} blobs")
            found.update(zip(layer.tops, shapes, strict=True))
        elif layer.type in SOURCES and layer.tops:
            found[layer.tops[0]] = _data_shape(layer)
    return found


def _data_shape(layer: Layer) -> tuple[int, ...]:
    """The shape of what a layer of data gives, as far as its parameters say it."""
    p = layer.parameters
    if layer.type == "MemoryData":
        memory = p.memory_data_param
        return (memory.batch_size, memory.channels, memory.height, memory.width)
    if layer.type == "DummyData":
        dummy = p.dummy_data_param
        if dummy.shape:
            return tuple(dummy.shape[0].dim)
        sizes = (dummy.num, dummy.channels, dummy.height, dummy.width)
        return tuple(size[0] for size in sizes) if all(sizes) else ()
    crop = p.transform_param.crop_size
    return (1, 3, crop, crop) if crop else ()


def _translate(builder: GraphBuilder, state: _State, layer: Layer, blobs: Sequence[Blob]) -> None:
    """Adds a layer's nodes."""
    if layer.type in SOURCES:
        state.absent |= dict.fromkeys(layer.tops[0 if layer.type != "Input" else len(layer.tops) :], layer.name)
        return
    if layer.type in DROPPED:
        for name in layer.bottoms if layer.type == "Silence" else ():
            state.unread.pop(name, None)
        state.absent |= dict.fromkeys(layer.tops, layer.name)
        return
    _check_bottoms(state, layer)
    builder.begin(layer.name)
    work = Work(builder, layer, tuple(state.values[name] for name in layer.bottoms), tuple(blobs))
    work.bottom(0)
    made = list(LAYERS[layer.type](work))
    if len(made) != len(layer.tops):
        raise InputFileError(f"{work}: makes {len(made)} blobs, but {len(layer.tops)} are named")
    for top in set(layer.tops):
        state.later[top] -= 1
    names = [top if not state.later[top] else f"{top}/{layer.name}" for top in layer.tops]
    made = builder.finish(made, names)
    for name in layer.bottoms:
        state.unread.pop(name, None)
    for top, value in zip(layer.tops, made, strict=True):
        state.values[top] = value
        state.unread[top] = None


def _check_bottoms(state: _State, layer: Layer) -> None:
    for name in layer.bottoms:
        if name not in state.values:
            source = state.absent.get(name)
            why = f"only layer {source!r} makes, for training" if source else "no layer before it makes"
            raise InputFileError(f"layer {layer.name!r} ({layer.type}) reads {name!r}, which {why}")
