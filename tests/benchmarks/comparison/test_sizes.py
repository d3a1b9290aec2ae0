"""Which sizes a comparison measures: the file's own unless a batch is asked for, and scalars as scalars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from tvmopt.benchmarks.comparison.compare import run_comparison
from tvmopt.benchmarks.measurements.files import from_document
from tvmopt.benchmarks.measurements.options import CompareOptions, MeasureOptions
from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.benchmarks.workers.prepared_model import batch_of
from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers import load_model

pytestmark = pytest.mark.slow  # processes for each test

RECURRENT = """g (float[7,3,5] x, float[2,3,6] h) => (float[7,2,3,6] y) {
    y = RNN <hidden_size=6, direction="bidirectional"> (x, w, r, , , h)
}"""


def save(folder: Path, graph: str) -> str:
    random = np.random.default_rng(0)
    model = parser.parse_model(f'<ir_version: 10, opset_import: ["" : 14]> {graph}')
    for name, shape in {"w": (2, 6, 5), "r": (2, 6, 6)}.items():
        if f" {name}" in graph:
            array = random.standard_normal(shape, np.float32)
            model.graph.initializer.append(numpy_helper.from_array(array, name))
    onnx.save(model, folder / "m.onnx")
    return str(folder / "m.onnx")


def measured(model: str, *runtimes: str, batches: tuple[int, ...] = ()) -> Comparison:
    fast = MeasureOptions(rounds=5, turn_s=0.001, warmup_s=0.0, warmup_calls=1)
    return from_document(run_comparison(CompareOptions(model, runtimes, batches, measure=fast)))


def test_the_files_sizes_count(tmp_path: Path) -> None:
    found = measured(save(tmp_path, RECURRENT), "onnxruntime")
    assert [spec["shape"] for spec in found.model["inputs"]] == [[7, 3, 5], [2, 3, 6]]
    assert [row.batch for row in found.measurements] == [1]  # 7 steps, not 7 at once


LAYERS = 'y = RNN <hidden_size=6, direction="bidirectional"{layout}> (t, w, r)'
SIZES = {
    "time first": ("g (float[7,3,5] x) => (float[7,2,3,6] y) { t = Relu(x) " + LAYERS.format(layout="") + " }", 1),
    "batch first": (
        "g (float[4,7,5] x) => (float[7,2,4,6] y) { t = Transpose <perm=[1,0,2]> (x) "
        + LAYERS.format(layout="")
        + " }",
        4,
    ),
    "layout": (
        "g (float[4,7,5] x) => (float[4,7,2,6] y) { t = Relu(x) " + LAYERS.format(layout=", layout=1") + " }",
        4,
    ),
    "no recurrence": ("g (float[7,3] x) => (float[7,3] y) { y = Relu(x) }", 7),
    "a scalar": ("g (float x) => (float y) { y = Relu(x) }", 1),
}


@pytest.mark.parametrize("name", SIZES)
def test_what_counts_as_a_batch(name: str, tmp_path: Path) -> None:
    graph, batch = SIZES[name]
    assert batch_of(load_model(save(tmp_path, graph))) == batch


def test_an_open_first_dimension_is_one(tmp_path: Path) -> None:
    found = measured(save(tmp_path, "g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }"), "onnxruntime")
    assert found.model["inputs"][0]["shape"] == [1, 3]
    assert found.measurements[0].batch == 1


@pytest.mark.parametrize("batch", [14, 4, 1])
def test_time_is_no_batch(tmp_path: Path, batch: int) -> None:
    says = f"fixed to a batch of 7 and cannot be given one of {batch}: .*output 'y' differs"
    with pytest.raises(UnsupportedModelError, match=says):
        measured(save(tmp_path, RECURRENT), "onnxruntime", batches=(batch,))


@pytest.mark.parametrize("runtime", ["tvmopt-untuned", "onnxruntime", "openvino"])
def test_scalar_inputs(tmp_path: Path, runtime: str) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino")
    graph = "g (float[2,3] x, float s, int64 n) => (float[2,3] y) { a = Mul(x, s) b = Cast<to=1>(n) y = Add(a, b) }"
    (row,) = measured(save(tmp_path, graph), runtime).measurements
    assert (row.status, row.message) == ("ok", "")
