"""What the user wrote for MODEL, checked: which file, which kind, which factory. Executes nothing."""

from __future__ import annotations

import ast
import difflib
from pathlib import Path

from tvmopt.pipeline.errors import InputFileError, UsageError, did_you_mean
from tvmopt.pipeline.types import ModelSource

FORMS = "file.onnx, file.pt2 or path/file.py:factory"
"""What MODEL may be, as error lines put it."""

PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
"""Suffixes of pickled files, which run code when they are read."""


def parse_source(spec: str) -> ModelSource:
    """Finds the model file that `spec` names.

    Args:
        spec: ``file.onnx``, ``file.pt2`` or ``path/file.py:factory``.

    Returns:
        The source; its file exists, is a regular file and, for Python, parses and defines the factory.

    Raises:
        InputFileError: the file is missing, a folder, of another kind or not Python, or lacks the factory.
        UsageError: `spec` is empty, names no factory, or gives one to a file that has none.
    """
    path, factory = _split(spec)
    suffix = path.suffix.lower()
    _check_suffix(spec, path, suffix)
    _check_file(spec, path)
    if suffix == ".py":
        return ModelSource(spec, "python", path, _check_factory(path, factory))
    if factory is not None:
        raise UsageError(f"{str(path)!r} takes no factory, got {factory!r}: give {str(path)!r} alone")
    return ModelSource(spec, "onnx" if suffix == ".onnx" else "pt2", path)


def model_name(source: ModelSource) -> str:
    """A short name for files and tables: ``mobilenet_v2`` for ``models/mobilenet_v2.py:build``."""
    stem = source.path.stem
    return stem if source.factory in (None, "build", stem) else f"{stem}_{source.factory}"


def _split(spec: str) -> tuple[Path, str | None]:
    if not spec.strip():
        raise UsageError(f"no model given, got {spec!r}: give {FORMS}")
    if "\0" in spec:
        raise UsageError(f"a file name cannot hold a zero byte, got {spec!r}")
    path, colon, factory = spec.rpartition(":")
    if colon and "/" not in factory and not Path(spec).exists():
        return Path(path), factory
    return Path(spec), None


def _check_suffix(spec: str, path: Path, suffix: str) -> None:
    if suffix in (".onnx", ".pt2", ".py"):
        return
    if path.is_dir():
        raise InputFileError(f"{spec!r} is a folder: give {FORMS}")
    if suffix in PICKLES:
        raise InputFileError(
            f"{spec!r} is a pickle ({suffix}), which can run any code when it is read: "
            "save the model with torch.export.save as .pt2, or write path/file.py:factory that builds it"
        )
    if suffix == ".safetensors":
        raise InputFileError(f"{spec!r} holds weights but no model: write path/file.py:factory that loads them")
    what = f"a {suffix} file" if suffix else "a file without suffix"
    raise InputFileError(f"{spec!r} is {what}, which is not a model that can be read: give {FORMS}")


def _check_file(spec: str, path: Path) -> None:
    try:
        if path.is_dir():
            raise InputFileError(f"{spec!r} is a folder: give {FORMS}")
        if path.is_file():
            return
        if path.exists():
            raise InputFileError(f"{str(path)!r} is not a regular file but a device, pipe or socket: give {FORMS}")
        if not path.parent.is_dir():
            raise InputFileError(f"model file {str(path)!r} does not exist: there is no folder {str(path.parent)!r}")
        nearby = [other.name for other in path.parent.iterdir() if other.suffix == path.suffix and other.is_file()]
    except OSError as error:
        raise InputFileError(f"cannot look up {str(path)!r}: {error.strerror}") from error
    near = difflib.get_close_matches(path.name, nearby, n=2, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise InputFileError(f"model file {str(path)!r} does not exist{hint}")


def _check_factory(path: Path, factory: str | None) -> str:
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        raise InputFileError(f"{str(path)!r}, line {error.lineno}: not Python: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputFileError(f"{str(path)!r} is not Python: {error}") from error
    except OSError as error:
        raise InputFileError(f"cannot read {str(path)!r}: {error.strerror}") from error
    functions = [name for name in _functions(tree) if not name.startswith("_")]
    if not factory:
        found = f"its functions are {', '.join(functions)}" if functions else "it defines no function"
        raise UsageError(
            f"{str(path)!r} needs the name of a factory, as in {path}:{(functions or ['build'])[0]} ({found})"
        )
    names = _bound_names(tree)
    if names is not None and factory not in names:
        if not functions:
            raise InputFileError(f"no factory {factory!r} in {str(path)!r}, which defines no function")
        raise InputFileError(f"{did_you_mean('factory', factory, functions)} in {str(path)!r}")
    return factory


def _functions(tree: ast.Module) -> list[str]:
    """Names of the functions defined at the top level, in order."""
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def _bound_names(tree: ast.Module) -> set[str] | None:
    """Names that the file may bind at the top level; None after a star import, when only running it can tell."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            if any(alias.name == "*" for alias in node.names):
                return None
            names.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
    return names
