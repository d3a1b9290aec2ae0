from __future__ import annotations

from collections.abc import Callable

import onnx
import pytest

from tvmopt.pipeline.errors import UnsupportedModelError, UsageError
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest, input_dims, make_static

Parse = Callable[..., onnx.ModelProto]
IMAGE = "g (float[N,3,H,W] x) => (float[N,3,H,W] y) { y=Relu(x) }"
PAIR = "g (float[N,T] a, float[N,4] b, float[7] c) => (float[N,T] y) { y=Relu(a) }"


def shapes(model: onnx.ModelProto) -> dict[str, tuple[int | str, ...] | None]:
    return {value.name: input_dims(value) for value in model.graph.input}


def test_a_given_shape_is_put_in_and_what_follows_is_forgotten(parse: Parse) -> None:
    model = parse(IMAGE)
    static = make_static(model, ShapeRequest({"x": (1, 3, 8, 6)}))
    assert shapes(static) == {"x": (1, 3, 8, 6)}
    assert not static.graph.output[0].type.tensor_type.HasField("shape")
    assert shapes(model) == {"x": ("N", 3, "H", "W")}


def test_a_set_of_sizes_is_no_shape() -> None:
    with pytest.raises(UsageError, match=r"the shape of input 'x' needs one size for each dimension, got \(1, 4\),3"):
        ShapeRequest({"x": ((1, 4), 3)})  # type: ignore[dict-item] # as a caller may who does not check types


def test_a_dimensions_name_means_one_size_everywhere(parse: Parse) -> None:
    static = make_static(parse(PAIR), ShapeRequest({"a": (5, 6)}))
    assert shapes(static) == {"a": (5, 6), "b": (5, 4), "c": (7,)}
    with pytest.raises(UsageError, match="'N' is given two sizes, 5 and 2"):
        make_static(parse(PAIR), ShapeRequest({"a": (5, 6), "b": (2, 4)}))


def test_the_batch_goes_to_inputs_that_share_the_first_dimension(parse: Parse) -> None:
    static = make_static(parse(PAIR), ShapeRequest({"a": (1, 6)}, batch=3))
    assert shapes(static) == {"a": (3, 6), "b": (3, 4), "c": (7,)}


def test_a_fixed_batch_is_replaced(parse: Parse) -> None:
    static = make_static(parse("g (float[2,3] x, float y) => (float z) { z=Relu(y) }"), ShapeRequest(batch=4))
    assert shapes(static) == {"x": (4, 3), "y": ()}


def test_defaults_fill_what_is_still_open(parse: Parse) -> None:
    request = ShapeRequest(batch=2, defaults={"x": (9, 9, 5, 4)})
    assert shapes(make_static(parse(IMAGE), request)) == {"x": (2, 3, 5, 4)}


def test_open_inputs_are_all_named_with_the_option_to_give(parse: Parse) -> None:
    with pytest.raises(UnsupportedModelError, match=r"'x' \(N,3,H,W\); .* --input-shape x:1,3,224,224$"):
        make_static(parse(IMAGE), ShapeRequest())
    with pytest.raises(
        UnsupportedModelError, match=r"'a' \(N,T\), 'b' \(N,4\); .* --input-shape a:1,1 --input-shape b:1,4$"
    ):
        make_static(parse(PAIR), ShapeRequest())


def test_an_input_of_unknown_rank_needs_a_shape(parse: Parse) -> None:
    model = parse(IMAGE)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(UnsupportedModelError, match="of any rank"):
        make_static(model, ShapeRequest())
    assert shapes(make_static(model, ShapeRequest({"x": (1, 2)}))) == {"x": (1, 2)}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ShapeRequest({"X": (1, 3, 8, 8)}), r"unknown input 'X'.*known: x"),
        (ShapeRequest({"x": (3, 8, 8)}), "has 4 dimensions N,3,H,W, got 3,8,8"),
    ],
)
def test_shapes_that_do_not_fit(parse: Parse, request_: ShapeRequest, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_static(parse(IMAGE), request_)


def test_invalid_requests() -> None:
    with pytest.raises(UsageError, match="positive sizes, got 1,0"):
        ShapeRequest({"x": (1, 0)})
    with pytest.raises(UsageError, match="at least 1, got 0"):
        ShapeRequest(batch=0)
