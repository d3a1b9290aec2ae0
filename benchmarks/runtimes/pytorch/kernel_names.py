"""Maps PyTorch's functions to ONNX operators, to find the layer that a call may belong to."""

from __future__ import annotations

from collections.abc import Mapping

_OPERATORS: Mapping[str, tuple[str, ...]] = {
    "adaptive_avg_pool": ("GlobalAveragePool", "ReduceMean", "AveragePool"),
    "adaptive_max_pool": ("GlobalMaxPool", "ReduceMax", "MaxPool"),
    "addmm": ("Gemm", "MatMul"),
    "avg_pool": ("AveragePool", "GlobalAveragePool", "ReduceMean"),
    "baddbmm": ("MatMul",),
    "batch_norm": ("BatchNormalization",),
    "bmm": ("MatMul",),
    "cat": ("Concat",),
    "clamp": ("Clip",),
    "clamp_max": ("Min", "Clip"),
    "clamp_min": ("Max", "Clip", "Relu"),
    "concat": ("Concat",),
    "constant_pad_nd": ("Pad",),
    "conv": ("Conv",),
    "conv_transpose": ("ConvTranspose",),
    "convolution": ("Conv", "ConvTranspose"),
    "embedding": ("Gather",),
    "flatten": ("Reshape", "Flatten"),
    "hardtanh": ("Clip",),
    "hardswish": ("HardSwish", "Mul"),
    "index_select": ("Gather",),
    "linear": ("Gemm", "MatMul"),
    "max_pool": ("MaxPool",),
    "mean": ("ReduceMean", "GlobalAveragePool"),
    "mm": ("MatMul", "Gemm"),
    "permute": ("Transpose",),
    "rsub": ("Sub",),
    "scaled_dot_product_attention": ("Attention", "MatMul"),
    "select": ("Gather", "Slice"),
    "silu": ("Swish", "Mul", "Sigmoid"),
    "stack": ("Concat",),
    "sum": ("ReduceSum",),
    "t": ("Transpose",),
    "unsafe_chunk": ("Split",),
    "chunk": ("Split",),
    "upsample_bilinear": ("Resize",),
    "upsample_nearest": ("Resize",),
    "view": ("Reshape", "Flatten"),
}


def base_name(function: str) -> str:
    """``aten::conv2d_`` → ``conv``: without namespace, dimensions and the in-place suffix."""
    name = function.removeprefix("aten::").rstrip("_")
    return name[:-2] if name[-2:] in ("1d", "2d", "3d") else name


def operators_of(function: str) -> tuple[str, ...]:
    """ONNX operators that a call of `function` (``aten::…``) may have become, most likely first."""
    base = base_name(function)
    return _OPERATORS.get(base, ("".join(word.capitalize() for word in base.split("_")),))


def is_named_after(layer: str, function: str) -> bool:
    """Whether `layer` carries the exporter's name for `function`: ``mean``, or ``add_1`` for ``aten::add``."""
    stem, _, number = layer.rpartition("_")
    name = stem if number.isdecimal() else layer
    return base_name(name.rpartition("/")[2]) == base_name(function)
