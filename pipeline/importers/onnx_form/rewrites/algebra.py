"""Products along an axis, and determinants."""

from __future__ import annotations

import itertools

import numpy as np
import onnx

from tvmopt.pipeline.importers.onnx_form.rewrites.draft import Draft, Rule, attributes_of

_LARGEST = 6
"""A determinant of more rows needs pivots, and so decisions at run time."""


def determinant(draft: Draft, node: onnx.NodeProto) -> bool:
    """Det of a few rows by minors, from the last rows up; each minor is computed once."""
    data = node.input[0]
    shape = draft.shape(data)
    size, rank = shape[-1], len(shape)
    if size > _LARGEST:
        return False

    def element(row: int, column: int) -> str:
        line = draft.take(data, [row], rank - 2)
        return draft.reshape(draft.take(line, [column], rank - 1), shape[:-2])

    minors: dict[tuple[int, ...], str] = {(column,): element(size - 1, column) for column in range(size)}
    for row in reversed(range(size - 1)):
        elements = [element(row, column) for column in range(size)]
        larger: dict[tuple[int, ...], str] = {}
        for columns in itertools.combinations(range(size), size - row):
            total = ""
            for place, column in enumerate(columns):
                rest = tuple(other for other in columns if other != column)
                part = draft.add("Mul", elements[column], minors[rest])
                if total:
                    total = draft.add("Sub" if place % 2 else "Add", total, part)
                else:
                    total = part
            larger[columns] = total
        minors = larger
    draft.give(node.output[0], minors[tuple(range(size))])
    return True


def running_product(draft: Draft, node: onnx.NodeProto) -> bool:
    """CumProd by doubling the number of elements that each is the product of (D. Hillis and G. Steele, 1986)."""
    values, (data, axis_name) = attributes_of(node), node.input
    shape, dtype = draft.shape(data), draft.dtype(data)
    axis = int(draft.constant(axis_name).reshape(-1)[0]) % len(shape)
    size, reverse = shape[axis], bool(values.get("reverse", 0))

    def moved(name: str, step: int) -> str:
        ones = draft.store(np.ones((*shape[:axis], step, *shape[axis + 1 :])), dtype)
        if step == size:
            return ones
        if reverse:
            return draft.add("Concat", draft.slice(name, axis, step, size), ones, axis=axis)
        return draft.add("Concat", ones, draft.slice(name, axis, 0, size - step), axis=axis)

    if values.get("exclusive", 0):
        data = moved(data, 1)
    step = 1
    while step < size:
        data = draft.add("Mul", data, moved(data, step))
        step *= 2
    draft.give(node.output[0], data)
    return True


RULES: dict[str, Rule] = {"Det": determinant, "CumProd": running_product}
