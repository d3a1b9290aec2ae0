"""The workload of each node: what its kernel computes, with the planned layouts."""

from __future__ import annotations

import math
from dataclasses import replace

from tvmopt.pipeline.graph.ir import Graph, Node
from tvmopt.pipeline.graph.recognize.shape import view_of_axes
from tvmopt.schedules.workload import Attr, Tensor, Workload


def workload_of(graph: Graph, node: Node) -> Workload:
    """What the kernel of `node` computes.

    Matrix products, reductions, softmax and selections view their tensors in three dimensions, normalisation of plain
    tensors in four (`schedules.llvm.memory_bound.row_norm`), attention in one; others see them as they are.

    Raises:
        KeyError: when `node` has an input that the graph does not know.
    """
    inputs = tuple(graph.tensor(name) for name in node.inputs)
    output = graph.tensor(node.output)
    attrs = dict(node.attrs)
    if node.op in ("dense", "integer_dense"):
        inputs, output = _dense_views(inputs, output, bool(attrs["packed"]))
    elif node.op in ("reduce", "softmax"):
        axes = attrs.pop("axes")
        assert isinstance(axes, tuple)
        outer, axis, inner = view_of_axes(inputs[0].shape, axes)
        inputs = (Tensor((outer, axis, inner)),)
        output = Tensor((outer, axis if node.op == "softmax" else 1, inner))
    elif node.op in ("top_k", "pick"):
        place = attrs.pop("axis")
        inputs, output = tuple(_along(tensor, place) for tensor in inputs), _along(output, place)
    elif node.op == "take":
        inputs, output = _row_tables(inputs, output, attrs.pop("axis"), len(_sizes(attrs)))
    elif node.op == "concat" and output.plain:
        inputs, output = _concat_views(inputs, output, attrs.pop("axis", 1))
    elif node.op == "row_norm":
        inputs, output = _row_views(inputs, output, attrs.pop("axis"))
    elif node.op == "map_norm" and output.plain:
        inputs, output = _group_views(inputs, output, attrs.pop("groups"))
    elif node.op == "attention":
        # Its attributes say where in memory its operands are, whatever shape they have.
        inputs, output = tuple(map(_flat, inputs)), _flat(output)
    elif not output.plain:
        own = node.operator.own(len(inputs))
        inputs = (*inputs[:own], *(_blocked_operand(tensor, output.block) for tensor in inputs[own:]))
    return Workload(node.op, inputs, output, tuple(sorted(attrs.items())), node.epilogue, node.inner)


def _sizes(attrs: dict[str, Attr]) -> tuple[int, ...]:
    sizes = attrs["sizes"]
    assert isinstance(sizes, tuple)
    return sizes


def _row_tables(
    inputs: tuple[Tensor, ...], output: Tensor, axis: Attr, parts: int
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Tables whose rows begin `parts` axes behind `axis`; places of several parts have the axes before it, too."""
    assert isinstance(axis, int)
    data, places = inputs
    batch, row = math.prod(data.shape[:axis]), math.prod(data.shape[axis + parts :])
    table = Tensor((batch, math.prod(data.shape[axis : axis + parts]), row), data.dtype)
    count = output.elements // (batch * row)
    own = batch if places.elements == batch * count * parts else 1
    return (table, Tensor((own, count, parts), places.dtype)), Tensor((batch, count, row), output.dtype)


def _along(tensor: Tensor, axis: Attr) -> Tensor:
    """One axis and what is before and behind it."""
    assert isinstance(axis, int)
    return Tensor(view_of_axes(tensor.shape, (axis,)), tensor.dtype)


def _flat(tensor: Tensor) -> Tensor:
    return Tensor((tensor.elements,), tensor.dtype)


def _blocked_operand(tensor: Tensor, block: int) -> Tensor:
    """A plain constant that spans the channels of a blocked map is stored in the map's blocks."""
    if len(tensor.shape) == 4 and tensor.plain and tensor.shape[1] > 1:
        return replace(tensor, block=block)
    return tensor


def _dense_views(inputs: tuple[Tensor, ...], output: Tensor, packed: bool) -> tuple[tuple[Tensor, ...], Tensor]:
    depth, columns = inputs[1].shape[-2:]
    batch = 1 if packed else math.prod(inputs[0].shape[:-2])
    rows = output.elements // columns // batch
    right = inputs[1] if packed else Tensor((batch, depth, columns), inputs[1].dtype)
    left = Tensor((batch, rows, depth), inputs[0].dtype)
    operands = (_dense_operand(tensor, output, (batch, rows, columns)) for tensor in inputs[2:])
    return (left, right, *operands), Tensor((batch, rows, columns), output.dtype)


def _dense_operand(tensor: Tensor, output: Tensor, view: tuple[int, int, int]) -> Tensor:
    """An operand of an epilogue: of the whole result, or with a number for each row, for each column or for all."""
    batch, rows, columns = view
    if tensor.shape == output.shape:
        return Tensor(view, tensor.dtype)
    by_row = tensor.shape[-1:] == (1,) and columns > 1 and tensor.elements == batch * rows > 1
    return Tensor((batch, rows, 1) if by_row else (1, 1, tensor.elements), tensor.dtype)


def _concat_views(inputs: tuple[Tensor, ...], output: Tensor, axis: Attr) -> tuple[tuple[Tensor, ...], Tensor]:
    """Rows that are joined: all dimensions from the axis on."""
    assert isinstance(axis, int)

    def view(tensor: Tensor) -> Tensor:
        return Tensor((math.prod(tensor.shape[:axis]), math.prod(tensor.shape[axis:])), tensor.dtype)

    return tuple(map(view, inputs)), view(output)


def _row_views(inputs: tuple[Tensor, ...], output: Tensor, axis: Attr) -> tuple[tuple[Tensor, ...], Tensor]:
    """Rows as images of one group; a row has several channels only if an operand repeats within it."""
    assert isinstance(axis, int)
    rows, row, last = math.prod(output.shape[:axis]), output.shape[axis:], output.shape[-1]
    repeats = any(1 < tensor.elements == last < math.prod(row) for tensor in inputs[1:])
    whole = (rows, 1, *((math.prod(row[:-1]), last) if repeats else (1, math.prod(row))))

    def view(tensor: Tensor) -> Tensor:
        if tensor.shape == output.shape:
            return Tensor(whole)
        if tensor.elements == 1:
            return Tensor((1, 1, 1, 1))
        return Tensor((1, 1, *whole[2:]) if tensor.elements == math.prod(row) else (1, 1, 1, last))

    return tuple(map(view, inputs)), Tensor(whole)


def _group_views(inputs: tuple[Tensor, ...], output: Tensor, groups: Attr) -> tuple[tuple[Tensor, ...], Tensor]:
    """Maps by groups of channels, rows and columns as one."""
    assert isinstance(groups, int)

    def view(tensor: Tensor) -> Tensor:
        images, channels, rows, columns = (1,) * (4 - len(tensor.shape)) + tensor.shape
        split = (groups, channels // groups) if channels > 1 else (1, 1)
        return Tensor((images, *split, rows * columns))

    return tuple(map(view, inputs)), view(output)
