"""Quantises a network with one quantiser, unless that was done before: what it made is kept on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tvmopt.benchmarks.machine.environment import package_versions
from tvmopt.pipeline.devices.environments.conversions import convert_once
from tvmopt.pipeline.importers.recalling.file_hash import hash_of, map_files
from tvmopt.pipeline.support.cache import digest
from tvmopt.pipeline.support.npz import load_arrays

Feed = dict[str, np.ndarray]
"""Arrays by the names of a network's inputs."""

VERSION = 2
"""Raised whenever a quantiser is called in another way, which `Quantizer.settings` do not tell."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Feeds that are all there, as `pipeline.data.calibration.Feeds`."""

    feeds: Sequence[Feed]
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.feeds)

    def __iter__(self) -> Iterator[Feed]:
        return iter(self.feeds)


@dataclass(frozen=True, slots=True)
class Quantizer:
    """A way to quantise a network.

    Attributes:
        name: of its entries in the cache.
        packages: the distributions whose versions decide what it makes.
        settings: what else decides that.
        quantize: reads an ONNX file, calibrates on the feeds and writes one file.
    """

    name: str
    packages: tuple[str, ...]
    settings: tuple[str, ...]
    quantize: Callable[[Path, Sequence[Feed], Path], None]


def quantize_once(quantizer: Quantizer, model: Path, calibration: Path, path: Path) -> None:
    """Writes the network quantised by `quantizer` to `path`.

    Args:
        quantizer: the way.
        model: the network's ONNX file, in FP32; large weights may be beside it, in a file of that name and ``.data``.
        calibration: an ``.npz`` with calibration batches stacked for each input.
        path: the file to write; equal files are taken from the cache.

    Raises:
        Exception: whatever the quantiser raises on a network that it does not take.
    """
    beside = model.with_name(f"{model.name}.data")
    files = [model, *([beside] if beside.exists() else []), calibration]
    key = digest(
        VERSION, hash_of(map_files(files)), sorted(package_versions(quantizer.packages).items()), quantizer.settings
    )

    def make() -> None:
        unfinished = path.with_name(f"{path.name}.new")
        quantizer.quantize(model, list(iterate_feeds(load_arrays(calibration))), unfinished)
        unfinished.replace(path)

    convert_once(quantizer.name, key, path, make)


def iterate_feeds(batches: Mapping[str, np.ndarray]) -> Iterator[Feed]:
    """One feed for each of the stacked calibration batches."""
    count = min(len(stack) for stack in batches.values())
    return ({name: stack[index] for name, stack in batches.items()} for index in range(count))
