"""The factory that a user names in a Python file. Executes nothing."""

from __future__ import annotations

import ast
from pathlib import Path

from tvmopt.pipeline.errors import InputFileError, UsageError, did_you_mean


def find_factory(path: Path, factory: str | None) -> str:
    """Checks, without running the file, that it is Python and defines the factory.

    Args:
        path: the file.
        factory: the name that the user gave, None or empty when there was none.

    Returns:
        The factory's name.

    Raises:
        InputFileError: the file is not Python, or lacks the factory.
        UsageError: the user gave no name; lists the file's functions.
    """
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
    """Names that the file may bind at the top level; None if it has a star import, since only running it shows them."""
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
