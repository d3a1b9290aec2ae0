"""Reads a `.prototxt`: the layers that run in a trained network, and the inputs that the file declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format  # type: ignore[import-untyped]

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.caffe.schema import message_type

_MOST_BYTES = 1 << 24
"""Of a description; the largest networks have less than a megabyte."""

_MOST_SHOWN = 200
"""Characters of what the parser says; it quotes whole lines."""

_OTHER_NAMES = {
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "ELTWISE": "Eltwise",
    "HDF5_DATA": "HDF5Data",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}
"""Old names of layers that are not the new ones in capitals."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of the network.

    Attributes:
        name: the user's name.
        type: Caffe's name of what it computes, in the form of today.
        bottoms: the blobs that it reads.
        tops: the blobs that it makes; one that it also reads gets a new content.
        parameters: the message of the layer.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    parameters: Any


@dataclass(frozen=True, slots=True)
class Network:
    """A network as its file describes it.

    Attributes:
        name: of the network.
        inputs: the shape of each input that the file declares before the layers.
        layers: in the order of execution; only those of the test phase.
    """

    name: str
    inputs: Mapping[str, tuple[int, ...]]
    layers: tuple[Layer, ...]


def read_network(path: Path) -> Network:
    """The network that the file at `path` describes.

    Raises:
        InputFileError: the file is no description of a network, or one for a Caffe of before 2014.
    """
    message = _parse(path)
    old = list(message.layers)
    if old and message.layer:
        raise InputFileError(f"{path.name!r} has both `layer` and `layers`: a network has one of them")
    layers = [_layer(item, item.type if not old else _new_name(item, path)) for item in old or message.layer]
    if not layers:
        raise InputFileError(f"{path.name!r} describes no layers: the network's deploy.prototxt was expected")
    return Network(message.name, _inputs(message, path), tuple(layer for layer in layers if _runs(layer.parameters)))


def _parse(path: Path) -> Any:
    message = message_type("NetParameter")()
    try:
        nbytes = path.stat().st_size
        if nbytes > _MOST_BYTES:
            raise InputFileError(f"{path.name!r} has {nbytes} bytes: a description of a network was expected")
        text = path.read_text(encoding="utf-8")
        text_format.Parse(text, message, allow_unknown_field=True)
    except OSError as error:
        raise InputFileError(f"{path.name!r} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputFileError(f"{path.name!r} is not text: the description of a Caffe network was expected") from error
    except (text_format.ParseError, RecursionError, ValueError) as error:
        why = "its messages are nested too deeply" if isinstance(error, RecursionError) else str(error)[:_MOST_SHOWN]
        raise InputFileError(f"{path.name!r} describes no Caffe network, or is cut short: {why}") from error
    return message


def _layer(message: Any, kind: str) -> Layer:
    return Layer(message.name or kind, kind, tuple(message.bottom), tuple(message.top), message)


def _new_name(message: Any, path: Path) -> str:
    """The name of today for what an old layer computes."""
    if not message.HasField("type"):
        raise InputFileError(
            f"{path.name!r} has a layer without a type, as Caffe wrote before 2014: convert both files with Caffe's "
            "upgrade_net_proto_text and upgrade_net_proto_binary"
        )
    old = type(message).LayerType.Name(message.type)
    return _OTHER_NAMES.get(old) or "".join(part.capitalize() for part in old.split("_"))


def _runs(message: Any) -> bool:
    """Whether a layer runs in the test phase, at level 0 and without stages."""
    if message.include:
        return any(_meets(rule) for rule in message.include)
    return not any(_meets(rule) for rule in message.exclude)


def _meets(rule: Any) -> bool:
    test = rule.DESCRIPTOR.fields_by_name["phase"].enum_type.values_by_name["TEST"].number
    fits = not rule.HasField("phase") or rule.phase == test
    return fits and rule.min_level <= 0 and (not rule.HasField("max_level") or rule.max_level >= 0) and not rule.stage


def _inputs(message: Any, path: Path) -> dict[str, tuple[int, ...]]:
    """The inputs that stand before the layers: shapes, or four sizes each."""
    names = list(message.input)
    if message.input_shape:
        shapes = [tuple(shape.dim) for shape in message.input_shape]
    else:
        sizes = list(message.input_dim)
        shapes = [tuple(sizes[place : place + 4]) for place in range(0, len(sizes), 4)]
    shapes += [()] * (len(names) - len(shapes)) if not shapes else []
    if len(shapes) != len(names) or any(shape and len(shape) < 1 for shape in shapes):
        raise InputFileError(f"{path.name!r} declares {len(names)} inputs and {len(shapes)} shapes for them")
    return dict(zip(names, shapes, strict=True))
