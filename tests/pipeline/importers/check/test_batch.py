from __future__ import annotations

from collections.abc import Callable

import onnx
import pytest

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.check.batch import check_rebatched
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest, make_static

Parse = Callable[..., onnx.ModelProto]

MIXING = """
g (float[1,6] x) => (float[1,6] y) <int64[3] s={1,-1,2},int64[2] t={-1,6}> {
    a = Reshape(x, s)
    b = Softmax<axis=1>(a)
    y = Reshape(b, t)
}
"""


def rebatch(model: onnx.ModelProto, batch: int) -> None:
    check_rebatched(model, make_static(model, ShapeRequest(batch=batch)))


@pytest.mark.parametrize(
    ("graph", "batch"),
    [
        ("g (float[1,3,4] x) => (float[1,12] y) { y=Flatten(x) }", 3),
        ("g (float[2,3] a, float[2,3] b) => (float[2,3] y, float[2,1] z) { y=Add(a,b) z=ReduceMax<axes=[1]>(y) }", 6),
        ("g (float[2,3] a, float[5] b) => (float[2,3] y, float[5] z) { y=Neg(a) z=Neg(b) }", 4),
        ("g (float[2,3] x) => (float[2,3] y) { y=Neg(x) }", 3),
        ("g (float[N,3] x) => (float[N,3] y) { y=Neg(x) }", 3),
    ],
)
def test_models_that_take_any_batch(parse: Parse, graph: str, batch: int) -> None:
    rebatch(parse(graph, opset=13), batch)


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        ("g (float[1,3,4] x) => (float[1,12] y) <int64[2] s={1,12}> { y=Reshape(x,s) }", "'r'.*cannot be reshaped"),
        ("g (float[1,3] x) => (float[1,3] y) { y=Softmax<axis=0>(x) }", "output 'y' differs"),
        (MIXING, "output 'y' differs"),
    ],
)
def test_models_that_are_fixed_inside(parse: Parse, graph: str, why: str) -> None:
    model = parse(graph)
    model.graph.node[0].name = "r"
    with pytest.raises(UnsupportedModelError, match=f"fixed to a batch of 1 and cannot be given one of 2.*{why}"):
        rebatch(model, 2)
