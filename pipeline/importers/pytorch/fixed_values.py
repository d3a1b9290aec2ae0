"""Inputs of a PyTorch model that the user fixes: its module then computes with constants in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any

import numpy as np

from tvmopt.pipeline.importers.onnx_form.constants.fixed_inputs import check_fixed, fixed_array
from tvmopt.pipeline.importers.pytorch.layer_names import as_array

if TYPE_CHECKING:
    from torch import Tensor, nn

Values = Mapping[str, tuple[float, ...]]


def with_values(names: Sequence[str], inputs: Sequence[Tensor], values: Values) -> tuple[Tensor, ...]:
    """`inputs` with those of `values` replaced by them, in the same dtype and shape.

    Raises:
        UsageError: `values` names an input that does not exist, or all of them, or has numbers that do not fit one.
    """
    import torch

    check_fixed(values, names)
    return tuple(
        torch.from_numpy(_array(name, x, values[name])) if name in values else x
        for name, x in zip(names, inputs, strict=True)
    )


def fix_inputs(module: nn.Module, names: Sequence[str], inputs: Sequence[Tensor], values: Values) -> tuple[Tensor, ...]:
    """Makes `module` compute with `values` in place of inputs: it takes only the others from now on.

    The constants are made anew in each call, out of numbers: so torch.export knows the value of a single one, which may
    decide what Python does next.

    Args:
        module: changed in place.
        names: of its inputs.
        inputs: an example of each.
        values: by input, its elements in row-major order; a single number fills any shape.

    Returns:
        The examples of the inputs that it still takes.

    Raises:
        UsageError: as `with_values`.
    """
    tensors = dict(zip(names, with_values(names, inputs, values), strict=True))
    fixed = {name: (tensors[name].tolist(), tensors[name].dtype) for name in values}
    kept = [name for name in names if name not in values]
    forward = module.forward

    def with_constants(*given: Tensor) -> Any:
        import torch

        taken = dict(zip(kept, given, strict=True))
        return forward(*(torch.tensor(fixed[n][0], dtype=fixed[n][1]) if n in fixed else taken[n] for n in names))

    parameters = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in kept]
    with_constants.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # torch takes the names from it
    module.forward = with_constants
    return tuple(tensors[name] for name in kept)


def _array(name: str, example: Tensor, numbers: tuple[float, ...]) -> np.ndarray:
    array = as_array(name, example)
    return fixed_array(name, array.dtype, array.shape, numbers)
