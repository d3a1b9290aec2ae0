"""Leaves out what a module returns besides tensors: objects that torch cannot trace, such as key and value caches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def keep_tensors(module: nn.Module) -> None:
    """Makes `module` leave out objects that torch cannot trace from the tuples and dictionaries that it returns.

    Language models of Hugging Face return a cache beside their logits. Whoever needs its tensors has to return them.
    """
    module.register_forward_hook(lambda _module, _inputs, result: _traceable(result))


def _traceable(result: Any) -> Any:
    """`result` itself where all of it can be traced; else a copy without the parts that cannot."""
    if isinstance(result, Mapping):
        kept = {name: _traceable(value) for name, value in result.items() if _is_known(value)}
        return result if _same(kept.values(), result.values()) else kept
    if type(result) in (tuple, list):
        parts = [_traceable(value) for value in result if _is_known(value)]
        return result if _same(parts, result) else type(result)(parts)
    return result


def _same(first: Any, second: Any) -> bool:
    first, second = list(first), list(second)
    return len(first) == len(second) and all(a is b for a, b in zip(first, second, strict=True))


def _is_known(value: Any) -> bool:
    import torch
    from torch.utils import _pytree as pytree

    plain = (torch.Tensor, Mapping, str, bool, int, float, complex)  # None has no place in ONNX either
    return isinstance(value, plain) or type(value) in pytree.SUPPORTED_NODES
