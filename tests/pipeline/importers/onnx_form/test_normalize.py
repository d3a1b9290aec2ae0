from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.check.normalized import check_normalized
from tvmopt.pipeline.importers.check.random_inputs import random_inputs
from tvmopt.pipeline.importers.onnx_form.layer_names import layer_of, name_nodes
from tvmopt.pipeline.importers.onnx_form.normalize import METADATA_IR, is_standard, normalize
from tvmopt.pipeline.importers.onnx_form.operators import standard_opset
from tvmopt.pipeline.importers.onnx_form.values import tensor_spec

Parse = Callable[..., onnx.ModelProto]
Normal = Callable[..., np.ndarray]


def ops(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def normalized(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` normalised, after checking everything that normalisation guarantees."""
    name_nodes(model.graph.node)
    before = model.SerializeToString()
    result = normalize(model)
    assert model.SerializeToString() == before
    onnx.checker.check_model(result, full_check=True)
    assert is_standard(result)
    assert [entry.domain for entry in result.opset_import] == [""]
    assert result.ir_version >= METADATA_IR
    names = [node.name for node in result.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    layers = {node.name for node in model.graph.node}
    assert {layer_of(node) for node in result.graph.node} <= layers
    known = {value.name: value for value in (*result.graph.value_info, *result.graph.output)}
    for node in result.graph.node:
        for name in node.output:
            assert tensor_spec(known[name]).name == name
    specs = [tensor_spec(value) for value in result.graph.input]
    check_normalized(model, result, random_inputs(specs, result.graph))
    return result


def test_batch_normalisation_and_bias_are_folded_into_the_convolution(parse: Parse, normal: Normal) -> None:
    model = parse(
        "g (float[1,3,5,5] x) => (float[1,4,5,5] y)"
        " { c=Conv<pads=[1,1,1,1]>(x,w) d=Add(c,b) n=BatchNormalization(d,s,t,m,v) y=Relu(n) }",
        w=normal(4, 3, 3, 3),
        b=normal(4, 1, 1),
        s=normal(4),
        t=normal(4),
        m=normal(4),
        v=normal(4) ** 2 + 1,
    )
    result = normalized(model)
    assert ops(result) == ["Conv", "Relu"]
    assert layer_of(result.graph.node[0]) == "Conv_c"


def test_shape_arithmetic_is_folded(parse: Parse) -> None:
    model = parse(
        "g (float[2,3,4] x) => (float[2,12] y) <int64 zero={0}, int64[1] last={-1}, int64[1] at={0}>"
        " { s=Shape(x) n=Gather(s,zero) u=Unsqueeze(n,at) r=Concat<axis=0>(u,last) y=Reshape(x,r) }"
    )
    assert ops(normalized(model)) == ["Reshape"]


def test_constants_and_identities_are_removed(parse: Parse) -> None:
    model = parse(
        "g (float[1,4] x) => (float[1,4] y)"
        " { k=Constant<value_float=2.0>() i=Identity(x) m=Mul(i,k) d=Dropout(m) y=Relu(d) }"
    )
    result = normalized(model)
    assert ops(result) == ["Mul", "Relu"]
    assert len(result.graph.initializer) == 1


def test_functions_of_the_model_are_inlined(parse: Parse) -> None:
    model = parse("g (float[1,4] x) => (float[1,4] y) { y=my.ops.twice(x) }")
    body = [onnx.helper.make_node("Add", ["a", "a"], ["b"])]
    opsets = [onnx.helper.make_opsetid("", 18)]
    model.functions.append(onnx.helper.make_function("my.ops", "twice", ["a"], ["b"], body, opsets))
    assert ops(normalized(model)) == ["Add"]


def test_functions_that_are_called_wrongly(parse: Parse) -> None:
    model = parse("g (float[1,4] x) => (float[1,4] y) { y=my.ops.twice(x,x) }")
    body, opsets = [onnx.helper.make_node("Add", ["a", "a"], ["b"])], [onnx.helper.make_opsetid("", 18)]
    model.functions.append(onnx.helper.make_function("my.ops", "twice", ["a"], ["b"], body, opsets))
    with pytest.raises(UnsupportedModelError, match="own functions cannot be inlined"):
        normalize(model)


@pytest.mark.parametrize("operator", ["Celu", "HardSwish", "Mish", "Softsign", "ThresholdedRelu"])
def test_operators_that_onnx_defines_by_others(parse: Parse, operator: str) -> None:
    normalized(parse(f"g (float[3,5] x) => (float[3,5] y) {{ y={operator}(x) }}"))


def test_a_branch_that_is_always_taken_stays_alone(parse: Parse) -> None:
    model = parse(
        "g (float[1] x) => (float[1] y) <bool c={1}> { y=If(c)<then_branch=a () => (float[1] p) {p=Neg(x)},"
        " else_branch=b () => (float[1] q) {q=Abs(x)}> }"
    )
    assert ops(normalized(model)) == ["Neg"]


def test_old_models_are_converted(parse: Parse, normal: Normal) -> None:
    graph = (
        "g (float[2,3,4] x) => (float[3] y) { s=Slice<starts=[0],ends=[1],axes=[0]>(x) a=Add(s,x)"
        " b=ReduceSum<axes=[0,2],keepdims=0>(a) y=Mul(b,w) }"
    )
    result = normalized(parse(graph, opset=9, ir_version=4, w=normal(3)))
    assert standard_opset(result) == 13
    assert ops(result) == ["Slice", "Add", "ReduceSum", "Mul"]


def test_quantised_models_keep_to_onnx_operators(parse: Parse) -> None:
    model = parse(
        "g (float[1,3,8,8] x) => (float[1,4,8,8] y) <float s={0.1}, uint8 z={128}, int8 k={0}>"
        " { q=QuantizeLinear(x,s,z) d=DequantizeLinear(q,s,z) e=DequantizeLinear(w,s,k) c=Conv<pads=[1,1,1,1]>(d,e)"
        " r=Relu(c) p=QuantizeLinear(r,s,z) y=DequantizeLinear(p,s,z) }",
        w=np.arange(108, dtype=np.int8).reshape(4, 3, 3, 3),
    )
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= set(ops(normalized(model)))


def test_layer_norm_written_out_stays_standard(parse: Parse, normal: Normal) -> None:
    model = parse(
        "g (float[1,4,8] x) => (float[1,4,8] y) <float e={0.00001}, float two={2.0}>"
        " { m=ReduceMean<axes=[-1]>(x) d=Sub(x,m) q=Pow(d,two) v=ReduceMean<axes=[-1]>(q) a=Add(v,e) s=Sqrt(a)"
        " n=Div(d,s) t=Mul(n,w) y=Add(t,w) }",
        opset=13,
        ir_version=8,
        w=normal(8),
    )
    normalized(model)


def test_weights_of_four_bits_are_dequantised(parse: Parse) -> None:
    graph = "g (float[2,4] x) => (float[2,4] y) { d=DequantizeLinear<axis=0,block_size=2>(w,s) y=MatMul(x,d) }"
    model = parse(graph, opset=21, s=np.ones((2, 4), np.float32))
    model.graph.initializer.append(onnx.helper.make_tensor("w", onnx.TensorProto.INT4, [4, 4], [1] * 16))
    name_nodes(model.graph.node)
    assert ops(normalized(model)) == ["MatMul"]


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ("g (float[1,4] x) => (float[1,4] y) { y=my.ops.Foo(x) }", "Foo of domain 'my.ops'"),
        (
            "g (float[1,4,4] x) => (float[1,4,4] y) { y=RandomNormalLike(x) }",
            r"RandomNormalLike \(1x, first at 'RandomNormalLike_y'\)",
        ),
        ("g (int64[1] x) => (float[n] y) { y=ConstantOfShape(x) }", "'ConstantOfShape_y' .* depends on the data"),
        ("g (string[4] x) => (string[4] y) { y=Identity(x) }", "element type string"),
        ("g (float[4] x) => (complex64[4] y) { y=my.ops.Fft(x) }", "Fft"),
        ("g (float[2,3] x, float[2,3] w) => (float[n] y) { y=MatMul(x,w) }", "(?i)incompatible dimensions"),
        ("g (bfloat16[4] x) => (bfloat16[4] y) { y=Add(x,x) }", "could not find|Could not find"),
    ],
)
def test_refused_specs(parse: Parse, graph: str, message: str) -> None:
    model = parse(graph)
    name_nodes(model.graph.node)
    with pytest.raises(UnsupportedModelError, match=message) as raised:
        normalize(model)
    assert "\n" not in str(raised.value)
