"""Writes small Caffe networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.pipeline.importers.caffe.schema import message_type

Arrays = Mapping[str, Sequence[np.ndarray]]


def random_array(seed: int, *shape: int) -> np.ndarray:
    """Small numbers of both signs."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) / 2


def save_caffe(folder: Path, text: str, arrays: Arrays, old: bool = False) -> Path:
    """Writes ``net.prototxt`` and ``net.caffemodel``; `old` are layers and shapes as Caffe had them until 2014."""
    network = message_type("NetParameter")()
    for name, blobs in arrays.items():
        layer: Any = network.layers.add(name=name) if old else network.layer.add(name=name)
        for array in blobs:
            blob = layer.blobs.add()
            blob.data.append(np.ascontiguousarray(array, "<f4").tobytes())
            if old:
                blob.num, blob.channels, blob.height, blob.width = [1] * (4 - array.ndim) + list(array.shape)
            else:
                blob.shape.dim.extend(array.shape)
    (folder / "net.caffemodel").write_bytes(network.SerializeToString())
    path = folder / "net.prototxt"
    path.write_text(text)
    return path


def layer_text(kind: str, name: str, bottoms: str, tops: str, rest: str = "") -> str:
    """A layer in the form of today; several blobs have spaces between."""
    blobs = "".join(f' bottom: "{one}"' for one in bottoms.split()) + "".join(f' top: "{one}"' for one in tops.split())
    return f'layer {{ name: "{name}" type: "{kind}"{blobs} {rest} }}\n'


def input_text(*shape: int, name: str = "data") -> str:
    """An input."""
    sizes = " ".join(f"dim: {size}" for size in shape)
    return f'input: "{name}" input_shape {{ {sizes} }}\n'
