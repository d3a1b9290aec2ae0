"""One family of exceptions for problems that a user can fix, each with its exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class TvmoptError(Exception):
    """A problem that the user can fix; printed as one line, without a traceback.

    Attributes:
        exit_code: the process's exit code when this error ends a command.
    """

    exit_code = 1


class UsageError(TvmoptError):
    """An argument is wrong: unknown target, runtime or tuner, impossible option value."""

    exit_code = 2


class InputFileError(TvmoptError):
    """A file or folder is missing, truncated, of another kind, or hostile."""

    exit_code = 3


class UnsupportedModelError(TvmoptError):
    """The model has operators, dtypes or dynamic shapes that are not supported."""

    exit_code = 4


class OpenShapeError(UnsupportedModelError):
    """Inputs of the model have sizes that nothing settles."""


class NoModelError(UnsupportedModelError):
    """A factory returned something else than a model and its example inputs."""


class ModelInputError(TvmoptError):
    """Input arrays do not fit the model: names, shapes or dtypes."""

    exit_code = 5


class WrongResultError(TvmoptError):
    """Outputs differ from the reference by more than the tolerance."""

    exit_code = 6


class BuildError(TvmoptError):
    """A kernel or library could not be built; names the stage and the layer."""

    exit_code = 7


class RuntimeMissingError(TvmoptError):
    """A framework, runtime, tool or device is missing; says how to get it."""

    exit_code = 8


class CancelledError(TvmoptError):
    """A job was stopped, with Ctrl-C or by its listener; what was done by then is kept.

    Args:
        message: one line.
        partial: see below.

    Attributes:
        partial: the job's result so far, of the type that it returns; None when there is none.
    """

    exit_code = 130

    def __init__(self, message: str = "stopped; what was done is kept", partial: Any = None) -> None:
        super().__init__(message)
        self.partial = partial


EXIT_CODES: dict[int, str] = {
    0: "success",
    1: "other failure",
    2: "wrong usage",
    3: "unreadable file",
    4: "unsupported model",
    5: "inputs do not fit the model",
    6: "wrong results",
    7: "build failed",
    8: "missing runtime, tool or device",
    130: "stopped with Ctrl-C; what was done is kept",
}
"""What each exit code of the command line means."""


def did_you_mean(what: str, given: str, choices: Iterable[str]) -> str:
    """One line that names `given`, the nearest of `choices` and all of them.

    Args:
        what: the kind of thing, such as ``target``.
        given: what the user wrote.
        choices: the valid names.
    """
    known = sorted(choices)
    near = difflib.get_close_matches(given, known, n=2, cutoff=0.4)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"unknown {what} {given!r}{hint} (known: {', '.join(known)})"
