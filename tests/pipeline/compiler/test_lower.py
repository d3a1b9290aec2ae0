"""From the graph through TVM to numbers: small networks, computed mostly by our kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.compiler import build
from tvmopt.pipeline.compiler.lower import lower
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.errors import BuildError
from tvmopt.pipeline.graph.optimize import optimize
from tvmopt.pipeline.tasks.bind import bind
from tvmopt.pipeline.tasks.extract import extract_tasks
from tvmopt.schedules.expression import call
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import parse_target

PADDED = {"pads": [1, 1, 1, 1]}
Random = Callable[..., np.ndarray]


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def classifier(w: Random) -> dict[str, Any]:
    norm = {"scale": w(20), "bias": w(20), "mean": w(20), "variance": np.abs(w(20)) + 0.5}
    return {
        "nodes": [
            ("Conv", "x a", "c", {**PADDED, "strides": [2, 2]}),
            ("BatchNormalization", "c scale bias mean variance", "n"),
            ("Relu", "n", "r"),
            ("MaxPool", "r", "p", {"kernel_shape": [3, 3], "strides": [2, 2], **PADDED}),
            ("Conv", "p b", "d", PADDED),
            ("GlobalAveragePool", "d", "g"),
            ("Flatten", "g", "f"),
            ("Gemm", "f k l", "m", {"transB": 1}),
            ("Softmax", "m", "y"),
        ],
        "inputs": {"x": (2, 3, 23, 19)},
        "constants": {"a": w(20, 3, 3, 3), "b": w(13, 20, 3, 3), "k": w(7, 13), "l": w(7), **norm},
    }


def inverted_residual(w: Random) -> dict[str, Any]:
    clip = {"low": np.float32(0), "high": np.float32(6)}
    return {
        "nodes": [
            ("Conv", "x a", "c0", PADDED),
            ("Clip", "c0 low high", "r0"),
            ("Conv", "r0 b", "c1"),
            ("Clip", "c1 low high", "r1"),
            ("Conv", "r1 d", "c2", {**PADDED, "group": 42}),
            ("Clip", "c2 low high", "r2"),
            ("Conv", "r2 e", "c3"),
            ("Add", "c3 r0", "y"),
        ],
        "inputs": {"x": (1, 3, 11, 11)},
        "constants": {"a": w(14, 3, 3, 3), "b": w(42, 14, 1, 1), "d": w(42, 1, 3, 3), "e": w(14, 42, 1, 1), **clip},
    }


def squeeze_and_excitation(w: Random) -> dict[str, Any]:
    return {
        "nodes": [
            ("Conv", "x a", "c", PADDED),
            ("HardSwish", "c", "h"),
            ("ReduceMean", "h axes", "p"),
            ("Conv", "p b u", "q"),
            ("Relu", "q", "r"),
            ("Conv", "r d", "s"),
            ("HardSigmoid", "s", "t"),
            ("Mul", "h t", "m"),
            ("Conv", "m e", "y"),
        ],
        "inputs": {"x": (1, 19, 9, 9)},
        "constants": {
            "a": w(24, 19, 3, 3),
            "b": w(6, 24, 1, 1),
            "u": w(6),
            "d": w(24, 6, 1, 1),
            "e": w(9, 24, 1, 1),
            "axes": whole(2, 3),
        },
    }


def fire_modules(w: Random) -> dict[str, Any]:
    return {
        "nodes": [
            ("Conv", "x a", "s"),
            ("Relu", "s", "r"),
            ("Conv", "r b", "e0"),
            ("Conv", "r d", "e1", PADDED),
            ("Concat", "e0 e1", "c", {"axis": 1}),
            ("Relu", "c", "q"),
            ("Conv", "q e", "f0"),
            ("Conv", "q f", "f1"),
            ("Concat", "f0 f1 q", "y", {"axis": 1}),
        ],
        "inputs": {"x": (1, 5, 8, 8)},
        "constants": {
            "a": w(8, 5, 1, 1),
            "b": w(16, 8, 1, 1),
            "d": w(16, 8, 3, 3),
            "e": w(7, 32, 1, 1),
            "f": w(16, 32, 1, 1),
        },
    }


def downsampling_residual(w: Random) -> dict[str, Any]:
    return {
        "nodes": [
            ("Conv", "x a p", "c0", {**PADDED, "strides": [2, 2]}),
            ("Relu", "c0", "r0"),
            ("Conv", "r0 b", "c1", PADDED),
            ("Conv", "x d", "s", {"strides": [2, 2]}),
            ("Add", "c1 s", "t"),
            ("Relu", "t", "u"),
            ("Conv", "u e", "v", PADDED),
            ("Sigmoid", "v", "g"),
            ("Mul", "v g", "y"),
        ],
        "inputs": {"x": (2, 16, 15, 15)},
        "constants": {
            "a": w(32, 16, 3, 3),
            "p": w(32),
            "b": w(32, 32, 3, 3),
            "d": w(32, 16, 1, 1),
            "e": w(5, 32, 3, 3),
        },
    }


def channel_shuffle(w: Random) -> dict[str, Any]:
    return {
        "nodes": [
            ("Conv", "x a", "c", {"group": 3}),
            ("Reshape", "c split", "r"),
            ("Transpose", "r", "t", {"perm": [0, 2, 1, 3, 4]}),
            ("Reshape", "t join", "j"),
            ("Conv", "j b", "d", {**PADDED, "group": 12}),
            ("Slice", "d from to axis", "y"),
        ],
        "inputs": {"x": (1, 6, 7, 7)},
        "constants": {
            "a": w(12, 2, 1, 1),
            "b": w(12, 1, 3, 3),
            "split": whole(1, 3, 4, 7, 7),
            "join": whole(1, 12, 7, 7),
            "from": whole(2),
            "to": whole(9),
            "axis": whole(1),
        },
    }


def super_resolution(w: Random) -> dict[str, Any]:
    return {
        "nodes": [
            ("Conv", "x a", "c", PADDED),
            ("PRelu", "c slope", "p"),
            ("Conv", "p b", "d", PADDED),
            ("DepthToSpace", "d", "y", {"blocksize": 2, "mode": "CRD"}),
        ],
        "inputs": {"x": (1, 1, 9, 9)},
        "constants": {"a": w(10, 1, 3, 3), "slope": w(10, 1, 1), "b": w(12, 10, 3, 3)},
    }


def u_net(w: Random) -> dict[str, Any]:
    resize = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    return {
        "nodes": [
            ("Conv", "x a", "c0", PADDED),
            ("LeakyRelu", "c0", "r0"),
            ("AveragePool", "r0", "p", {"kernel_shape": [2, 2], "strides": [2, 2]}),
            ("Conv", "p b", "c1", PADDED),
            ("Resize", "c1 . scales", "u", resize),
            ("Concat", "r0 u", "j", {"axis": 1}),
            ("Conv", "j d", "c2", PADDED),
            ("ConvTranspose", "c2 e bias", "y", {"strides": [2, 2], "pads": [1, 1, 0, 0]}),
        ],
        "inputs": {"x": (1, 2, 10, 12)},
        "constants": {
            "a": w(11, 2, 3, 3),
            "b": w(19, 11, 3, 3),
            "d": w(8, 30, 3, 3),
            "e": w(8, 3, 3, 3),
            "bias": w(3),
            "scales": np.array([1, 1, 2, 2], np.float32),
        },
    }


def attention(w: Random) -> dict[str, Any]:
    def heads(name: str, perm: list[int]) -> list[Any]:
        return [
            ("MatMul", f"n w{name}", f"m{name}"),
            ("Add", f"m{name} b{name}", f"a{name}"),
            ("Reshape", f"a{name} heads", f"r{name}"),
            ("Transpose", f"r{name}", f"t{name}", {"perm": perm}),
        ]

    norm = ("LayerNormalization", "x gain shift", "n")
    return {
        "nodes": [
            norm,
            *heads("q", [0, 2, 1, 3]),
            *heads("k", [0, 2, 3, 1]),
            *heads("v", [0, 2, 1, 3]),
            ("MatMul", "tq tk", "s"),
            ("Div", "s root", "d"),
            ("Softmax", "d", "p", {"axis": -1}),
            ("MatMul", "p tv", "o"),
            ("Transpose", "o", "ot", {"perm": [0, 2, 1, 3]}),
            ("Reshape", "ot flat", "f"),
            ("MatMul", "f wo", "g"),
            ("Add", "g x", "h"),
            ("MatMul", "h wf", "i"),
            ("Gelu", "i", "j"),
            ("MatMul", "j wg", "k2"),
            ("Add", "k2 h", "y"),
        ],
        "inputs": {"x": (2, 13, 24)},
        "opset": 20,
        "constants": {
            **{f"w{name}": w(24, 24) for name in "qkvo"},
            **{f"b{name}": w(24) for name in "qkv"},
            "wf": 0.2 * w(24, 50),
            "wg": 0.2 * w(50, 24),
            "gain": w(24),
            "shift": w(24),
            "root": np.float32(8**0.5),
            "heads": whole(2, 13, 3, 8),
            "flat": whole(2, 13, 24),
        },
    }


def quantized(w: Random) -> dict[str, Any]:
    return {
        "nodes": [
            ("QuantizeLinear", "x s z", "q"),
            ("DequantizeLinear", "q s z", "d"),
            ("DequantizeLinear", "k t", "v"),
            ("Conv", "d v", "c", PADDED),
            ("Relu", "c", "r"),
            ("QuantizeLinear", "r s z", "p"),
            ("DequantizeLinear", "p s z", "y"),
        ],
        "inputs": {"x": (1, 3, 6, 6)},
        "constants": {
            "s": np.float32(0.05),
            "z": np.uint8(128),
            "t": np.float32(0.02),
            "k": np.random.default_rng(0).integers(-100, 100, (9, 3, 3, 3)).astype(np.int8),
        },
    }


def two_halos_and_an_input_read_twice(w: Random) -> dict[str, Any]:
    return {
        "nodes": [
            ("Conv", "x a", "c", PADDED),
            ("Conv", "x b", "d", {"pads": [3, 2, 1, 4]}),
            ("AveragePool", "x", "p", {"kernel_shape": [3, 3], **PADDED}),
            ("Conv", "x e", "f", {**PADDED, "dilations": [2, 2], "strides": [2, 2]}),
            ("Mul", "c z", "g"),
            ("Add", "g x", "y"),
            ("GlobalMaxPool", "f", "h"),
        ],
        "inputs": {"x": (1, 3, 9, 9), "z": (3, 1, 1)},
        "outputs": "y d p h",
        "constants": {"a": w(3, 3, 3, 3), "b": w(5, 3, 4, 7), "e": w(6, 3, 3, 3)},
    }


MODELS = {
    model.__name__: model
    for model in (
        classifier,
        inverted_residual,
        squeeze_and_excitation,
        fire_modules,
        downsampling_residual,
        channel_shuffle,
        super_resolution,
        u_net,
        attention,
        quantized,
        two_halos_and_an_input_read_twice,
    )
}


@pytest.fixture
def model_of(weights: Random, model_from: Any) -> Callable[[str], Any]:
    """The model of this name from this file, imported."""
    return lambda name: model_from(MODELS[name](weights))


@pytest.mark.sweep
@pytest.mark.parametrize("name", MODELS)
def test_computes_what_onnxruntime_does(model_of: Any, check_whole: Any, name: str) -> None:
    check_whole(model_of(name), parse_target("llvm", 2))


@pytest.mark.sweep
@pytest.mark.parametrize("text", ["x86-64-v3", '{"kind": "llvm", "mtriple": "x86_64-linux-gnu"}'])
@pytest.mark.parametrize("name", ["squeeze_and_excitation", "fire_modules", "u_net"])
def test_other_vector_widths(model_of: Any, check_whole: Any, name: str, text: str) -> None:
    target = parse_target(text, 2)
    if not LOCAL.facts().can_run(target):
        pytest.skip(f"this machine cannot run {target.isa}")
    check_whole(model_of(name), target)


def test_one_thread(model_of: Any, check_whole: Any) -> None:
    check_whole(model_of("downsampling_residual"), parse_target("llvm", 1))


def test_configs_of_tasks_are_used(model_of: Any, check_whole: Any) -> None:
    model, target = model_of("squeeze_and_excitation"), parse_target("x86-64-v3", 2)
    if not LOCAL.facts().can_run(target):
        pytest.skip(f"this machine cannot run {target.isa}")
    random = np.random.default_rng(0)
    configs = {}
    for task in extract_tasks(optimize(model, target)):
        space = list(template_for(task.workload, target).space(task.workload, target))
        configs[task.name] = space[random.integers(len(space))]
    check_whole(model, target, configs)
    module = lower(bind(optimize(model, target)), configs)
    kernels = {variable.name_hint for variable, _ in module.functions_items()}
    assert {name.replace("-", "_") for name in configs} <= kernels


def test_a_kernel_that_cannot_be_made_names_its_layer(model_of: Any) -> None:
    target = parse_target("x86-64-v3", 2)
    optimized = optimize(model_of("inverted_residual"), target)
    node = optimized.graph.nodes[1]
    broken = replace(node, epilogue=call("no such function", node.epilogue))
    nodes = tuple(broken if other is node else other for other in optimized.graph.nodes)
    with pytest.raises(BuildError, match=r"layer 'Conv0': no kernel .* unknown element-wise function"):
        lower(bind(replace(optimized, graph=replace(optimized.graph, nodes=nodes))), {})


def test_activations_are_stored_in_planned_memory(model_of: Any) -> None:
    target = parse_target("x86-64-v3", 2)
    module = build.schedule(lower(bind(optimize(model_of("classifier"), target)), {}), target)
    sizes = build.storage_sizes(build.plan_memory(module, target))
    # Ten values, many of which reuse the memory of others.
    assert 1 <= len(sizes) <= 5
    assert all(size > 0 for size in sizes)
