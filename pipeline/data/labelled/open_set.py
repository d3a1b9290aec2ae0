"""Finds out what kind of labelled set a path holds, and opens it."""

from __future__ import annotations

from pathlib import Path

from tvmopt.pipeline.data.labelled.arrays import open_arrays
from tvmopt.pipeline.data.labelled.folders import class_folders, find_list, open_folders, open_list
from tvmopt.pipeline.data.labelled.idx import find_idx, open_idx
from tvmopt.pipeline.data.labelled.sample_set import Kind, LabelledSet
from tvmopt.pipeline.data.labelled.voc import find_voc, has_masks_only, open_voc
from tvmopt.pipeline.errors import InputFileError

FORMS = (
    "a folder for each class, a list of pictures and labels (.txt, .csv), VOC's folders, MNIST's idx files, or an .npz "
    "with images and labels"
)
"""The kinds of labelled sets, for help texts and messages."""


def is_labelled(path: Path) -> bool:
    """Whether `path` looks like a labelled set: nothing but names is read."""
    if path.is_file():
        return path.suffix == ".npz" or find_list(path) is not None or find_idx(path) is not None
    if not path.is_dir():
        return False
    found = find_voc(path) or find_list(path) or find_idx(path)
    return found is not None or bool(class_folders(path))


def open_labelled(path: Path, kind: Kind | None = None) -> LabelledSet:
    """The labelled set at `path`; samples are read later, one at a time.

    Args:
        path: a file or folder; see `FORMS`.
        kind: the kind of labels that a metric needs, where the set has several; None for what it has.

    Raises:
        InputFileError: there is none, or it cannot be used: no samples, one class only, a truncated file.
        RuntimeMissingError: pictures are read by Pillow, which is not installed.
    """
    if not path.exists():
        raise InputFileError(f"{path}: does not exist; --data takes {FORMS}")
    if path.suffix == ".npz" and path.is_file():
        return open_arrays(path)
    voc = find_voc(path)
    if voc is not None:
        return open_voc(voc, masks=kind == "masks" or (kind is None and has_masks_only(voc)))
    idx = find_idx(path)
    if idx is not None:
        return open_idx(*idx)
    listed = find_list(path)
    if listed is not None:
        return open_list(listed)
    if path.is_file():
        raise InputFileError(f"{path}: not a labelled set; --data takes {FORMS}")
    return open_folders(path)
