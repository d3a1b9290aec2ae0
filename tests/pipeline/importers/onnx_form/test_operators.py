from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import onnx
import pytest

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.operators import (
    GRAPH_OPERATORS,
    check_known,
    check_operators,
    find_unsupported,
    supported_operators,
)

Parse = Callable[..., onnx.ModelProto]


def test_supported_operators_are_standard_ones_that_tvm_converts() -> None:
    names = supported_operators()
    assert {"Conv", "Gemm", "MatMul", "MaxPool", "Relu", "Softmax", "Resize", "QuantizeLinear"} <= names
    assert {"LSTM", "GRU", "RNN"} <= names
    assert not {"Det", "Loop", "If", "QLinearConv", "BiasGelu", "FastGelu"} & names


@pytest.mark.slow  # TVM takes seconds to import
def test_supported_operators_are_the_keys_of_tvms_map() -> None:
    code = "from tvm.relax.frontend.onnx.onnx_frontend import _get_convert_map as m; print(*m())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    standard = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}
    assert supported_operators() - GRAPH_OPERATORS == set(done.stdout.split()) & standard


def test_asking_does_not_import_tvm() -> None:
    code = (
        "import sys; from tvmopt.pipeline.importers.onnx_form.operators import supported_operators; "
        "supported_operators(); print('tvm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_all_unsupported_operators_are_listed_at_once(parse: Parse) -> None:
    model = parse("g (float[1,4] x) => (float[1,4] y) { a=my.ops.Foo(x) b=my.ops.Foo(a) c=Relu(b) y=Det(c) }")
    model.graph.node[3].name = "memory"
    foo, det = find_unsupported(model)
    assert (foo.operator, foo.domain, foo.count, foo.first) == ("Foo", "my.ops", 2, "a")
    assert (det.operator, det.domain, det.count, det.first) == ("Det", "", 1, "memory")
    with pytest.raises(
        UnsupportedModelError, match=r"Foo of domain 'my.ops' \(2x, first at 'a'\), Det \(1x, first at 'm"
    ):
        check_operators(model)


def test_operators_inside_of_control_flow_are_listed_too(parse: Parse) -> None:
    model = parse(
        "g (float[1] x, bool c) => (float[1] y) { y=If(c)<then_branch=a () => (float[1] p) {p=Det(x)},"
        " else_branch=b () => (float[1] q) {q=Abs(x)}> }"
    )
    assert [item.operator for item in find_unsupported(model)] == ["If", "Det"]


def test_long_lists_end_in_a_count(parse: Parse) -> None:
    nodes = " ".join(f"v{i}=my.ops.Op{i}(x)" for i in range(30))
    with pytest.raises(UnsupportedModelError, match=r"Op19 .* and 10 more$"):
        check_operators(parse(f"g (float[1] x) => (float[1] v0) {{ {nodes} }}"))


def test_training_mode_is_not_taken(parse: Parse) -> None:
    model = parse(
        "g (float[1,2] x, float[2] w) => (float[1,2] y) { y,a,b=BatchNormalization<training_mode=1>(x,w,w,w,w) }"
    )
    assert [item.operator for item in find_unsupported(model)] == ["BatchNormalization in training mode"]


def test_an_operator_of_onnx_may_yet_be_folded_away(parse: Parse) -> None:
    model = parse("g (float[1,3] x) => (float[1,3] y) { y=Celu(x) }")
    check_known(model)
    with pytest.raises(UnsupportedModelError, match="Celu"):
        check_operators(model)
    with pytest.raises(UnsupportedModelError, match="Frobnicate"):
        check_known(parse("g (float[1,3] x) => (float[1,3] y) { y=Frobnicate(x) }"))
