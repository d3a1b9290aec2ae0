"""Checks what the user wrote for MODEL: which file, which kind, which factory. Executes nothing."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

from tvmopt.pipeline.errors import InputFileError, UsageError
from tvmopt.pipeline.importers.registry import IMPORTERS, find_importer, importer_of, listed_forms, refusal_of
from tvmopt.pipeline.types import ModelSource


def parse_source(spec: str, values: Mapping[str, tuple[float, ...]] | None = None) -> ModelSource:
    """Finds the model file that `spec` names.

    Args:
        spec: ``file.onnx``, ``file.pt2``, ``path/file.py:factory`` or another form that the registry lists.
        values: by input, the elements of those that become constants.

    Returns:
        The source; its file exists, is a regular file and, for Python, parses and defines the factory.

    Raises:
        InputFileError: the file is missing, a folder, of another kind or not Python, or lacks the factory.
        UsageError: `spec` is empty, names no factory, or names one for a format that takes none.
    """
    path, factory = _split(spec)
    path = _inside(path)
    importer = importer_of(path)
    if importer is None:
        raise _not_a_model(spec, path)
    _check_file(spec, path)
    if importer.find_factory is not None:
        factory = importer.find_factory(path, factory)
    elif factory is not None:
        raise UsageError(f"{str(path)!r} takes no factory, got {factory!r}: give {str(path)!r} alone")
    return ModelSource(spec, importer.kind, path, factory, dict(values or {}))


def model_name(source: ModelSource) -> str:
    """A short name for files and tables: ``mobilenet_v2`` for ``models/mobilenet_v2.py:build``."""
    suffix = find_importer(source.kind).suffix_of(source.path) or ""
    stem = source.path.name[: len(source.path.name) - len(suffix)]
    if source.path.name == find_importer(source.kind).folder_file:
        stem = source.path.resolve().parent.name
    return stem if source.factory in (None, "build", stem) else f"{stem}_{source.factory}"


def _split(spec: str) -> tuple[Path, str | None]:
    if not spec.strip():
        raise UsageError(f"no model given, got {spec!r}: give {listed_forms()}")
    if "\0" in spec:
        raise UsageError(f"a file name cannot hold a zero byte, got {spec!r}")
    path, colon, factory = spec.rpartition(":")
    if colon and "/" not in factory and not Path(spec).exists():
        return Path(path), factory
    return Path(spec), None


def _inside(path: Path) -> Path:
    """The file in the folder `path` that makes it a model; `path` itself where there is none."""
    if path.is_dir():
        for importer in IMPORTERS:
            if importer.folder_file and (path / importer.folder_file).is_file():
                return path / importer.folder_file
    return path


def _not_a_model(spec: str, path: Path) -> InputFileError:
    """Why no importer takes a file named like `path`."""
    if path.is_dir():
        return InputFileError(f"{spec!r} is a folder: give {listed_forms()}")
    suffix = path.suffix.lower()
    refusal = refusal_of(suffix)
    if refusal is not None:
        return InputFileError(f"{spec!r} {refusal}")
    what = f"a {suffix} file" if suffix else "a file without suffix"
    return InputFileError(f"{spec!r} is {what}, which is not a model that can be read: give {listed_forms()}")


def _check_file(spec: str, path: Path) -> None:
    try:
        if path.is_dir():
            raise InputFileError(f"{spec!r} is a folder: give {listed_forms()}")
        if path.is_file():
            return
        if path.exists():
            raise InputFileError(
                f"{str(path)!r} is not a regular file but a device, pipe or socket: give {listed_forms()}"
            )
        if not path.parent.is_dir():
            raise InputFileError(f"model file {str(path)!r} does not exist: there is no folder {str(path.parent)!r}")
        nearby = [other.name for other in path.parent.iterdir() if other.suffix == path.suffix and other.is_file()]
    except OSError as error:
        raise InputFileError(f"cannot look up {str(path)!r}: {error.strerror}") from error
    near = difflib.get_close_matches(path.name, nearby, n=2, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise InputFileError(f"model file {str(path)!r} does not exist{hint}")
