"""Makes torchvision importable beside a PyTorch that its compiled operators were not built for.

torchvision from the default registry is built for CUDA; beside PyTorch for CPUs its library does not load, and already
the import fails, since it registers shape functions for operators that do not exist. The networks here use none of
these operators, so it is enough to declare them.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import torch

_BOXES = "Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width"
_GRADIENT = "SymInt batch_size, SymInt channels, SymInt height, SymInt width"
_DEFORMED = (
    "Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, SymInt stride_h, SymInt stride_w, "
    "SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, SymInt groups, SymInt offset_groups, "
    "bool use_mask"
)
_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    f"roi_align({_BOXES}, int sampling_ratio, bool aligned) -> Tensor",
    f"_roi_align_backward({_BOXES}, {_GRADIENT}, int sampling_ratio, bool aligned) -> Tensor",
    f"roi_pool({_BOXES}) -> (Tensor, Tensor)",
    f"ps_roi_align({_BOXES}, int sampling_ratio) -> (Tensor, Tensor)",
    f"ps_roi_pool({_BOXES}) -> (Tensor, Tensor)",
    f"deform_conv2d({_DEFORMED}) -> Tensor",
    "_cuda_version() -> int",
)


@functools.cache
def declare() -> None:
    """Declares torchvision's operators unless its own library does; call it before importing torchvision or timm."""
    if _library_loads():
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for signature in _OPERATORS:
        library.define(signature)
    _KEPT.append(library)


_KEPT: list[torch.library.Library] = []
"""The library that `declare` made: its operators vanish with it."""


def _library_loads() -> bool:
    """Whether torchvision's compiled library fits PyTorch; true without torchvision, as nothing is missing then."""
    package = importlib.util.find_spec("torchvision")
    if package is None or package.origin is None:
        return True
    libraries = list(Path(package.origin).parent.glob("_C*.so"))
    try:
        for library in libraries:
            torch.ops.load_library(str(library))
    except OSError:
        return False
    return bool(libraries)
