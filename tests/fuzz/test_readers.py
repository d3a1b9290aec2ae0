"""The readers of Caffe's and MXNet's files on what no framework writes: one line of error, or a network.

``TVMOPT_FUZZ_EXAMPLES`` says how many examples each test draws; `nox -s fuzz` draws more than the tests do.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hypothesis", reason="hypothesis is not installed: pip install 'tvmopt[dev]'")

from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings

from tests.fuzz.readers import damaged, networks, symbols
from tests.pipeline.importers.caffe.files import random_array
from tests.pipeline.importers.mxnet.files import node, params_bytes
from tvmopt.pipeline.errors import TvmoptError
from tvmopt.pipeline.importers.caffe.build import import_caffe
from tvmopt.pipeline.importers.caffe.schema import message_type
from tvmopt.pipeline.importers.mxnet.build import import_mxnet
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest

EXAMPLES = int(os.environ.get("TVMOPT_FUZZ_EXAMPLES", "50"))
BUDGET = settings(
    max_examples=EXAMPLES,
    derandomize=EXAMPLES == 50,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
_MOST_MORE_KIB = 1 << 20
"""By how much memory may grow over all examples."""

PARAMS = params_bytes({f"p{place}": random_array(place, 4, 3, 3, 3) for place in range(3)})
SYMBOL = json.dumps(
    {
        "nodes": [
            node("null", "data", __shape__="(1, 3, 6, 5)"),
            node("null", "p0"),
            node("Convolution", "c", [0, 1], kernel="(3, 3)", num_filter=4, no_bias=True),
            node("Reshape", "r", [2], shape="(0, -1)"),
        ],
        "heads": [[3, 0, 0]],
    }
).encode()


def _weights() -> bytes:
    network = message_type("NetParameter")()
    for place in range(3):
        layer = network.layer.add(name=f"l{place}")
        for shape in ((4, 4, 3, 3), (4,), (1,)):
            blob = layer.blobs.add()
            blob.data.append(random_array(place, *shape).tobytes())
            blob.shape.dim.extend(shape)
    return bytes(network.SerializeToString())


WEIGHTS = _weights()
PROTOTXT = b"""input: "data" input_shape { dim: 1 dim: 4 dim: 6 dim: 5 }
layer { name: "l0" type: "Convolution" bottom: "data" top: "a" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "l1" type: "Pooling" bottom: "a" top: "b" pooling_param { kernel_size: 2 stride: 2 } }
"""


@pytest.fixture(autouse=True)
def memory_is_bounded() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < _MOST_MORE_KIB


def attempt(read: Callable[[Path, ShapeRequest], Any], files: dict[str, bytes]) -> None:
    """Reads the first of the files; an error must be one of ours."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        with contextlib.suppress(TvmoptError):
            read(Path(folder) / next(iter(files)), ShapeRequest())


@BUDGET
@given(symbols())
def test_symbols(symbol: dict[str, Any]) -> None:
    attempt(import_mxnet, {"n-symbol.json": json.dumps(symbol).encode(), "n-0000.params": PARAMS})


@BUDGET
@given(damaged(SYMBOL))
def test_damaged_symbols(content: bytes) -> None:
    attempt(import_mxnet, {"n-symbol.json": content, "n-0000.params": PARAMS})


@BUDGET
@given(damaged(PARAMS))
def test_damaged_params(content: bytes) -> None:
    attempt(import_mxnet, {"n-symbol.json": SYMBOL, "n-0000.params": content})


@BUDGET
@given(networks())
def test_networks(network: Any) -> None:
    text = text_format.MessageToString(network).encode()
    attempt(import_caffe, {"n.prototxt": text, "n.caffemodel": WEIGHTS})


@BUDGET
@given(damaged(PROTOTXT))
def test_damaged_networks(content: bytes) -> None:
    attempt(import_caffe, {"n.prototxt": content, "n.caffemodel": WEIGHTS})


@BUDGET
@given(damaged(WEIGHTS))
def test_damaged_weights(content: bytes) -> None:
    attempt(import_caffe, {"n.prototxt": PROTOTXT, "n.caffemodel": content})
