"""What the translation of a layer can ask, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass

from tvmopt.pipeline.errors import InputFileError, UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.building.builder import GraphBuilder


@dataclass(frozen=True, slots=True)
class TranslatedLayer:
    """A layer that is being translated; its text names it in errors.

    Attributes:
        builder: takes its nodes.
    """

    builder: GraphBuilder

    @property
    def x(self) -> str:
        """The first value that it reads."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first value that it reads."""
        return self.builder.shape(self.x)

    def dimensions(self, least: int) -> tuple[int, ...]:
        """The shape of the first value, which must have at least so many dimensions.

        Raises:
            InputFileError: it has fewer.
        """
        if len(self.shape) < least:
            raise InputFileError(f"{self}: takes at least {least} dimensions, got an array of shape {list(self.shape)}")
        return self.shape

    def axis(self, axis: int, rank: int | None = None) -> int:
        """`axis` of the first value, or of one with `rank` dimensions, counted from the front.

        Raises:
            InputFileError: there is no such axis.
        """
        rank = len(self.shape) if rank is None else rank
        if not -rank <= axis < rank:
            raise InputFileError(f"{self}: axis {axis} of an array of {rank} dimensions")
        return axis % rank

    def refuse(self, what: str, remedy: str) -> UnsupportedModelError:
        """The error for a layer that is known but has parameters that are not."""
        return UnsupportedModelError(f"{self}: {what}: {remedy}")
