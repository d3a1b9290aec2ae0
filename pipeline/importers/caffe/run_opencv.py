"""Runs a Caffe network with OpenCV; as a script, it needs nothing of this project.

Arguments: the ``.prototxt``, the ``.caffemodel``, an ``.npz`` of inputs, JSON with the layer and the number of each
blob that is wanted, and the ``.npz`` to write: an array for each blob, ``0`` to the last.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import cv2


def forward_names(net: cv2.dnn.Net, makers: Mapping[str, Sequence[object]]) -> list[str]:
    """What `Net.forward` calls each blob: its layer, or itself where OpenCV has renamed the layer after its output.

    Args:
        net: the network.
        makers: by blob, its layer, and which of that layer's blobs it is.
    """
    names = []
    for blob, (layer, place) in makers.items():
        known = str(layer) if net.getLayerId(str(layer)) >= 0 else blob
        names.append(f"{known}.{place}" if place else known)
    return names


def main(network: str, weights: str, inputs: str, makers: str, outputs: str) -> None:
    """Reads, runs and writes."""
    import cv2

    cv2.setNumThreads(1)
    net = cv2.dnn.readNetFromCaffe(network, weights)
    if hasattr(net, "enableWinograd"):  # from 4.7 on: plain sums are as exact as ours, and take less memory
        net.enableWinograd(False)
    with np.load(inputs) as given:
        for name in given:
            net.setInput(given[name], name)
    results = net.forward(forward_names(net, json.loads(makers)))
    arrays: dict[str, Any] = {str(place): np.asarray(result) for place, result in enumerate(results)}
    np.savez(outputs, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
