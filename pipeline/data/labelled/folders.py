"""ImageNet's two layouts: a folder for each class, and a list with a picture and its label in each line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tvmopt.pipeline.data.labelled.read_lines import read_lines
from tvmopt.pipeline.data.labelled.read_picture import SUFFIXES, read_picture, require_pillow
from tvmopt.pipeline.data.labelled.sample_set import LabelledSet, files_fingerprint, require_classes
from tvmopt.pipeline.errors import InputFileError

CLASSES = "classes.txt"
"""A file beside the pictures that lists the names of all classes, one a line, in the order of the model's outputs."""

LISTS = ("val.txt", "test.txt", "labels.txt", "list.txt", "val_map.txt")
"""Names under which a list is found in a folder."""


def find_list(path: Path) -> Path | None:
    """The list that `path` is or holds; None when there is none."""
    if path.is_file():
        return path if path.suffix in (".txt", ".csv", ".tsv") else None
    return next((path / name for name in LISTS if (path / name).is_file()), None)


def class_folders(path: Path) -> list[Path]:
    """The folders in `path` that hold pictures, sorted by name."""
    return [entry for entry in sorted(path.iterdir()) if entry.is_dir() and any(_pictures(entry))]


def open_folders(path: Path) -> LabelledSet:
    """Pictures in a folder for each class; the folder's name is the class, or its number.

    Raises:
        InputFileError: there are no pictures, or of one class only.
        RuntimeMissingError: Pillow is not installed.
    """
    folders = class_folders(path)
    names, files = [], []
    for folder in folders:
        inside = sorted(_pictures(folder))
        files += inside
        names += [folder.name] * len(inside)
    return _pictures_with_labels(path, "a folder for each class", files, names)


def open_list(path: Path) -> LabelledSet:
    """The pictures that a list names, each with its class or its number; a comma, a tabulator or spaces between.

    Raises:
        InputFileError: a line has no label, no picture exists, or all are of one class.
        RuntimeMissingError: Pillow is not installed.
    """
    files, names = [], []
    for number, text in enumerate(read_lines(path), 1):
        if not text or text.startswith("#"):
            continue
        separator = next((mark for mark in ("\t", ",") if mark in text), None)
        image, _, label = (part.strip() for part in _split(text, separator))
        if not image or not label:
            raise InputFileError(f"{path}:{number}: expected a picture and its label, such as cat.png 3; got {text!r}")
        files.append(path.parent / image)
        names.append(label)
    if files and not any(file.is_file() for file in files):
        raise InputFileError(f"{path}: none of its {len(files)} pictures exists, such as {files[0]}")
    return _pictures_with_labels(path, "a list of pictures", files, names)


def _split(text: str, separator: str | None) -> tuple[str, str, str]:
    if separator is not None:
        return text.rpartition(separator)
    parts = text.rsplit(None, 1)
    return (parts[0], " ", parts[1]) if len(parts) == 2 else (text, "", "")


def _pictures_with_labels(path: Path, form: str, files: Sequence[Path], names: Sequence[str]) -> LabelledSet:
    if not files:
        raise InputFileError(
            f"{path}: has no labelled pictures; expected a folder for each class with files that end with "
            f"{', '.join(SUFFIXES[:5])}, or a list"
        )
    require_pillow()
    root = path if path.is_dir() else path.parent
    listed = root / CLASSES
    number_of, classes, complete = _numbering(names, listed if listed.is_file() else None)
    labels = [number_of(name) for name in names]
    require_classes(labels, path, classes)
    return LabelledSet(
        form=form,
        path=path,
        kind="classes",
        names=[str(file.relative_to(root)) if file.is_relative_to(root) else file.name for file in files],
        read=lambda index: read_picture(files[index]),
        label=lambda index: labels[index],
        numbers=labels,
        classes=classes,
        complete=complete,
        fingerprint=f"{files_fingerprint(root, files)} {labels}",
    )


def _numbering(names: Sequence[str], listed: Path | None) -> tuple[Callable[[str], int], tuple[str, ...], bool]:
    """What numbers a class by its name, all classes in that order, and whether a list says that they are all."""
    distinct = sorted(set(names))
    if listed is not None:
        classes = tuple(line for line in read_lines(listed) if line)
        numbers = {name: number for number, name in enumerate(classes)}
        # In synset lists the words follow the name.
        numbers = {name.split()[0]: number for name, number in numbers.items()} | numbers
        unknown = [name for name in distinct if name not in numbers]
        if unknown and not all(name.isdecimal() for name in unknown):
            raise InputFileError(f"{listed}: does not list the class {unknown[0]!r}, which has pictures")
        return lambda name: numbers[name] if name in numbers else int(name), classes, True
    if all(name.isascii() and name.isdecimal() for name in distinct):
        return int, (), False
    places = {name: place for place, name in enumerate(distinct)}
    return places.__getitem__, tuple(distinct), False


def _pictures(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if entry.suffix.lower() in SUFFIXES and entry.is_file()]
