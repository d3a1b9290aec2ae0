"""Finds the other file of a network that is stored in two: its graph in one, its weights in the other."""

from __future__ import annotations

from pathlib import Path

from tvmopt.pipeline.errors import InputFileError


def find_partner(path: Path, own: str, other: str) -> Path:
    """The file beside `path` that belongs to it.

    A file whose name is the same up to the suffix comes first, then one whose name begins like it, then the only one.

    Args:
        path: the file that the user named.
        own: its suffix, without which the names are compared.
        other: the suffix of the file that is looked for.

    Raises:
        InputFileError: there is none, or several that suit alike.
    """
    stem = path.name[: len(path.name) - len(own)]
    try:
        names = sorted(file.name for file in path.parent.iterdir() if file.name.lower().endswith(other))
    except OSError as error:
        raise InputFileError(f"the folder of {path.name!r} cannot be read: {error.strerror}") from error
    stems = {name: name[: len(name) - len(other)] for name in names}
    same = [name for name in names if stems[name] == stem]
    akin = [name for name in names if stems[name].startswith(stem) or stem.startswith(stems[name])]
    for found in (same, akin, names):
        if len(found) == 1:
            return path.with_name(found[0])
        if found:
            raise InputFileError(
                f"several files beside {path.name!r} may belong to it ({', '.join(found[:5])}): give the one that is "
                "meant instead of it, or name it alike"
            )
    raise InputFileError(f"there is no {other} file beside {path.name!r}: put {stem}{other} there")
