"""The interface of what runs a compiled model: the native runtime linked into it, or TVM's virtual machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from tvmopt.pipeline.types import Step

Array = npt.NDArray[Any]

VisitStep = Callable[[Step, list[Array]], None]
"""Takes a step that has run, and copies of its outputs as laid out in memory."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A model in memory of its own, and the arrays through which it is called.

    Attributes:
        inputs: arrays that a run reads, in the model's order.
        outputs: arrays that a run fills, likewise.
        run: runs one inference.
    """

    inputs: Sequence[Array]
    outputs: Sequence[Array]
    run: Callable[[], None]


class Executor(Protocol):
    """A model in memory, with its inputs."""

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        """Copies the model's inputs to where it reads them."""

    def run(self) -> None:
        """Runs one inference on the inputs that are set."""

    def outputs(self) -> list[Array]:
        """Copies of the last run's outputs."""

    def call(self, arrays: Sequence[Array], names: Sequence[str]) -> dict[str, Array]:
        """Runs one inference on `arrays`, its inputs; returns copies of its outputs by their `names`."""

    def bind(self, arrays: Sequence[Array]) -> Bound:
        """The same model in other memory, with `arrays` copied to its inputs; both may run at the same time."""

    def kernels(self) -> list[str]:
        """Names of the kernels that a run calls, in order."""

    def time_kernels(self) -> list[tuple[int, int]]:
        """Runs once and times each kernel call: when it began and ended, in nanoseconds of one clock."""

    def time_kernels_on_processor(self) -> list[tuple[int, int]]:
        """The same in nanoseconds of the calling thread's processor time: what other programs take does not count.

        Only for a model that runs on one thread: what further threads do is not in it.
        """

    def visit_kernels(self, steps: Sequence[Step], visit: VisitStep) -> None:
        """Runs once and passes each kernel's outputs to `visit`.

        Args:
            steps: the kernels, as `kernels` names them.
            visit: called after each.

        Raises:
            InputFileError: when a kernel's outputs are not those that its step lists.
        """
