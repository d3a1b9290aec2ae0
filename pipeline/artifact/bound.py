"""A compiled model whose inputs and outputs stay where they are, for calls that copy and check nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tvmopt.pipeline.artifact.executor import Array, Bound
from tvmopt.pipeline.support.fit import cut_results
from tvmopt.pipeline.types import Cut


class BoundModel:
    """A model that is called without arguments: write to `inputs`, call it, read what it returns.

    It has memory and threads of its own, so the artifact that it comes from, and others bound from that, may run at the
    same time. One thread at a time calls it. The arrays stay valid as long as anyone has them.

    Args:
        bound: the model in memory.
        names: of its inputs and its outputs, in order.
        cuts: the outputs whose size is found at run time.

    Attributes:
        inputs: the arrays that each call reads, by name. Write to their elements (``inputs["x"][...] = picture``, or
            ``out=`` of a function of numpy); they are in row-major order and begin at a multiple of 64 bytes, except
            in a model that needs TVM's runtime. A call leaves them as they are.
    """

    __slots__ = ("_cuts", "_outputs", "_run", "inputs")

    def __init__(self, bound: Bound, names: tuple[Sequence[str], Sequence[str]], cuts: Sequence[Cut]) -> None:
        self.inputs: Mapping[str, Array] = MappingProxyType(dict(zip(names[0], bound.inputs, strict=True)))
        self._outputs: Mapping[str, Array] = MappingProxyType(dict(zip(names[1], bound.outputs, strict=True)))
        self._run, self._cuts = bound.run, tuple(cuts)

    def __call__(self) -> Mapping[str, Array]:
        """Runs the model on what `inputs` hold.

        Returns:
            The outputs by name, in the shapes and dtypes of the artifact's ``manifest["outputs"]``: the same arrays
            from each call, which the next one overwrites, and which cannot be written to; copy what must last. Only an
            output whose size is found at run time is a new array.

        Raises:
            ModelInputError: when an index that the inputs lead to is out of range; names the layer.
            BuildError: when a kernel fails, with what it says.
        """
        self._run()
        return cut_results(self._outputs, self._cuts) if self._cuts else self._outputs
