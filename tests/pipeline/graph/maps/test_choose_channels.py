"""Splits, joins and shuffles of channels in blocks: what is written, and that it is right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.artifact.loaded import load_artifact
from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.pipeline.graph.optimize import passes
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.schedules.target import parse_target

TARGET = parse_target("x86-64-v3", 2)
LANES = TARGET.lanes("float32")
PADDED = {"pads": [1, 1, 1, 1]}


@pytest.fixture
def planned(through: Any) -> Any:
    """A model after all passes; every node has a template, and the values are right."""

    def send(*nodes: Any, **options: Any) -> Any:
        done = through(*nodes, passes=passes(TARGET), **options)
        done.check_templates(TARGET)
        done.check()
        return done

    return send


def cross_stage(width: int, weights: Callable[..., np.ndarray]) -> tuple[list[Any], dict[str, Any]]:
    """A block of YOLOv8: half of a map goes through two convolutions, and all is joined."""
    nodes = [
        ("Conv", "x a", "c"),
        ("Sigmoid", "c", "s"),
        ("Mul", "c s", "m"),
        ("Split", "m", "p q", {"axis": 1, "num_outputs": 2}),
        ("Conv", "q b", "d", PADDED),
        ("Relu", "d", "e"),
        ("Conv", "e b", "f", PADDED),
        ("Add", "q f", "g"),
        ("Concat", "p q g", "j", {"axis": 1}),
        ("Conv", "j k", "y"),
    ]
    kernels = {
        "a": weights(2 * width, 5, 1, 1),
        "b": weights(width, width, 3, 3) / width,
        "k": weights(7, 3 * width, 1, 1),
    }
    return nodes, {"inputs": {"x": (1, 5, 9, 7)}, "outputs": "y", **kernels}


def test_parts_in_whole_blocks_are_read_where_they_are(planned: Any, weights: Any) -> None:
    nodes, options = cross_stage(LANES, weights)
    done = planned(*nodes, **options)
    assert sorted(done.ops()) == sorted(["relayout", *["conv2d"] * 4, "channels", "concat", "relayout"])
    whole, part = done.tensor("channels", 0), done.tensor("channels")
    assert whole.halo == part.halo == done.tensor("concat").halo == (1, 1, 1, 1)
    assert len(done.node("concat").inputs) == 2
    assert done.node("channels").attrs["channels"] == tuple(range(LANES, 2 * LANES))


def test_parts_inside_blocks_are_copied_once(planned: Any, weights: Any) -> None:
    nodes, options = cross_stage(LANES - 3, weights)
    done = planned(*nodes, **options)
    assert sorted(done.ops()) == sorted(["relayout", *["conv2d"] * 4, "channels", "channels", "relayout"])


@pytest.mark.parametrize("width", [LANES, LANES - 3, 1])
def test_such_a_block_compiled(onnx_model: Any, weights: Any, tmp_path: Path, width: int) -> None:
    nodes, options = cross_stage(width, weights)
    model = onnx_model(*nodes, **options)
    path = tmp_path / "block.onnx"
    path.write_bytes(model.SerializeToString())
    compile_model(load_model(str(path)), TARGET, None, tmp_path / "block.tar")
    artifact = load_artifact(tmp_path / "block.tar")
    inputs = {"x": np.random.default_rng(0).standard_normal((1, 5, 9, 7)).astype(np.float32)}
    np.testing.assert_allclose(artifact.run(inputs)["y"], run_model(model, inputs)["y"], rtol=1e-4, atol=1e-4)


def shuffle(name: str, source: str, made: str, shape: tuple[int, ...]) -> tuple[list[Any], dict[str, np.ndarray]]:
    """A shuffle of two groups, as ShuffleNet has it."""
    n, channels, rows, columns = shape
    nodes = [
        ("Reshape", f"{source} {name}_apart", f"{name}_5"),
        ("Transpose", f"{name}_5", f"{name}_t", {"perm": [0, 2, 1, 3, 4]}),
        ("Reshape", f"{name}_t {name}_whole", made),
    ]
    sizes = {f"{name}_apart": np.array([n, 2, channels // 2, rows, columns]), f"{name}_whole": np.array(shape)}
    return nodes, sizes


@pytest.mark.parametrize("width", [5, LANES, LANES + 3])
@pytest.mark.parametrize("images", [1, 2])
def test_shuffles_come_straight_from_what_is_computed(planned: Any, weights: Any, width: int, images: int) -> None:
    """Two units: what passes through both is not written in between."""
    shape = (images, 2 * width, 3, 5)
    first, sizes = shuffle("s", "j", "k", shape)
    second, more = shuffle("t", "o", "u", shape)
    done = planned(
        ("Conv", "x a", "p"),
        ("Conv", "x a", "q"),
        ("Concat", "p q", "j", {"axis": 1}),
        *first,
        ("Split", "k", "l r", {"axis": 1, "num_outputs": 2}),
        ("Conv", "r b", "v"),
        ("Concat", "l v", "o", {"axis": 1}),
        *second,
        ("Conv", "u c", "y"),
        inputs={"x": (images, 3, 3, 5)},
        outputs="y",
        a=weights(width, 3, 1, 1),
        b=weights(width, width, 1, 1),
        c=weights(4, 2 * width, 1, 1),
        **sizes,
        **more,
    )
    assert sorted(done.ops()) == sorted([*["conv2d"] * 4, "channels", "channels", "relayout"])
    # The last one reads both convolutions of the first unit and that of the second.
    assert sorted(len(node.inputs) for node in done.graph.nodes if node.op == "channels") == [2, 3]


def test_slices_and_gathers_of_channels(planned: Any, weights: Any) -> None:
    done = planned(
        ("Conv", "x a", "c"),
        ("Slice", "c b e axes steps", "s"),
        ("Gather", "c places", "g", {"axis": 1}),
        ("Conv", "s u", "d"),
        ("Conv", "g v", "f"),
        ("Add", "d f", "y"),
        inputs={"x": (2, 3, 4, 5)},
        outputs="y",
        a=weights(13, 3, 1, 1),
        u=weights(4, 3, 1, 1),
        v=weights(4, 4, 1, 1),
        b=np.array([11]),
        e=np.array([2]),
        axes=np.array([1]),
        steps=np.array([-3]),
        places=np.array([-1, 0, 7, 7]),
    )
    chosen = [node.attrs["channels"] for node in done.graph.nodes if node.op == "channels"]
    assert sorted(chosen) == [(11, 8, 5), (12, 0, 7, 7)]


@pytest.mark.parametrize("kind", ["rows", "plain", "both", "other"])
def test_what_is_left_alone(planned: Any, weights: Any, kind: str) -> None:
    """Slices of rows, slices that only plain kernels read, slices of both, and maps of other types."""
    ranges = {"rows": (1, 3, 2), "plain": (0, 4, 1), "both": ([1, 1], [4, 3], [1, 2])}.get(kind, (0, 4, 1))
    begin, end, axes = (np.atleast_1d(np.array(x)) for x in ranges)
    reader = ("Softmax", "s", "y", {"axis": -1}) if kind == "plain" else ("MaxPool", "s", "y", {"kernel_shape": [1, 1]})
    source = [("Conv", "x a", "c")] if kind != "other" else [("Identity", "x", "c")]
    done = planned(
        *source,
        ("Slice", "c b e axes", "s"),
        reader,
        inputs={"x": (1, 9, 4, 5)},
        outputs="y",
        b=begin,
        e=end,
        axes=axes,
        **({"a": weights(9, 9, 1, 1)} if kind != "other" else {}),
    )
    assert "channels" not in done.ops()


def test_a_part_that_is_an_output_keeps_its_name(planned: Any, weights: Any) -> None:
    done = planned(
        ("Conv", "x a", "c"),
        ("Split", "c", "p q", {"axis": 1, "num_outputs": 2}),
        ("Conv", "q b", "y"),
        ("Conv", "p b", "z"),
        inputs={"x": (1, 3, 4, 5)},
        outputs="y q z",
        a=weights(2 * LANES, 3, 1, 1),
        b=weights(3, LANES, 1, 1),
    )
    assert len(done.graph.outputs) == 3
