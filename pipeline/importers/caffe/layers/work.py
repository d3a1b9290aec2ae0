"""What the translation of one layer can ask and add."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.caffe.network import Layer
from tvmopt.pipeline.importers.caffe.weights import Blob
from tvmopt.pipeline.importers.onnx_form.building.layer import TranslatedLayer

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Work(TranslatedLayer):
    """A layer that is being translated.

    Attributes:
        layer: the layer.
        bottoms: the values that it reads.
        blobs: its weights.
    """

    layer: Layer
    bottoms: tuple[str, ...]
    blobs: tuple[Blob, ...]

    @property
    def x(self) -> str:
        """The first value that it reads."""
        return self.bottom(0)

    def bottom(self, index: int) -> str:
        """A value that it reads."""
        if index >= len(self.bottoms):
            raise InputFileError(f"{self}: reads {len(self.bottoms)} blobs, but needs at least {index + 1}")
        return self.bottoms[index]

    def parameters(self, name: str) -> Any:
        """The parameters in the field `name`, or their defaults."""
        message = self.layer.parameters
        if name not in message.DESCRIPTOR.fields_by_name:
            from tvmopt.pipeline.importers.caffe.schema import message_type

            return getattr(message_type("LayerParameter")(), name)
        return getattr(message, name)

    def weights(self, index: int, shape: Sequence[int] | None = None) -> Array:
        """The weights number `index`, in `shape`; None takes the shape in the file.

        Raises:
            InputFileError: they are not in the file, or do not have as many elements.
        """
        if index >= len(self.blobs):
            raise InputFileError(
                f"{self}: needs at least {index + 1} blobs of weights, but the .caffemodel has {len(self.blobs)} for "
                "it: it belongs to another network"
            )
        blob = self.blobs[index]
        if shape is None:
            return blob.read()
        if math.prod(shape) != math.prod(blob.shape):
            raise InputFileError(
                f"{self}: its weights have shape {list(blob.shape)} in the .caffemodel, but it takes {list(shape)}: "
                "the file belongs to another network"
            )
        return blob.read().reshape(tuple(shape))

    def reshaped(self, value: str, shape: Sequence[int]) -> str:
        """`value` in another shape."""
        if self.builder.shape(value) == tuple(shape):
            return value
        return self.builder.add("Reshape", value, self.builder.integers(shape))

    def __str__(self) -> str:
        return f"layer {self.layer.name!r} ({self.layer.type})"


Translate = Callable[[Work], Sequence[str]]
"""Adds a layer's nodes to the builder and returns the values of its tops."""
