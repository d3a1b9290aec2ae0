"""Static shapes: gives an ONNX model the input shapes that the user asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral

import onnx

from tvmopt.pipeline.errors import OpenShapeError, UsageError, did_you_mean

Dim = int | str
"""A size, or the name of a dynamic one (`?` when it has none)."""

_EXAMPLE_SIDE = 224
"""The height and width that an error suggests for dynamic ones."""


@dataclass(frozen=True, slots=True)
class ShapeRequest:
    """Shapes that the user asks for.

    Attributes:
        shapes: the shape of each input named.
        batch: the new first dimension of every input whose first dimension equals the first input's.
        defaults: shapes for inputs that would otherwise stay dynamic.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    batch: int | None = None
    defaults: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, shape in self.shapes.items():
            if not all(isinstance(size, Integral) for size in shape):
                raise UsageError(f"the shape of input {name!r} needs one size for each dimension, got {_text(shape)}")
            if any(size < 1 for size in shape):
                raise UsageError(f"the shape of input {name!r} needs positive sizes, got {_text(shape)}")
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"the batch must be at least 1, got {self.batch}")

    def check_names(self, names: list[str]) -> None:
        """Checks that every shape is for one of the inputs `names`.

        Raises:
            UsageError: a shape is for another input; lists the inputs that exist.
        """
        for name in self.shapes:
            if name not in names:
                raise UsageError(did_you_mean("input", name, names))


def input_dims(value: onnx.ValueInfoProto) -> tuple[Dim, ...] | None:
    """The dimensions of an input; None when not even their number is known."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    return tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else (dim.dim_param or "?")
        for dim in value.type.tensor_type.shape.dim
    )


def make_static(model: onnx.ModelProto, request: ShapeRequest) -> onnx.ModelProto:
    """A copy of `model` whose inputs have the shapes of `request`, as `settle_shapes` says.

    Raises:
        UsageError, OpenShapeError: as `settle_shapes`.
    """
    static = onnx.ModelProto()
    static.CopyFrom(model)
    settle_shapes(static, request)
    return static


def settle_shapes(model: onnx.ModelProto, request: ShapeRequest) -> None:
    """Gives the inputs of `model` the shapes of `request`, in place; shapes that follow from them are removed.

    A dimension's name means the same size everywhere: a shape given to one input also sets it in the others.

    Raises:
        UsageError: an unknown input, a shape of another rank, one name with two sizes.
        OpenShapeError: an input is still dynamic; names all such inputs, and the option that fixes them.
    """
    request.check_names([value.name for value in model.graph.input])
    dims = {value.name: input_dims(value) for value in model.graph.input}
    sizes = _named_sizes(dims, request)
    still_open = {}
    for value in model.graph.input:
        shape = _settle(value.name, dims, sizes, request)
        if shape is None:
            still_open[value.name] = dims[value.name]
            continue
        del value.type.tensor_type.shape.dim[:]
        for size in shape:
            value.type.tensor_type.shape.dim.add().dim_value = size
        if not shape:
            value.type.tensor_type.shape.SetInParent()
    if still_open:
        raise _still_open(still_open)
    forget_shapes(model)


def settle_stored(stored: Mapping[str, tuple[int, ...]], request: ShapeRequest) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's inputs as `request` has them, else as its file says.

    Args:
        stored: by input, what the file says; empty where it says nothing.
        request: what the user asks for.

    Raises:
        UsageError: a shape is for no input.
        OpenShapeError: neither says the shape of an input.
    """
    request.check_names(list(stored))
    shapes = {
        name: request.shapes.get(name) or shape or request.defaults.get(name, ()) for name, shape in stored.items()
    }
    for name, shape in shapes.items():
        if not shape or min(shape) < 1:
            raise OpenShapeError(
                f"input {name!r} has {f'shape {list(shape)}' if shape else 'no shape'} in the file: give it with "
                f"--input-shape {name}:1,3,224,224"
            )
    if request.batch is None:
        return shapes
    first = next(iter(shapes.values()), (0,))[0]
    return {
        name: (request.batch, *shape[1:]) if shape[0] == first and name not in request.shapes else shape
        for name, shape in shapes.items()
    }


def forget_shapes(model: onnx.ModelProto) -> None:
    """Removes every shape that follows from the inputs' shapes, in place."""
    del model.graph.value_info[:]
    for output in model.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")


def _named_sizes(dims: Mapping[str, tuple[Dim, ...] | None], request: ShapeRequest) -> dict[str, int]:
    """The size of each named dimension that the request sets."""
    sizes: dict[str, int] = {}
    for name, shape in request.shapes.items():
        known = dims[name]
        if known is not None and len(known) != len(shape):
            raise UsageError(f"input {name!r} has {len(known)} dimensions {_text(known)}, got {_text(shape)}")
        for dim, size in zip(known or (), shape, strict=False):
            if isinstance(dim, str) and dim != "?" and sizes.setdefault(dim, size) != size:
                raise UsageError(f"dimension {dim!r} is given two sizes, {sizes[dim]} and {size} (input {name!r})")
    return sizes


def _settle(
    name: str, dims: Mapping[str, tuple[Dim, ...] | None], sizes: Mapping[str, int], request: ShapeRequest
) -> tuple[int, ...] | None:
    """The static shape of input `name`; None when it stays dynamic."""
    known = dims[name]
    asked: tuple[Dim, ...] | None = request.shapes.get(name, known)
    if asked is None:
        return request.defaults.get(name)
    shape = [sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in asked]
    first = next(iter(dims.values()))
    if request.batch is not None and known and first and known[0] == first[0]:
        shape[0] = request.batch
    default = request.defaults.get(name, asked)
    if len(default) != len(shape):
        return None
    shape = [usual if isinstance(dim, str) else dim for dim, usual in zip(shape, default, strict=True)]
    settled = tuple(dim for dim in shape if isinstance(dim, int))
    return settled if len(settled) == len(shape) else None


def _still_open(inputs: Mapping[str, tuple[Dim, ...] | None]) -> OpenShapeError:
    stated = ", ".join(
        f"{name!r} ({_text(dims) if dims is not None else 'of any rank'})" for name, dims in inputs.items()
    )
    options = " ".join(f"--input-shape {name}:{_suggestion(dims)}" for name, dims in inputs.items())
    return OpenShapeError(f"inputs of dynamic shape: {stated}; give their sizes, as in {options}")


def _suggestion(dims: tuple[Dim, ...] | None) -> str:
    if dims is None:
        return f"1,3,{_EXAMPLE_SIDE},{_EXAMPLE_SIDE}"
    image = len(dims) == 4
    usual = [1, 3, _EXAMPLE_SIDE, _EXAMPLE_SIDE] if image else [1] * len(dims)
    return ",".join(str(size if isinstance(dim, str) else dim) for dim, size in zip(dims, usual, strict=True))


def _text(dims: tuple[Dim, ...]) -> str:
    return ",".join(map(str, dims)) if dims else "scalar"
