"""ONNX's Attention and RotaryEmbedding, in the operators that they are defined by.

The graph's passes then recognise what other exporters write in the same operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from tvmopt.pipeline.importers.onnx_form.rewrites.draft import Draft, Rule, attributes_of, input_of, output_of


def attention(draft: Draft, node: onnx.NodeProto) -> bool:
    """Attention of any form: heads in rows or apart, shared keys, masks, past keys, all outputs (opsets 23 and 24)."""
    values = attributes_of(node)
    query, key, value = (_heads(draft, node, place, values) for place in range(3))
    dtype, work = draft.dtype(node.input[0]), np.dtype(np.float32)
    work = max(dtype, work, key=lambda one: one.itemsize)
    (images, heads, queries, depth), (key, value) = query.shape, _with_past(draft, node, (key, value))
    keys = key.shape[2]
    draft.give(output_of(node, 1), key.name)
    draft.give(output_of(node, 2), value.name)
    query, key, value = (_Heads(_as(draft, one.name, dtype, work), one.shape) for one in (query, key, value))
    key, value = (_repeated(draft, one, heads) for one in (key, value))
    scale = float(values.get("scale", depth**-0.5))
    products = draft.add("MatMul", query.name, draft.transpose(key.name, (0, 1, 3, 2)))
    products = draft.add("Mul", products, draft.store(scale, work))
    # onnxruntime's order, in the kernel and in the numbers of modes; ONNX's text of opset 23 has the mask first.
    capped, softcap = products, float(values.get("softcap", 0.0))
    if softcap > 0:
        cap = draft.store(softcap, work)
        capped = draft.add("Mul", draft.add("Tanh", draft.add("Div", products, cap)), cap)
    masked = capped
    for mask in _masks(draft, node, work, (images, queries, keys)):
        masked = draft.add("Add", masked, mask)
    weights = draft.add("Softmax", masked, axis=-1)
    if output_of(node, 3):
        shown = (products, capped, masked, weights)[int(values.get("qk_matmul_output_mode", 0))]
        draft.give(output_of(node, 3), _as(draft, shown, work, dtype))
    result = _as(draft, draft.add("MatMul", weights, value.name), work, dtype)
    if len(draft.shape(node.input[0])) == 3:
        result = draft.transpose(result, (0, 2, 1, 3))
        result = draft.reshape(result, (images, queries, heads * value.shape[3]))
    draft.give(node.output[0], result)
    return True


class _Heads:
    """A value (images, heads, rows, columns)."""

    def __init__(self, name: str, shape: Sequence[int]) -> None:
        self.name, self.shape = name, tuple(shape)


def _heads(draft: Draft, node: onnx.NodeProto, place: int, values: dict[str, Any]) -> _Heads:
    """Q, K or V with its heads apart."""
    name, shape = node.input[place], draft.shape(node.input[place])
    if len(shape) == 4:
        return _Heads(name, shape)
    images, rows, columns = shape
    heads = int(values["q_num_heads" if place == 0 else "kv_num_heads"])
    divided = draft.reshape(name, (images, rows, heads, columns // heads))
    return _Heads(draft.transpose(divided, (0, 2, 1, 3)), (images, heads, rows, columns // heads))


def _with_past(draft: Draft, node: onnx.NodeProto, pair: tuple[_Heads, _Heads]) -> tuple[_Heads, _Heads]:
    """K and V behind those of earlier calls."""

    def joined(one: _Heads, before: str) -> _Heads:
        if not before:
            return one
        rows = draft.shape(before)[2] + one.shape[2]
        return _Heads(draft.add("Concat", before, one.name, axis=2), (*one.shape[:2], rows, one.shape[3]))

    return joined(pair[0], input_of(node, 4)), joined(pair[1], input_of(node, 5))


def _repeated(draft: Draft, one: _Heads, heads: int) -> _Heads:
    """K or V with each head as often as several heads of Q share it."""
    images, own, rows, columns = one.shape
    if own == heads:
        return one
    apart = draft.reshape(one.name, (images, own, 1, rows, columns))
    several = draft.add("Expand", apart, draft.ints(images, own, heads // own, rows, columns))
    return _Heads(draft.reshape(several, (images, heads, rows, columns)), (images, heads, rows, columns))


def _masks(draft: Draft, node: onnx.NodeProto, work: Any, sizes: tuple[int, int, int]) -> list[str]:
    """What is added to the scores: the given mask, the causal one, and that of keys which are only padding."""
    (images, queries, keys), masks = sizes, []
    given, past, lengths = (input_of(node, place) for place in (3, 4, 6))
    if given:
        masks.append(_given_mask(draft, given, work, keys))
    if attributes_of(node).get("is_causal", 0):
        before = draft.shape(past)[2] if past else 0
        later = np.arange(keys) > np.arange(queries)[:, None] + before
        masks.append(draft.store(np.where(later, -np.inf, 0), work))
    if lengths:
        limit = draft.reshape(draft.cast(lengths, np.int64), (images, 1, 1, 1))
        present = draft.add("Less", draft.store(np.arange(keys).reshape(1, 1, 1, keys), np.int64), limit)
        masks.append(_from_truth(draft, present, work))
    return masks


def _given_mask(draft: Draft, name: str, work: Any, keys: int) -> str:
    """A mask as numbers for all keys: none of those beyond its end takes part."""
    shape, dtype = draft.shape(name), draft.dtype(name)
    mask = _from_truth(draft, name, work) if dtype == np.bool_ else _as(draft, name, dtype, work)
    missing = keys - shape[-1]
    if missing:
        beyond = draft.store(np.full((*shape[:-1], missing), -np.inf), work)
        mask = draft.add("Concat", mask, beyond, axis=len(shape) - 1)
    return mask


def _from_truth(draft: Draft, name: str, work: Any) -> str:
    return draft.add("Where", name, draft.store(0, work), draft.store(-np.inf, work))


def _as(draft: Draft, name: str, dtype: Any, wanted: Any) -> str:
    return name if dtype == wanted else draft.cast(name, wanted)


def rotary_embedding(draft: Draft, node: onnx.NodeProto) -> bool:
    """RotaryEmbedding (J. Su et al., RoFormer, 2021): pairs of elements are rotated by angles that grow with place."""
    values, (name, *caches) = attributes_of(node), node.input[:3]
    positions, shape = input_of(node, 3), draft.shape(node.input[0])
    rows = len(shape) == 3
    if rows:
        heads = int(values["num_heads"])
        name = draft.reshape(name, (*shape[:2], heads, shape[2] // heads))
    size = shape[2] // heads if rows else shape[3]
    rotated = int(values.get("rotary_embedding_dim", 0)) or size
    if positions:
        caches = [draft.add("Gather", cache, positions, axis=0) for cache in caches]
    steps = shape[1] if rows else shape[2]
    places = (shape[0], steps, 1, rotated // 2) if rows else (shape[0], 1, steps, rotated // 2)
    cosine, sine = (draft.reshape(cache, places) for cache in caches)
    turned = draft.slice(name, 3, 0, rotated) if rotated < size else name
    outer = (*shape[:2], heads) if rows else shape[:3]
    if values.get("interleaved", 0):
        pairs = draft.reshape(turned, (*outer, rotated // 2, 2))
        first, second = (draft.reshape(draft.slice(pairs, 4, i, i + 1), (*outer, rotated // 2)) for i in range(2))
    else:
        first, second = draft.slice(turned, 3, 0, rotated // 2), draft.slice(turned, 3, rotated // 2, rotated)
    real = draft.add("Sub", draft.add("Mul", cosine, first), draft.add("Mul", sine, second))
    imaginary = draft.add("Add", draft.add("Mul", sine, first), draft.add("Mul", cosine, second))
    if values.get("interleaved", 0):
        parts = [draft.reshape(part, (*outer, rotated // 2, 1)) for part in (real, imaginary)]
        result = draft.reshape(draft.add("Concat", *parts, axis=4), (*outer, rotated))
    else:
        result = draft.add("Concat", real, imaginary, axis=3)
    if rotated < size:
        result = draft.add("Concat", result, draft.slice(name, 3, rotated, size), axis=3)
    draft.give(node.output[0], draft.reshape(result, shape) if rows else result)
    return True


RULES: dict[str, Rule] = {"Attention": attention, "RotaryEmbedding": rotary_embedding}
