"""OpenCV's view of a Caffe network: its reader is independent of ours, but names blobs and unused rows differently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tvmopt.pipeline.importers.caffe.network import Layer, read_network

_UNUSED = -1
"""What rows of detections hold that no box needs: in ours; OpenCV's are zero."""


@dataclass(frozen=True, slots=True)
class OpencvNames:
    """OpenCV's view of a network.

    Attributes:
        makers: by blob, the layer that writes it last, and which of that layer's blobs it is.
        detections: the blobs that a layer DetectionOutput makes.
        unlike: types of the network's layers that OpenCV does not compute as Caffe does.
        comparable: the blobs that follow from none of those, and that either are outputs or are read by one of those.
    """

    makers: Mapping[str, tuple[str, int]]
    detections: frozenset[str]
    unlike: tuple[str, ...]
    comparable: frozenset[str]

    def as_ours(self, blob: str, value: np.ndarray) -> np.ndarray:
        """A copy of `value` of `blob` as our importer gives it: rows of detections that no box needs hold -1."""
        ours = np.array(value)
        if blob in self.detections:
            ours[~ours.any(axis=-1)] = _UNUSED
        return ours


def opencv_names(network: Path) -> OpencvNames:
    """OpenCV's view of the network of which `network` is the ``.prototxt``.

    Raises:
        InputFileError: it cannot be read.
    """
    layers = read_network(network).layers
    makers = {top: (layer.name, place) for layer in layers for place, top in enumerate(layer.tops)}
    doubtful: set[str] = set()
    ends = set(makers) - {bottom for layer in layers for bottom in layer.bottoms if bottom not in layer.tops}
    for layer in layers:
        if _is_unlike(layer):
            ends |= set(layer.bottoms)
        if _is_unlike(layer) or doubtful & set(layer.bottoms):
            doubtful |= set(layer.tops)
    return OpencvNames(
        makers,
        frozenset(top for layer in layers if layer.type == "DetectionOutput" for top in layer.tops),
        tuple(dict.fromkeys(layer.type for layer in layers if _is_unlike(layer))),
        frozenset((ends - doubtful) & set(makers)),
    )


def _is_unlike(layer: Layer) -> bool:
    """Whether OpenCV computes something else than Caffe: what it does not look at, and the order of detections.

    Of Axpy's blobs, OpenCV multiplies the first and the last; the layer's authors, the first and the second.
    """
    p = layer.parameters
    return (
        layer.type in ("Axpy", "Log", "DetectionOutput")
        or (layer.type == "Exp" and (p.exp_param.base > 0 or p.exp_param.scale != 1 or p.exp_param.shift != 0))
        or (layer.type == "InnerProduct" and (p.inner_product_param.transpose or p.inner_product_param.axis != 1))
        or (layer.type in ("Scale", "Bias") and len(layer.bottoms) > 1)
    )
