"""Sequences of a known number of tensors against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.errors import UnsupportedModelError

X = np.arange(12, dtype=np.float32).reshape(2, 6)


def test_built_changed_and_read(written_out: Any) -> None:
    written_out(
        ("Relu", "x", "r"),
        ("SequenceConstruct", "x r", "a"),
        ("Neg", "x", "n"),
        ("SequenceInsert", "a n zero", "b"),
        ("SequenceInsert", "b r", "c"),
        ("SequenceErase", "c one", "d"),
        ("SequenceErase", "d", "e"),
        ("SequenceAt", "e last", "y"),
        ("SequenceAt", "e zero", "z"),
        ("SequenceLength", "e", "l"),
        feeds={"x": X},
        outputs="y z l",
        without="SequenceAt",
        zero=np.array(0),
        one=np.array(1),
        last=np.array(-1),
    )


@pytest.mark.parametrize("new_axis", [0, 1])
@pytest.mark.parametrize("parts", [None, np.array(4), np.array([1, 3, 2])], ids=str)
def test_split_and_joined(written_out: Any, new_axis: int, parts: np.ndarray | None) -> None:
    if new_axis and parts is not None:
        parts = np.array(2)
    written_out(
        ("SplitToSequence", "x s" if parts is not None else "x", "a", {"axis": 1}),
        ("ConcatFromSequence", "a", "y", {"axis": 0 if new_axis else 1, "new_axis": new_axis}),
        feeds={"x": X},
        without="SplitToSequence",
        **({} if parts is None else {"s": parts}),
    )


def test_parts_without_their_axis(written_out: Any) -> None:
    written_out(
        ("SplitToSequence", "x", "a", {"axis": -1, "keepdims": 0}),
        ("SequenceAt", "a p", "y"),
        feeds={"x": X},
        without="SplitToSequence",
        p=np.array(4),
    )


def test_a_place_that_is_computed_keeps_the_sequence(written_out: Any) -> None:
    with pytest.raises(UnsupportedModelError, match="value 'a' is a sequence"):
        written_out(
            ("SequenceConstruct", "x x", "a"),
            ("SequenceAt", "a p", "y"),
            feeds={"x": X, "p": np.array(0)},
            without="none",
        )
