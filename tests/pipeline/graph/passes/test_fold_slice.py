from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.passes.fold_slice import fold_slice
from tvmopt.pipeline.graph.recognize import recognize

PASSES = (recognize, fold_slice)


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def cut(starts: Any, ends: Any, axes: Any) -> dict[str, np.ndarray]:
    return {"starts": whole(*starts), "ends": whole(*ends), "axes": whole(*axes)}


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize(
    ("ranges", "pads"),
    [
        (cut([0], [-2], [3]), (2, 3, 2, 1)),
        (cut([0, 0], [3, 1000], [2, 3]), (2, 3, 0, 3)),
        (cut([1, 2], [5, 6], [-2, -1]), (0, 1, 2, 2)),
    ],
)
def test_what_is_cut_off_is_not_computed(through: Any, weights: Any, groups: int, ranges: Any, pads: Any) -> None:
    done = through(
        ("Conv", "x w b", "c", {"pads": [2, 3, 2, 3], "strides": [2, 1], "dilations": [1, 2], "group": groups}),
        ("Slice", "c starts ends axes", "y"),
        passes=PASSES,
        inputs={"x": (2, 4, 7, 5)},
        outputs="y",
        w=weights(4, 4 // groups, 2, 3),
        b=weights(4),
        **ranges,
    )
    (node,) = done.graph.nodes
    assert node.attrs["pads"] == pads
    assert node.layers == ("Conv0", "Slice1")
    done.check()


@pytest.mark.parametrize(
    ("ranges", "outputs"),
    [
        (cut([0], [2], [1]), "y"),
        (cut([2], [7], [3]), "y"),
        (cut([0], [3], [3]), "c y"),
        ({**cut([0], [7], [3]), "steps": whole(2)}, "y"),
    ],
    ids=["channels", "more than the padding", "another reader", "steps"],
)
def test_other_slices_stay(through: Any, weights: Any, ranges: Any, outputs: str) -> None:
    done = through(
        ("Conv", "x w", "c", {"pads": [0, 1, 0, 1]}),
        ("Slice", " ".join(("c starts ends axes", *(["steps"] if "steps" in ranges else []))), "y"),
        passes=PASSES,
        inputs={"x": (2, 4, 3, 8)},
        outputs=outputs,
        w=weights(4, 4, 1, 3),
        **ranges,
    )
    assert done.ops() == ["conv2d", "Slice"]
    done.check()
