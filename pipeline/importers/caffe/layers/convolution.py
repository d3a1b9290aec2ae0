"""Convolutions, and what else makes maps of another size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.caffe.layers.work import Translate, Work


def spatial(work: Work, parameters: Any, name: str, default: int) -> list[int]:
    """A parameter per spatial dimension: given for each, once for all, or as ``name_h`` and ``name_w``."""
    count = len(work.shape) - 2
    short = name.removesuffix("_size")
    if any(
        f"{short}_{side}" in parameters.DESCRIPTOR.fields_by_name and parameters.HasField(f"{short}_{side}")
        for side in "hw"
    ):
        values = [getattr(parameters, f"{short}_h"), getattr(parameters, f"{short}_w")]
    else:
        given = getattr(parameters, name)
        values = list(given) if isinstance(given, Sequence) or hasattr(given, "append") else [given]
    values = values or [default]
    values = values * count if len(values) == 1 else values
    if len(values) != count:
        raise InputFileError(f"{work}: {len(values)} values of {name} for {count} dimensions")
    return [int(value) for value in values]


def _geometry(work: Work) -> dict[str, Any]:
    """The attributes that convolutions of both directions have."""
    parameters = work.parameters("convolution_param")
    if len(work.shape) < 3 or parameters.axis not in (1, 1 - len(work.shape)):
        raise work.refuse(f"a convolution of {len(work.shape)} dimensions along axis {parameters.axis}", "use axis 1")
    kernel = spatial(work, parameters, "kernel_size", 0)
    stride = spatial(work, parameters, "stride", 1)
    dilation = spatial(work, parameters, "dilation", 1)
    pad = spatial(work, parameters, "pad", 0)
    if min(kernel) < 1 or min(stride) < 1 or min(dilation) < 1:
        raise InputFileError(f"{work}: kernel {kernel}, stride {stride}, dilation {dilation}; all must be at least 1")
    return {"kernel_shape": kernel, "strides": stride, "dilations": dilation, "pads": pad + pad}


def _convolution(work: Work) -> list[str]:
    parameters, attributes = work.parameters("convolution_param"), _geometry(work)
    channels, outputs = work.shape[1], parameters.num_output
    depthwise = work.layer.type in ("DepthwiseConvolution", "ConvolutionDepthwise")
    group = channels if depthwise else parameters.group
    outputs = outputs or (channels if depthwise else 0)
    transposed = work.layer.type == "Deconvolution"
    if group < 1 or not outputs or channels % group or outputs % group:
        raise InputFileError(f"{work}: {channels} channels to {outputs} in {group} groups")
    first, second = (channels, outputs) if transposed else (outputs, channels)
    weights = work.weights(0, (first, second // group, *attributes["kernel_shape"]))
    operands = [work.x, work.builder.constant(weights, "weights")]
    del weights
    if parameters.bias_term:
        operands.append(work.builder.constant(work.weights(1, (outputs,)), "bias"))
    return [work.builder.add("ConvTranspose" if transposed else "Conv", *operands, group=group, **attributes)]


def _interp(work: Work) -> list[str]:
    """Bilinear, with the corners on the corners; a negative pad takes away."""
    p, x = work.parameters("interp_param"), work.x
    if p.pad_beg > 0 or p.pad_end > 0:
        raise work.refuse("a positive pad", "pad the maps in a layer before it")
    if p.pad_beg or p.pad_end:
        height, width = work.dimensions(4)[2:4]
        ends = work.builder.integers([height + p.pad_end, width + p.pad_end])
        starts = work.builder.integers([-p.pad_beg] * 2)
        x = work.builder.add("Slice", x, starts, ends, work.builder.integers([2, 3]))
    sizes = list(work.builder.shape(x)[2:])
    if len(work.bottoms) > 1:
        sizes = list(work.builder.shape(work.bottoms[1])[2:])
    elif p.height and p.width:
        sizes = [p.height, p.width]
    else:
        if p.shrink_factor < 1 or p.zoom_factor < 1:
            raise InputFileError(f"{work}: zoom {p.zoom_factor}, shrink {p.shrink_factor}; both must be at least 1")
        sizes = [(size - 1) // p.shrink_factor + 1 for size in sizes]
        sizes = [size + (size - 1) * (p.zoom_factor - 1) for size in sizes]
    return [_resized(work, x, sizes, mode="linear", coordinate_transformation_mode="align_corners")]


def _upsample(work: Work) -> list[str]:
    if len(work.bottoms) > 1:
        raise work.refuse("places of maxima as second blob", "use a Deconvolution")
    scale = work.parameters("upsample_param").scale
    sizes = [size * scale for size in work.shape[2:]]
    kind = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return [_resized(work, work.x, sizes, mode="nearest", **kind)]


def _resized(work: Work, x: str, sizes: Sequence[int], **attributes: Any) -> str:
    shape = work.builder.shape(x)
    if len(shape) != 4:
        raise InputFileError(f"{work}: takes four dimensions, got {list(shape)}")
    target = work.builder.integers([*shape[:2], *sizes])
    return work.builder.add("Resize", x, "", "", target, **attributes)


def _shuffle(work: Work) -> list[str]:
    group = work.parameters("shuffle_channel_param").group
    batch, channels, *rest = work.dimensions(3)
    if group < 1 or channels % group:
        raise InputFileError(f"{work}: {channels} channels in {group} groups")
    split = work.reshaped(work.x, [batch, group, channels // group, int(np.prod(rest))])
    turned = work.builder.add("Transpose", split, perm=[0, 2, 1, 3])
    return [work.builder.add("Reshape", turned, work.builder.integers(work.shape))]


def _reorg(work: Work) -> list[str]:
    """YOLOv2's: memory of maps that are `stride` times as large, with fewer channels, is read place by place.

    That is what darknet's reorg_cpu does, whose outputs are not those of space to depth.
    """
    p, shape = work.parameters("reorg_param"), work.shape
    stride = p.stride
    fits = len(shape) == 4 and stride > 0 and not any(size % stride for size in shape[2:])
    if p.reverse:
        raise work.refuse("reverse", "remove it")
    if not fits or shape[1] % stride**2:
        raise InputFileError(f"{work}: stride {stride} of maps of shape {list(shape)}")
    batch, channels, height, width = shape
    split = work.reshaped(work.x, [batch, channels // stride**2, height, stride, width, stride])
    turned = work.builder.add("Transpose", split, perm=[0, 3, 5, 1, 2, 4])
    target = [batch, channels * stride**2, height // stride, width // stride]
    return [work.builder.add("Reshape", turned, work.builder.integers(target))]


LAYERS: Mapping[str, Translate] = {
    "Convolution": _convolution,
    "ConvolutionDepthwise": _convolution,
    "Deconvolution": _convolution,
    "DepthwiseConvolution": _convolution,
    "Interp": _interp,
    "Reorg": _reorg,
    "ShuffleChannel": _shuffle,
    "Upsample": _upsample,
}
