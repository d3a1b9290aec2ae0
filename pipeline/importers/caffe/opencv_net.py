"""OpenCV's own reader of Caffe networks: independent of ours, so imports are checked and compared against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tvmopt.pipeline.importers.caffe.network import read_network
from tvmopt.pipeline.importers.caffe.pair import Pair

_UNUSED = -1
"""What rows of detections hold that no box needs: in ours; OpenCV's are zero."""


@dataclass(frozen=True, slots=True)
class OpencvNet:
    """A Caffe network that OpenCV has read.

    Attributes:
        net: the ``cv2.dnn.Net``.
        makers: by blob, what `Net.forward` calls its last value; layers that work in place write a blob several times.
        detections: the blobs that a layer DetectionOutput makes.
    """

    net: Any
    makers: Mapping[str, str]
    detections: frozenset[str]

    def run(self, blobs: Sequence[str]) -> Sequence[np.ndarray]:
        """The values of `blobs` for the inputs that were set, as OpenCV gives them."""
        results: Sequence[np.ndarray] = self.net.forward([self.makers.get(blob, blob) for blob in blobs])
        return results

    def as_ours(self, blob: str, value: np.ndarray) -> np.ndarray:
        """`value` of `blob` as our importer gives it: rows of detections that no box needs hold -1."""
        ours = np.array(value)
        if blob in self.detections:
            ours[~ours.any(axis=-1)] = _UNUSED
        return ours


def read_net(pair: Pair) -> OpencvNet:
    """Reads a network's files.

    Raises:
        cv2.error: OpenCV cannot read them: a layer that it does not know, for instance.
    """
    import cv2

    layers = read_network(pair.network).layers
    return OpencvNet(
        cv2.dnn.readNetFromCaffe(str(pair.network), str(pair.weights)),
        {top: layer.name + (f".{place}" if place else "") for layer in layers for place, top in enumerate(layer.tops)},
        frozenset(top for layer in layers if layer.type == "DetectionOutput" for top in layer.tops),
    )
