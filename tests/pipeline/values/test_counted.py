"""Results whose size is found at run time, compiled, beside onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest

from tests.pipeline.values.compiled import Compiled
from tests.workloads.boxes import boxes_that_hurt, scores_that_hurt
from tvmopt.pipeline.importers.onnx_form.layer_names import name_nodes
from tvmopt.pipeline.importers.onnx_form.normalize import normalize
from tvmopt.pipeline.support.fit import cut_results
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.types import cuts_of

Feeds = Mapping[str, np.ndarray]


def check(model: onnx.ModelProto, *feeds: Feeds) -> list[dict[str, np.ndarray]]:
    """Compares the normal form and the compiled model with onnxruntime; returns the outputs for each of `feeds`."""
    name_nodes(model.graph.node)
    normal = normalize(model)
    compiled, found = Compiled(normal), []
    for given in feeds:
        wanted = run_model(model, given)
        rooms = dict(zip((output.name for output in normal.graph.output), compiled.run(dict(given)), strict=True))
        for made in (run_model(normal, given), rooms):
            results = cut_results(made, cuts_of(normal))
            assert list(results) == list(wanted)
            for name, array in wanted.items():
                assert results[name].dtype == array.dtype
                np.testing.assert_array_equal(results[name], array, err_msg=name)
        found.append(wanted)
    return found


def sparse(shape: tuple[int, ...], share: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.where(random.random(shape) < share, random.standard_normal(shape), 0).astype(np.float32)


def test_non_zero(onnx_model: Any) -> None:
    model = onnx_model(("NonZero", "x", "y"), inputs={"x": (3, 5, 7)}, outputs="y")
    hurt = sparse((3, 5, 7), 0.4)
    hurt[0, :, 0] = [np.nan, -0.0, np.inf, 1e-45, -1]
    none, *_, every = check(model, *({"x": x} for x in (sparse(hurt.shape, 0), hurt, np.ones_like(hurt))))
    assert none["y"].shape == (3, 0)
    assert every["y"].shape == (3, 105)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
def test_non_zero_of_other_types(onnx_model: Any, dtype: str) -> None:
    model = onnx_model(("NonZero", "x", "y"), inputs={"x": (dtype, 13)}, outputs="y")
    check(model, {"x": np.array([0, 1, 0, 0, 2, 3, 0, 1, 1, 0, 0, 7, 0]).astype(dtype)})


def test_elements_of_a_mask(onnx_model: Any) -> None:
    """PyTorch's ``x[x > 0]``, and what follows from it."""
    model = onnx_model(
        ("Greater", "x zero", "mask"),
        ("NonZero", "mask", "places"),
        ("Transpose", "places", "rows", {"perm": [1, 0]}),
        ("GatherND", "x rows", "chosen"),
        ("Sqrt", "chosen", "roots"),
        ("Shape", "roots", "number"),
        inputs={"x": (5, 9)},
        outputs="roots rows number",
        zero=np.float32(0),
    )
    some, none = check(model, {"x": sparse((5, 9), 0.7)}, {"x": -np.ones((5, 9), np.float32)})
    assert 0 < some["number"][0] < 45
    assert none["roots"].shape == (0,)


@pytest.mark.parametrize(("axis", "length"), [(1, 4), (0, 3), (None, 29), (-1, 7)])
def test_compress(onnx_model: Any, axis: int | None, length: int) -> None:
    model = onnx_model(
        ("Compress", "x c", "y", {} if axis is None else {"axis": axis}),
        ("Exp", "y", "z"),
        inputs={"x": (3, 5, 7), "c": ("bool", length)},
        outputs="y",
    )
    x, random = sparse((3, 5, 7), 0.5), np.random.default_rng(1)
    conditions = random.random(length) < 0.5, np.zeros(length, bool), np.ones(length, bool)
    check(model, *({"x": x, "c": c} for c in conditions))


def test_indices_in_a_room_may_be_anything_behind_those_that_count(onnx_model: Any) -> None:
    """The first label stands behind the chosen ones, and is no index."""
    model = onnx_model(
        ("Compress", "labels known", "chosen", {"axis": 0}),
        ("Gather", "table chosen", "rows"),
        ("NonZero", "x", "places"),
        ("Sub", "places ten", "before"),
        ("Transpose", "before", "tuples", {"perm": [1, 0]}),
        ("GatherND", "x tuples", "elements"),
        inputs={"labels": ("int64", 5), "known": ("bool", 5), "table": (3, 2), "x": (13,)},
        outputs="rows elements",
        ten=np.int64(10),
    )
    labels, table = np.array([255, 1, 2, 255, 0]), sparse((3, 2), 1)
    x = np.zeros(13, np.float32)
    x[[10, 12]] = 3, 4
    check(model, {"labels": labels, "known": labels != 255, "table": table, "x": x})


def test_a_condition_that_is_known_leaves_a_size_that_is_known(onnx_model: Any) -> None:
    model = onnx_model(
        ("Compress", "x c", "y", {"axis": 1}), inputs={"x": (3, 4)}, outputs="y", c=np.array([True, False, True])
    )
    name_nodes(model.graph.node)
    assert not cuts_of(normalize(model))
    check(model, {"x": sparse((3, 4), 0.5)})


@pytest.mark.parametrize("ordered", [0, 1])
@pytest.mark.parametrize("dtype", ["float32", "int64", "float64"])
def test_unique(onnx_model: Any, ordered: int, dtype: str) -> None:
    model = onnx_model(
        ("Unique", "x", "y first inverse number", {"sorted": ordered}),
        inputs={"x": (dtype, 3, 7)},
        outputs="y first inverse number",
    )
    random = np.random.default_rng(0)
    drawn = [random.integers(-4, 5, (3, 7)), np.zeros((3, 7)), np.arange(21)[::-1].reshape(3, 7)]
    _, alone, every = check(model, *({"x": x.astype(dtype)} for x in drawn))
    assert (alone["y"].size, every["y"].size) == (1, 21)


def selection(onnx_model: Any, shape: tuple[int, int, int], limits: str, **attributes: Any) -> onnx.ModelProto:
    images, _, count = shape
    return onnx_model(  # type: ignore[no-any-return]
        ("NonMaxSuppression", f"boxes scores {limits}", "chosen", attributes),
        inputs={"boxes": (images, count, 4), "scores": shape},
        outputs="chosen",
        many=np.array([1 << 40]),
        three=np.array([3]),
        third=np.array([1 / 3], np.float32),
        low=np.array([0.5], np.float32),
    )


@pytest.mark.parametrize(
    ("shape", "limits", "center"),
    [((2, 3, 37), "many third low", 0), ((1, 1, 301), "three third", 1), ((3, 2, 5), "three . low", 0)],
)
def test_selected_boxes(onnx_model: Any, shape: tuple[int, int, int], limits: str, center: int) -> None:
    model = selection(onnx_model, shape, limits, center_point_box=center)
    scores = np.nan_to_num(scores_that_hurt(*shape), nan=0.25)  # onnxruntime's order of NaN is left open
    feeds = {"boxes": boxes_that_hurt(shape[0], shape[2]), "scores": scores}
    some, none = check(model, feeds, {**feeds, "scores": np.full(shape, -np.inf, np.float32)})
    assert len(some["chosen"]) > shape[0] * shape[1]
    assert limits == "three third" or none["chosen"].shape == (0, 3)


def test_detections(onnx_model: Any) -> None:
    """Boxes and scores of those that stay, as detectors put them together; at most five of them."""
    model = onnx_model(
        ("NonMaxSuppression", "boxes scores many third low", "chosen"),
        ("Slice", "chosen two three one", "column"),
        ("Squeeze", "column one", "places"),
        ("Squeeze", "boxes zero", "own"),
        ("Gather", "own places", "kept"),
        ("Squeeze", "scores zero_one", "best"),
        ("Gather", "best places", "high"),
        ("Unsqueeze", "high one", "last"),
        ("Concat", "kept last", "rows", {"axis": 1}),
        ("Mul", "rows scale", "scaled"),
        ("Slice", "scaled zero five zero", "top"),
        ("Reshape", "scaled shape", "batch"),
        ("Cast", "chosen", "small", {"to": onnx.TensorProto.INT32}),
        ("ReduceMax", "rows one", "largest", {"keepdims": 0}),
        inputs={"boxes": (1, 41, 4), "scores": (1, 1, 41)},
        outputs="scaled batch top small largest",
        **{
            name: np.array([number])
            for name, number in (("zero", 0), ("one", 1), ("two", 2), ("three", 3), ("five", 5))
        },
        many=np.array([30]),
        third=np.array([1 / 3], np.float32),
        low=np.array([0.5], np.float32),
        zero_one=np.array([0, 1]),
        scale=np.array([640, 480, 640, 480, 1], np.float32),
        shape=np.array([1, -1, 5]),
    )
    feeds = {"boxes": np.nan_to_num(boxes_that_hurt(1, 41)), "scores": scores_that_hurt(1, 1, 41)}
    few = {**feeds, "scores": np.where(np.arange(41) < 2, 1, 0).astype(np.float32).reshape(1, 1, 41)}
    many, two = check(model, feeds, few)
    assert many["top"].shape == (5, 5) < many["scaled"].shape
    assert 1 <= len(two["top"]) <= 2
