"""Inputs on which a quantiser finds the ranges of values: of a set, a folder of pictures, arrays, or photographs.

They are chosen at random, by a seed, and made one after the other: a set may be larger than the memory.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

import numpy as np

from tvmopt.pipeline.data.labelled.open_set import is_labelled, open_labelled
from tvmopt.pipeline.data.labelled.read_picture import SUFFIXES, read_picture, require_pillow
from tvmopt.pipeline.data.labelled.sample_set import LabelledSet, UnreadableSampleError
from tvmopt.pipeline.data.pictures import cut_at_random, load_pictures
from tvmopt.pipeline.data.preprocessing import Preprocessing, choose_preprocessing
from tvmopt.pipeline.errors import InputFileError, ModelInputError, UsageError
from tvmopt.pipeline.support.npz import load_arrays
from tvmopt.pipeline.types import TensorSpec

Feed = Mapping[str, np.ndarray]
"""An array for each input of a model, by name."""

_PICTURES = ("float32", "float16", "uint8", "int8")
"""Element types of inputs that may be pictures."""


class Feeds(Protocol):
    """Inputs to run a model on, made one after the other whenever they are gone through."""

    @property
    def skipped(self) -> int:
        """How many samples could not be read, the last time."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Feed]: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Attributes:
        inputs: the model's inputs; where samples are taken one by one, the batch is the first dimension.
        model_kind: the kind of the model's importer.
        data: where samples are; the photographs that scikit-learn ships when None.
        preprocess: how pictures become inputs, as `choose_preprocessing` takes it.
        samples: how many are used, at most.
        seed: of their choice.
    """

    inputs: Sequence[TensorSpec]
    model_kind: str
    data: Path | None = None
    preprocess: str | None = None
    samples: int = 300
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was found.

    Attributes:
        feeds: the inputs.
        origin: what they are, in words.
        labelled: the set with labels that they are from; None where there are no labels.
        preprocessing: how its samples become inputs; None where they are arrays by the inputs' names.
        names: of the samples of `labelled` that are taken first; others only where some cannot be read.
    """

    feeds: Feeds
    origin: str
    labelled: LabelledSet | None = None
    preprocessing: Preprocessing | None = None
    names: frozenset[str] = frozenset()


def open_calibration(wanted: Wanted) -> Calibration:
    """Finds the inputs to calibrate on; they are read later.

    Raises:
        UsageError: the model needs data, or does not take such, or there is no such preprocessing.
        InputFileError: the data cannot be read.
        ModelInputError: they do not fit the model's inputs.
        RuntimeMissingError: Pillow or, without data, scikit-learn is not installed.
    """
    arrays = _named_arrays(wanted)
    if arrays is not None:
        if wanted.preprocess is not None:
            raise UsageError(f"--preprocess is for pictures; {wanted.data} has inputs by their names: leave it out")
        stacked = _Stacked(arrays, wanted)
        return Calibration(stacked, f"{len(stacked)} inputs from {wanted.data}")
    spec = _only_input(wanted)
    samples, labelled = (_photographs(spec, wanted), False) if wanted.data is None else _samples(wanted.data)
    preprocessing = choose_preprocessing(wanted.preprocess, spec, samples, wanted.model_kind)
    count = min(wanted.samples, len(samples))
    origin = f"{count} {samples.form}" if wanted.data is None else f"{count} of {len(samples)} samples of {wanted.data}"
    feeds = _Prepared(samples, preprocessing, spec, wanted)
    return Calibration(feeds, origin, samples if labelled else None, preprocessing, feeds.names)


def _named_arrays(wanted: Wanted) -> Mapping[str, np.ndarray] | None:
    """The arrays of an .npz file that has one for each input of the model, and no labels; else None."""
    if wanted.data is None or wanted.data.suffix != ".npz" or not wanted.data.is_file():
        return None
    try:
        arrays = load_arrays(wanted.data)
    except (OSError, ValueError) as error:
        raise InputFileError(f"{wanted.data}: not a readable .npz file: {error}") from None
    return arrays if set(arrays) == {spec.name for spec in wanted.inputs} else None


def _only_input(wanted: Wanted) -> TensorSpec:
    """The model's only input, which must be one of pictures if there are no data.

    Raises:
        UsageError: it is not.
    """
    shapes = ", ".join(f"{spec.name} {'×'.join(map(str, spec.shape))} {spec.dtype}" for spec in wanted.inputs)
    if len(wanted.inputs) != 1:
        raise UsageError(
            f"the model has {len(wanted.inputs)} inputs ({shapes}): give --data FILE.npz with an array of samples for "
            "each"
        )
    (spec,) = wanted.inputs
    if wanted.data is None and not _takes_pictures(spec):
        raise UsageError(
            f"the model takes no pictures ({shapes}), and tvmopt has samples of nothing else: give --data FILE.npz "
            f"with an array {spec.name!r} of samples"
        )
    return spec


def _takes_pictures(spec: TensorSpec) -> bool:
    return len(spec.shape) == 4 and spec.dtype in _PICTURES and not {1, 3}.isdisjoint((spec.shape[1], spec.shape[3]))


def _samples(path: Path) -> tuple[LabelledSet, bool]:
    """The labelled set at `path`, or the pictures in a folder; and whether they have labels."""
    if is_labelled(path) or not path.is_dir():
        return open_labelled(path), True
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise InputFileError(f"{path}: has no pictures; expected files that end with {', '.join(SUFFIXES[:5])}")
    require_pillow()
    return _unlabelled("a folder of pictures", path, len(files), lambda index: read_picture(files[index])), False


def _photographs(spec: TensorSpec, wanted: Wanted) -> LabelledSet:
    """Random cuts of scikit-learn's two photographs."""
    pictures = load_pictures(None)
    sizes = spec.shape[2:] if spec.shape[1] in (1, 3) else spec.shape[1:3]

    def read(index: int) -> np.ndarray:
        return cut_at_random(pictures, (sizes[0], sizes[1]), np.random.default_rng((wanted.seed, index)))

    return _unlabelled(pictures.origin, Path(), wanted.samples, read)


def _unlabelled(form: str, path: Path, count: int, read: Callable[[int], np.ndarray]) -> LabelledSet:
    def label(index: int) -> NoReturn:
        raise UnreadableSampleError(f"sample {index} has no label")

    return LabelledSet(form, path, "classes", [str(index) for index in range(count)], read, label)


class _Prepared:
    """Feeds of samples in random order. Those that cannot be read are left out; others take their places."""

    def __init__(self, samples: LabelledSet, preprocessing: Preprocessing, spec: TensorSpec, wanted: Wanted) -> None:
        self._skipped = 0
        self._samples, self._prepare, self._spec = samples, preprocessing.prepare, spec
        self._order = [int(place) for place in np.random.default_rng(wanted.seed).permutation(len(samples))]
        self._count = min(wanted.samples, len(samples))

    @property
    def skipped(self) -> int:
        """As `Feeds.skipped`."""
        return self._skipped

    @property
    def names(self) -> frozenset[str]:
        """Names of the samples that are taken if all can be read."""
        return frozenset(self._samples.names[place] for place in self._order[: self._count])

    def __len__(self) -> int:
        return math.ceil(self._count / self._spec.shape[0])

    def __iter__(self) -> Iterator[Feed]:
        self._skipped = 0
        inputs = itertools.islice(self._inputs(), self._count)
        empty = True
        while batch := list(itertools.islice(inputs, self._spec.shape[0])):
            empty = False
            yield {self._spec.name: np.resize(np.stack(batch), self._spec.shape)}  # a last one is filled by repeating
        if empty:
            raise InputFileError(f"{self._samples.path}: none of the {len(self._samples)} samples can be read")

    def _inputs(self) -> Iterator[np.ndarray]:
        for place in self._order:
            try:
                sample = self._samples.read(place)
            except UnreadableSampleError:
                self._skipped += 1
                continue
            yield self._prepare(sample)


class _Stacked:
    """Feeds from arrays by the inputs' names, whose samples have a dimension of their own, or that of the batch."""

    def __init__(self, arrays: Mapping[str, np.ndarray], wanted: Wanted) -> None:
        self._arrays = {spec.name: _split(arrays[spec.name], spec) for spec in wanted.inputs}
        counts = {len(array) for array in self._arrays.values()}
        if len(counts) > 1 or counts == {0}:
            found = ", ".join(f"{len(array)} of {name!r}" for name, array in self._arrays.items())
            raise ModelInputError(f"{wanted.data}: expected the same number of samples for each input; it has {found}")
        (total,) = counts
        order = np.random.default_rng(wanted.seed).permutation(total)
        self._order = [int(place) for place in order[: wanted.samples]]

    @property
    def skipped(self) -> int:
        """As `Feeds.skipped`: none."""
        return 0

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Feed]:
        return ({name: array[place] for name, array in self._arrays.items()} for place in self._order)


def _split(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """`array` as one array of the input's shape after the other.

    Raises:
        ModelInputError: it does not fit.
    """
    if not np.can_cast(array.dtype, spec.dtype, "same_kind"):
        raise ModelInputError(f"the samples of {spec.name!r} are {array.dtype}, the model's input is {spec.dtype}")
    if array.ndim and array.shape[1:] == spec.shape:
        return array.astype(spec.dtype, copy=False)
    if spec.shape and array.shape[1:] == spec.shape[1:] and len(array) >= spec.shape[0]:
        whole = len(array) // spec.shape[0]
        return array[: whole * spec.shape[0]].reshape(whole, *spec.shape).astype(spec.dtype, copy=False)
    wanted = "×".join(map(str, spec.shape)) or "a number"
    raise ModelInputError(
        f"the samples of {spec.name!r} have shape {array.shape}; expected one of {wanted} after the other, in one array"
    )
