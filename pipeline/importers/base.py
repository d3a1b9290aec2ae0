"""What every importer is: how a format is named and recognised, and the functions that read and check its models."""

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
    """A model in ONNX as its importer delivers it, beside what the original framework computed.

    Attributes:
        model: the ONNX model; every node has a name that the user recognises.
        request: the part of the user's request that `model` does not meet yet, with shapes for inputs that stay open
            otherwise; None when the importer has met all of it.
        inputs: the arrays that the framework ran the model on, by the ONNX model's names.
        outputs: what the framework gave for `inputs`; empty when it was not run.
        program: the framework's own form of the model, for the `check` of the same importer.
    """

    model: onnx.ModelProto
    request: ShapeRequest | None
    inputs: Mapping[str, np.ndarray] = field(default_factory=dict)
    outputs: Mapping[str, np.ndarray] = field(default_factory=dict)
    program: Any = None


@dataclass(frozen=True, slots=True)
class Importer:
    """One format of model.

    An instance costs nothing to import: its functions import the framework, onnx and numpy when they are called.

    Attributes:
        kind: its name in artifacts and measurement files, and so for good.
        title: one such model with its article, as errors put it: ``an ONNX file``.
        about: what the user has to give, for the command line's help and the README.
        form: how the user writes it: ``file.onnx``.
        suffixes: what the names of its files end with, in lower case; a suffix belongs to one importer.
        load: reads a source and gives its ONNX form. It gets the shapes that the user asked for, and whether the import
            is in earnest: it then refuses operators that ONNX does not define and runs the model once in its framework
            where `check` needs that. For a survey it lets every operator through and runs nothing. Raises
            InputFileError for a file that cannot be read, UnsupportedModelError for a model that cannot be taken.
        find_factory: checks the name behind the file's colon, None when the user gave none, and returns it; None for a
            format that takes no name.
        framework: the framework that runs such a model, as tables call it; empty where the file does not tell.
        check: checks that the ONNX form computes what the framework does; raises WrongResultError with the first layer
            that differs. None without such a check.
        layer_values: what the framework makes, of an array for each input, of those of the named ONNX values that it
            has, and of all outputs. None when it cannot tell.
        original_runtime: the runtime of `benchmarks` that runs such a model in its framework, which makes it the
            reference of a comparison; empty without one.
        refused: files of the same framework that cannot be read: why not and what to give instead, by suffix.
    """

    kind: str
    title: str
    about: str
    form: str
    suffixes: tuple[str, ...]
    load: Callable[[ModelSource, ShapeRequest, bool], OnnxForm]
    find_factory: Callable[[Path, str | None], str] | None = None
    framework: str = ""
    check: Callable[[OnnxForm], None] | None = None
    layer_values: (
        Callable[[ImportedModel, Mapping[str, np.ndarray], Collection[str]], Mapping[str, np.ndarray]] | None
    ) = None
    original_runtime: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)

    def suffix_of(self, path: Path) -> str | None:
        """The one of `suffixes` that `path` ends with, after at least one more character; None for other files."""
        name = path.name.lower()
        return next((end for end in self.suffixes if name.endswith(end) and len(name) > len(end)), None)
