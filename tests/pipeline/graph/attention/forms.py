"""Attention as exporters and libraries write it, in ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

HEADS, QUERIES, KEYS, DEPTH = 3, 7, 7, 5
ROOT = np.float32(DEPTH**-0.25)
SPLIT = np.array([1, QUERIES, HEADS, DEPTH])
JOINED = np.array([1, QUERIES, HEADS * DEPTH])
HEADS_FIRST = {"perm": [0, 2, 1, 3]}
KEYS_LAST = {"perm": [0, 2, 3, 1]}
PROJECTED = dict.fromkeys("qkv", (1, QUERIES, HEADS * DEPTH))
SEPARATE = [("Reshape", f"{name} split", f"{name}1") for name in "qkv"]
QUERY, VALUE = ("Transpose", "q1", "q2", HEADS_FIRST), ("Transpose", "v1", "v2", HEADS_FIRST)
KEY = ("Transpose", "k1", "k2", KEYS_LAST)
BEHIND = [("Transpose", "a", "t", HEADS_FIRST), ("Reshape", "t joined", "y")]
CAUSAL = np.triu(np.full((1, 1, QUERIES, KEYS), -np.inf, np.float32), 1)
LATER = np.tril(np.ones((1, 1, QUERIES, KEYS), bool))


def form(*nodes: Any, inputs: Mapping[str, Any] = PROJECTED, **constants: Any) -> dict[str, Any]:
    """A form: its nodes, inputs and constants."""
    shapes = {"split": SPLIT, "joined": JOINED}
    used = {name for node in nodes for name in node[1].split()}
    known = {name: array for name, array in {**shapes, **constants}.items() if name in used}
    return {"nodes": nodes, "inputs": inputs, "outputs": "y", "constants": known}


def between(*nodes: Any, **constants: Any) -> dict[str, Any]:
    """Projections, split into heads; `nodes` lead from the product ``s`` to ``p``; the heads are joined."""
    front = [*SEPARATE, QUERY, KEY, VALUE, ("MatMul", "q2 k2", "s")]
    return form(*front, *nodes, ("MatMul", "p v2", "a"), *BEHIND, **constants)


SOFTMAX = ("Softmax", "m", "p", {"axis": -1})
SDPA = [
    *SEPARATE,
    *(QUERY, VALUE, ("Transpose", "k1", "k3", HEADS_FIRST)),
    ("Reshape", "k3 flat", "k4"),
    ("Transpose", "k4", "k5", {"perm": [0, 2, 1]}),
    ("Reshape", "k5 back", "k6"),
    *(("Mul", "q2 root", "q7"), ("Mul", "k6 root", "k7"), ("MatMul", "q7 k7", "s")),
]
SHAPES = {
    "flat": np.array([HEADS, KEYS, DEPTH]),
    "back": np.array([1, HEADS, DEPTH, KEYS]),
    "root": ROOT,
}
GUARDED = [("Softmax", "m", "p1", {"axis": -1}), ("IsNaN", "p1", "n"), ("Where", "n zero p1", "p")]


def sdpa(*nodes: Any, inputs: Mapping[str, Any] = PROJECTED, **constants: Any) -> dict[str, Any]:
    """`scaled_dot_product_attention` of torch.onnx.export, which scales Q and K."""
    return form(*SDPA, *nodes, ("MatMul", "p v2", "a"), *BEHIND, inputs=inputs, **SHAPES, **constants)


FORMS: dict[str, dict[str, Any]] = {
    "eager": between(("Mul", "s scale", "m"), SOFTMAX, scale=np.float32(DEPTH**-0.5)),
    "divided": between(("Div", "s scale", "m"), SOFTMAX, scale=np.float32(DEPTH**0.5)),
    "causal": between(("Mul", "s scale", "c"), ("Add", "c mask", "m"), SOFTMAX, scale=np.float32(0.5), mask=CAUSAL),
    "where": between(("Where", "w s low", "m"), SOFTMAX, w=LATER, low=np.float32(-np.inf)),
    "masked fill": between(("Where", "w low s", "m"), SOFTMAX, w=~LATER, low=np.float32(-1e4)),
    "softcap": between(
        *(("Mul", "s a1", "b"), ("Tanh", "b", "c"), ("Mul", "c a2", "m"), SOFTMAX),
        a1=np.float32(0.5),
        a2=np.float32(3),
    ),
    "two masks": between(
        *(("Add", "s bias", "b"), ("Add", "mask b", "m"), SOFTMAX),
        bias=np.arange(HEADS * QUERIES * KEYS, dtype=np.float32).reshape(1, HEADS, QUERIES, KEYS) / 99,
        mask=np.arange(KEYS, dtype=np.float32),
    ),
    "sdpa": sdpa(("Softmax", "s", "p", {"axis": -1})),
    "sdpa, guarded": sdpa(("Add", "s mask", "m"), *GUARDED, mask=CAUSAL, zero=np.float32(0)),
    "sdpa, mask from outside": sdpa(
        *(("Add", "s mask", "m"), *GUARDED),
        inputs={**PROJECTED, "mask": (1, 1, QUERIES, KEYS)},
        zero=np.float32(0),
    ),
    "sdpa, condition from outside": sdpa(
        *(("Where", "allowed none low", "mask"), ("Add", "s mask", "m"), *GUARDED),
        inputs={**PROJECTED, "allowed": ("bool", 1, 1, QUERIES, KEYS)},
        zero=np.float32(0),
        none=np.float32(0),
        low=np.float32(-np.inf),
    ),
    "where, condition from outside": form(
        *(*SEPARATE, QUERY, KEY, VALUE, ("MatMul", "q2 k2", "s")),
        *(("Where", "allowed s low", "m"), SOFTMAX, ("MatMul", "p v2", "a"), *BEHIND),
        inputs={**PROJECTED, "allowed": ("bool", 1, 1, 1, KEYS)},
        low=np.float32(-3e38),
    ),
    "timm": form(
        ("Reshape", "x parts", "x1"),
        ("Transpose", "x1", "x2", {"perm": [2, 0, 3, 1, 4]}),
        ("Split", "x2 ones", "x3 x4 x5", {"axis": 0}),
        *(("Squeeze", f"x{3 + place} zeroth", f"{name}2") for place, name in enumerate("qkv")),
        *(("Mul", "q2 root", "q7"), ("Transpose", "k2", "k6", {"perm": [0, 1, 3, 2]}), ("MatMul", "q7 k6", "m")),
        *(SOFTMAX, ("MatMul", "p v2", "a"), *BEHIND),
        inputs={"x": (1, QUERIES, 3 * HEADS * DEPTH)},
        parts=np.array([1, QUERIES, 3, HEADS, DEPTH]),
        ones=np.array([1, 1, 1]),
        zeroth=np.array([0]),
        root=ROOT,
    ),
    "gpt": form(
        ("Split", "x sizes", "q k v", {"axis": 2}),
        *(*SEPARATE, QUERY, KEY, VALUE, ("MatMul", "q2 k2", "s")),
        *(("Add", "s mask", "m"), SOFTMAX, ("MatMul", "p v2", "a"), *BEHIND),
        inputs={"x": (1, QUERIES, 3 * HEADS * DEPTH)},
        sizes=np.array([HEADS * DEPTH] * 3),
        mask=CAUSAL,
    ),
    "no heads": form(
        *(("Transpose", "k", "k2", {"perm": [0, 2, 1]}), ("MatMul", "q k2", "m"), SOFTMAX, ("MatMul", "p v", "y")),
        inputs={"q": (2, 7, 5), "k": (2, 11, 5), "v": (2, 11, 3)},
    ),
    "two dimensions": form(
        *(("MatMul", "q k", "m"), SOFTMAX, ("MatMul", "p v", "y")),
        inputs={"q": (7, 5), "k": (5, 11), "v": (11, 3)},
    ),
    "one key for several queries": form(
        *(("Unsqueeze", "k after", "k1"), ("Expand", "k1 more", "k2"), ("Reshape", "k2 heads", "k3")),
        *(("Unsqueeze", "v after", "v1"), ("Expand", "v1 more", "v2"), ("Reshape", "v2 heads", "v3")),
        *(("Transpose", "k3", "k4", {"perm": [0, 1, 3, 2]}), ("MatMul", "q k4", "m"), SOFTMAX),
        ("MatMul", "p v3", "y"),
        inputs={"q": (2, 6, 4, 5), "k": (2, 2, 9, 5), "v": (2, 2, 9, 5)},
        after=np.array([2]),
        more=np.array([2, 2, 3, 9, 5]),
        heads=np.array([2, 6, 9, 5]),
    ),
    "keys shared by heads": form(
        *(("MatMul", "q k", "m"), SOFTMAX, ("MatMul", "p v", "y")),
        inputs={"q": (2, 3, 7, 5), "k": (2, 1, 5, 11), "v": (1, 1, 11, 4)},
    ),
    "batches of heads": form(
        *(("MatMul", "q k", "s"), ("Reshape", "s apart", "s2"), ("Add", "s2 mask", "m"), SOFTMAX),
        *(("Reshape", "p together", "p2"), ("MatMul", "p2 v", "y")),
        inputs={"q": (6, 7, 5), "k": (6, 5, 11), "v": (6, 11, 4), "mask": (2, 1, 1, 11)},
        apart=np.array([2, 3, 7, 11]),
        together=np.array([6, 7, 11]),
    ),
}
"""By name. Each becomes one kernel."""
