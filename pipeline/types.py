"""The nouns: ModelSource, ImportedModel, OptimizedModel, Task, Record. Frozen, and checked where they are made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from schedules.workload import Workload

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, static shape and dtype (numpy's spelling) of a model's input or output."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model comes from.

    Attributes:
        spec: what the user wrote: ``file.onnx``, ``file.pt2`` or ``path/file.py:factory``.
        kind: which importer takes it.
        path: the file.
        factory: the callable's name, for Python files.
    """

    spec: str
    kind: Literal["onnx", "pt2", "python"]
    path: Path
    factory: str | None = None


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """A model in ONNX, with static shapes, checked.

    Attributes:
        name: a short name for files and tables (``mobilenet_v2``).
        source: where it came from.
        original: the ONNX model as the framework exported it, shapes made static: what peers are given.
        normalized: the same function after onnxruntime's basic optimisation: what our passes start from.
        inputs: the model's inputs, in order.
        outputs: the model's outputs, in order.
        sha256: hash of `original`'s bytes.
    """

    name: str
    source: ModelSource
    original: onnx.ModelProto
    normalized: onnx.ModelProto
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class Task:
    """A distinct kernel of a model, to be tuned.

    Attributes:
        name: ``conv2d-1a2b3c4d5e6f``, the workload's key.
        workload: what is to be computed.
        weight: how often the model runs it.
        layers: names of the model's layers that it stands for.
    """

    name: str
    workload: Workload
    weight: int
    layers: tuple[str, ...]
