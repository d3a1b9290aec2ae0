"""Caffe's recurrent layers: step by step, as each step may begin a new sequence.

Donahue et al., Long-term Recurrent Convolutional Networks, CVPR 2015; Caffe's lstm_layer.cpp and rnn_layer.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.caffe.layers.work import Translate, Work

_MOST_STEPS = 512


def _inputs(work: Work, gates: int) -> tuple[list[str], list[str], int]:
    """What enters each step from outside (1 × batch × gates · states), whether the sequence goes on, and the states.

    Bottoms are the sequence, the marks that are 0 where one begins, and perhaps what is the same for all steps.
    """
    p, builder, integers = work.parameters("recurrent_param"), work.builder, work.builder.integers
    hidden, marks = p.num_output, builder.shape(work.bottom(1))
    if hidden < 1 or len(work.shape) < 3 or tuple(work.shape[:2]) != marks or work.shape[0] > _MOST_STEPS:
        raise InputFileError(
            f"{work}: {hidden} states, a sequence of shape {list(work.shape)}, at most {_MOST_STEPS} steps, and marks "
            f"of shape {list(marks)}"
        )
    if p.expose_hidden:
        raise work.refuse("states as blobs (expose_hidden)", "remove expose_hidden")
    steps, batch = work.shape[:2]
    width = math.prod(work.shape[2:])
    flat = builder.add("Reshape", work.x, integers([steps * batch, width]))
    weights = builder.constant(work.weights(0, (gates * hidden, width)), "weights")
    bias = builder.constant(work.weights(1, (gates * hidden,)), "bias")
    entering = builder.add("Gemm", flat, weights, bias, transB=1)
    entering = builder.add("Reshape", entering, integers([steps, batch, gates * hidden]))
    if len(work.bottoms) > 2:
        still = math.prod(builder.shape(work.bottom(2))[1:])
        constant = builder.constant(work.weights(2, (gates * hidden, still)), "weights")
        flat = builder.add("Reshape", work.bottom(2), integers([batch, still]))
        entering = builder.add("Add", entering, builder.add("Gemm", flat, constant, transB=1))
    goes_on = builder.add("Reshape", work.bottom(1), integers([steps, batch, 1]))
    return _cut(work, entering, steps), _cut(work, goes_on, steps), hidden


def _cut(work: Work, value: str, steps: int) -> list[str]:
    if steps == 1:
        return [value]
    return work.builder.add_many("Split", [value, work.builder.integers([1] * steps)], steps, axis=0)


def _joined(work: Work, parts: list[str]) -> list[str]:
    return [parts[0] if len(parts) == 1 else work.builder.add("Concat", *parts, axis=0)]


def _lstm(work: Work) -> list[str]:
    """Gates are i, f, o and g; states before the first step are zero."""
    entering, marks, hidden = _inputs(work, 4)
    builder, add = work.builder, work.builder.add
    recurrent = work.weights(3 if len(work.bottoms) > 2 else 2, (4 * hidden, hidden))
    weights = builder.constant(recurrent.T.copy(), "weights")
    sizes = builder.integers([hidden] * 4)
    state = cell = ""
    states = []
    for step, (outside, mark) in enumerate(zip(entering, marks, strict=True)):
        if step:
            outside = add("Add", outside, add("MatMul", add("Mul", state, mark), weights))  # noqa: PLW2901
        enters, stays, leaves, new = builder.add_many("Split", [outside, sizes], 4, axis=2)
        fresh = add("Mul", add("Sigmoid", enters), add("Tanh", new))
        if step:
            kept = add("Mul", add("Mul", add("Sigmoid", stays), cell), mark)
            fresh = add("Add", kept, fresh)
        cell = fresh
        state = add("Mul", add("Sigmoid", leaves), add("Tanh", cell))
        states.append(state)
    return _joined(work, states)


def _rnn(work: Work) -> list[str]:
    """The output of a step is tanh of a product with its state."""
    entering, marks, hidden = _inputs(work, 1)
    builder, add = work.builder, work.builder.add
    first = 3 if len(work.bottoms) > 2 else 2
    own, out = (builder.constant(work.weights(first + place, (hidden, hidden)).T.copy(), "weights") for place in (0, 1))
    bias = builder.constant(work.weights(first + 2, (hidden,)), "bias")
    state = ""
    outputs = []
    for step, (outside, mark) in enumerate(zip(entering, marks, strict=True)):
        before = add("Add", outside, add("MatMul", add("Mul", state, mark), own)) if step else outside
        state = add("Tanh", before)
        outputs.append(add("Tanh", add("Add", add("MatMul", state, out), bias)))
    return _joined(work, outputs)


LAYERS: Mapping[str, Translate] = {
    "LSTM": _lstm,
    "RNN": _rnn,
}
