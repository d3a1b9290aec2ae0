"""Attention and RotaryEmbedding of ONNX, compared with onnxruntime; what the former becomes is one kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


def normal(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def truth(*shape: int) -> np.ndarray:
    made = np.random.default_rng(1).random(shape) < 0.6
    made[..., 0] = True
    return made


APART = {"q": normal(2, 6, 7, 8), "k": normal(2, 6, 11, 8), "v": normal(2, 6, 11, 5)}
ROWS = {"q": normal(2, 7, 12), "k": normal(2, 11, 12), "v": normal(2, 11, 9)}
HEADS = {"q_num_heads": 3, "kv_num_heads": 3}
SHARED = {"q": normal(2, 6, 7, 8), "k": normal(2, 2, 11, 8), "v": normal(2, 2, 11, 5)}
PAST = {"pk": normal(2, 6, 4, 8), "pv": normal(2, 6, 4, 5)}

CASES: dict[str, tuple[str, dict[str, np.ndarray], dict[str, Any]]] = {
    "heads apart": ("q k v", APART, {}),
    "heads in rows": ("q k v", ROWS, HEADS),
    "scale": ("q k v", APART, {"scale": 0.01}),
    "causal": ("q k v", APART, {"is_causal": 1}),
    "softcap": ("q k v", APART, {"softcap": 2.0}),
    "keys shared": ("q k v", SHARED, {}),
    "one mask": ("q k v m", {**APART, "m": normal(7, 11)}, {}),
    "mask of each head": ("q k v m", {**APART, "m": normal(2, 6, 7, 11)}, {"softcap": 3.0}),
    "condition": ("q k v m", {**APART, "m": truth(2, 1, 7, 11)}, {}),
    "past": ("q k v . pk pv", {**APART, **PAST}, {"is_causal": 1}),
    "past and mask": ("q k v m pk pv", {**APART, **PAST, "m": normal(7, 15)}, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_attention(written_out: Any, name: str) -> None:
    inputs, feeds, values = CASES[name]
    outputs = "y pk2 pv2" if "pk" in feeds else "y"
    kinds = written_out(
        ("Attention", inputs, outputs, values), feeds=feeds, outputs=outputs, without="Attention", opset=23
    )
    assert kinds.count("MatMul") == 2


@pytest.mark.parametrize("mode", range(4))
def test_scores_as_an_output(written_out: Any, mode: int) -> None:
    feeds, values = {**APART, "m": normal(7, 11)}, {"softcap": 3.0, "qk_matmul_output_mode": mode}
    node = ("Attention", "q k v m", "y . . s", values)
    written_out(node, feeds=feeds, outputs="y s", without="Attention", opset=23)


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("size", [0, 4])
@pytest.mark.parametrize("rows", [False, True])
def test_rotary_embedding(written_out: Any, interleaved: int, size: int, rows: bool) -> None:
    values: dict[str, Any] = {"interleaved": interleaved, "rotary_embedding_dim": size}
    x, angles = normal(2, 3, 5, 8), normal(11, (size or 8) // 2)
    if rows:
        x, values = normal(2, 5, 24), {**values, "num_heads": 3}
    places = np.random.default_rng(2).integers(0, 11, (2, 5))
    feeds = {"x": x, "c": np.cos(angles), "s": np.sin(angles), "p": places}
    written_out(("RotaryEmbedding", "x c s p", "y", values), feeds=feeds, without="RotaryEmbedding", opset=23)
    with_angles = {"x": x, "c": np.cos(angles)[places], "s": np.sin(angles)[places]}
    written_out(("RotaryEmbedding", "x c s", "y", values), feeds=with_angles, without="RotaryEmbedding", opset=23)
