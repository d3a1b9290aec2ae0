"""The description of an importer: how its format is named and recognised, and what reads and checks its models."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
    from tvmopt.pipeline.types import ImportedModel, ModelSource


@dataclass(frozen=True, slots=True)
class OnnxForm:
    """What an importer delivers: a model in ONNX, and what the original framework computed.

    Attributes:
        model: the ONNX model; every node has a name that the user recognises.
        request: the part of the user's request that `model` does not meet yet, with default shapes for inputs that
            would otherwise stay dynamic; None when the importer has met all of it.
        inputs: the arrays on which the framework ran the model, by input name of the ONNX model.
        outputs: the framework's outputs for `inputs`; empty when it was not run.
        program: the framework's own form of the model, for the importer's `check`.
    """

    model: onnx.ModelProto
    request: ShapeRequest | None
    inputs: Mapping[str, np.ndarray] = field(default_factory=dict)
    outputs: Mapping[str, np.ndarray] = field(default_factory=dict)
    program: Any = None


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor's elements are in a file.

    Attributes:
        file: number of the file in `Stored.files`.
        offset: where its first element begins, in bytes.
        nbytes: how many bytes it takes.
    """

    file: int
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Stored:
    """The files that a model follows from, whatever else there is on the machine.

    Attributes:
        files: the one that the user named, and those that it reads.
        tensors: where they hold tensors as plain bytes, as far as that is known.
        versions: those of the packages that import such files, beside ONNX and ONNX Runtime.
    """

    files: tuple[Path, ...]
    tensors: tuple[StoredTensor, ...]
    versions: tuple[str, ...] = ()


class UncheckedError(Exception):
    """What could check an import does not take the model; the message says why, in one line."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What an import was checked against.

    Attributes:
        against: what computed the same, as reports name it; empty where nothing did.
        unchecked: why nothing did, one line; empty where something did, or nothing is installed that could.
    """

    against: str = ""
    unchecked: str = ""


@dataclass(frozen=True, slots=True)
class Importer:
    """A model format.

    Instances are cheap to import: their functions import the framework, onnx and numpy only when they are called.

    Attributes:
        kind: its name in artifacts and measurement files; must never change.
        title: a model of this format, with its article, for error messages: ``an ONNX file``.
        about: what the user has to give, for the command line's help and the README.
        form: how the user writes it: ``file.onnx``.
        suffixes: the endings of its file names, in lower case; a suffix belongs to one importer.
        load: reads a source and returns its ONNX form. The other arguments are the shapes that the user asked for, and
            whether to be strict. A strict import refuses operators that ONNX does not define, and runs the model once
            in its framework if `check` needs that; otherwise, for a survey, every operator is accepted and nothing is
            run. Raises InputFileError for a file that cannot be read, UnsupportedModelError for an unsupported model.
        find_factory: checks and returns the name that the user gave after the file and a colon (None without one).
            None for a format that takes no name.
        framework: the framework that runs these models, as tables name it; empty where the file does not say.
        check: checks that the ONNX form computes what the framework does; raises WrongResultError with the first layer
            that differs, and UncheckedError where what could check it does not take the model. It returns what it
            checked against, as reports name it, which is empty where that is not installed; a return of None means the
            framework. None when there is no check.
        layer_values: runs the model in its framework on an array for each input; returns all outputs, and those of the
            named ONNX values that the framework computes. None when that is not possible.
        original_runtime: the runtime of `benchmarks` that runs these models in their framework and is the reference of
            a comparison; empty when there is none.
        stored: finds the files of a model and the tensors in them without importing it; raises OSError, ValueError or a
            TvmoptError for files that cannot be read. None where code makes the model: equal files may then give
            different models.
        folder_file: the file that makes a folder a model of this format, so that the folder may be given in its place;
            empty where models are files.
        refused: by suffix, for files of the same framework that cannot be read: why not, and what to give instead.
    """

    kind: str
    title: str
    about: str
    form: str
    suffixes: tuple[str, ...]
    load: Callable[[ModelSource, ShapeRequest, bool], OnnxForm]
    find_factory: Callable[[Path, str | None], str] | None = None
    framework: str = ""
    check: Callable[[OnnxForm], str | None] | None = None
    layer_values: (
        Callable[[ImportedModel, Mapping[str, np.ndarray], Collection[str]], Mapping[str, np.ndarray]] | None
    ) = None
    original_runtime: str = ""
    stored: Callable[[ModelSource], Stored] | None = None
    folder_file: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)

    def suffix_of(self, path: Path) -> str | None:
        """The suffix that `path` ends with, after at least one other character; None for other files."""
        name = path.name.lower()
        return next((end for end in self.suffixes if name.endswith(end) and len(name) > len(end)), None)
