"""Samples and labels as arrays in an .npz file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tvmopt.pipeline.data.labelled.sample_set import LabelledSet, files_fingerprint, require_classes
from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.support.npz import load_arrays

_LABELS = ("labels", "label", "y", "y_test", "targets", "target")
_SAMPLES = ("images", "image", "x", "x_test", "data", "samples", "inputs", "input")


def open_arrays(path: Path) -> LabelledSet:
    """The samples and labels of an .npz file.

    Samples of uint8 are pictures (with channels first, last or not at all); others are inputs of the model as they are.
    Labels are whole numbers, one for each sample, or as one-hot rows.

    Raises:
        InputFileError: the file is no .npz, there are no samples or labels in it, or they do not go together.
    """
    try:
        arrays = load_arrays(path)
    except (OSError, ValueError) as error:
        raise InputFileError(f"{path}: not a readable .npz file: {error}") from None
    labels = next((name for name in _LABELS if name in arrays), "")
    if not labels:
        raise InputFileError(f"{path}: has no labels; expected an array {_LABELS[0]!r} beside {_SAMPLES[0]!r}")
    others = [name for name in arrays if name != labels]
    samples = next((name for name in _SAMPLES if name in others), others[0] if len(others) == 1 else "")
    if not samples:
        raise InputFileError(f"{path}: has no samples; expected an array {_SAMPLES[0]!r}, got {', '.join(arrays)}")
    values, numbers = arrays[samples], _numbers(path, labels, arrays[labels])
    if not values.ndim or len(values) != len(numbers):
        raise InputFileError(f"{path}: {samples} has shape {values.shape}, but there are {len(numbers)} labels")
    if not len(numbers):
        raise InputFileError(f"{path}: has no samples")
    require_classes(numbers, path)
    pictures = values.dtype == np.uint8 and values.ndim in (3, 4)
    if pictures:
        values = _channels_last(path, values)
    return LabelledSet(
        form="arrays",
        path=path,
        kind="classes",
        names=[f"{samples}[{index}]" for index in range(len(values))],
        read=values.__getitem__,
        label=lambda index: numbers[index],
        numbers=numbers,
        pictures=pictures,
        fingerprint=files_fingerprint(path.parent, [path]),
    )


def _numbers(path: Path, name: str, labels: np.ndarray) -> list[int]:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all():
        labels = labels.argmax(axis=1)
    whole = labels.ndim == 1 and labels.dtype.kind in "iuf" and np.array_equal(labels, np.floor(labels))
    if not whole or (labels < 0).any():
        raise InputFileError(
            f"{path}: {name} must number the class of each sample from 0; it has dtype {labels.dtype}, shape "
            f"{labels.shape}"
        )
    return [int(label) for label in labels]


def _channels_last(path: Path, pictures: np.ndarray) -> np.ndarray:
    if pictures.ndim == 3:
        return pictures[..., None]
    if pictures.shape[3] in (1, 3):
        return pictures
    if pictures.shape[1] in (1, 3):
        return pictures.transpose(0, 2, 3, 1)
    raise InputFileError(f"{path}: pictures need 1 or 3 channels; their shape is {pictures.shape}")
