"""The two files of a Caffe network."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tvmopt.pipeline.importers.check.pair import find_partner

_NETWORK, _WEIGHTS = ".prototxt", ".caffemodel"


class Pair(NamedTuple):
    """The file with the layers, and the one with the weights."""

    network: Path
    weights: Path


def find_pair(path: Path) -> Pair:
    """The files of the network of which `path` is one.

    Raises:
        InputFileError: the other is not there, or there are several.
    """
    if path.name.lower().endswith(_WEIGHTS):
        return Pair(find_partner(path, _WEIGHTS, _NETWORK), path)
    return Pair(path, find_partner(path, _NETWORK, _WEIGHTS))
