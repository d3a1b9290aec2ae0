"""SSD's layers: prior boxes, and the boxes that are detected.

Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.caffe.layers.work import Translate, Work
from tvmopt.pipeline.importers.onnx_form.building.detections import Selection, select

_CORNER, _CENTER_SIZE = 1, 2
_MOST_PRIORS = 1 << 24


def _prior_sizes(work: Work, p: Any) -> npt.NDArray[np.float64]:
    """Width and height of the boxes around each place, in pixels."""
    if not p.min_size or (p.max_size and len(p.max_size) != len(p.min_size)):
        raise InputFileError(f"{work}: {len(p.min_size)} values of min_size and {len(p.max_size)} of max_size")
    if any(ratio <= 0 for ratio in p.aspect_ratio):
        raise InputFileError(f"{work}: aspect ratios must be positive, got {list(p.aspect_ratio)[:8]}")
    ratios = [1.0]
    for ratio in p.aspect_ratio:
        if all(abs(ratio - known) >= 1e-6 for known in ratios):
            ratios += [ratio, 1 / ratio] if p.flip else [ratio]
    sizes: list[tuple[float, float]] = []
    for index, least in enumerate(p.min_size):
        sizes.append((least, least))
        if p.max_size:
            sizes.append((math.sqrt(least * p.max_size[index]),) * 2)
        sizes += [(least * math.sqrt(ratio), least / math.sqrt(ratio)) for ratio in ratios[1:]]
    return np.array(sizes)


def _image_and_step(p: Any, image: Sequence[int], maps: Sequence[int]) -> tuple[list[float], list[float]]:
    """Height and width of the image, and the distances between places, in pixels."""
    size = [float(p.img_h or p.img_size or image[0]), float(p.img_w or p.img_size or image[1])]
    step = [p.step_h or p.step, p.step_w or p.step]
    return size, [one or whole / count for one, whole, count in zip(step, size, maps, strict=True)]


def _prior_box(work: Work) -> list[str]:
    """A constant: the boxes around each place of the maps as parts of the image, and below them the variances."""
    p = work.parameters("prior_box_param")
    maps, image = work.shape[2:], work.builder.shape(work.bottom(1))[2:]
    sizes = _prior_sizes(work, p)
    if len(maps) != 2 or len(image) != 2 or math.prod(maps) * len(sizes) > _MOST_PRIORS:
        raise InputFileError(f"{work}: {len(sizes)} boxes at each place of maps of {list(maps)} in {list(image)}")
    (height, width), (step_h, step_w) = _image_and_step(p, image, maps)
    y = ((np.arange(maps[0]) + p.offset) * step_h)[:, None, None]
    x = ((np.arange(maps[1]) + p.offset) * step_w)[None, :, None]
    half = sizes / 2
    corners = ((x - half[:, 0]) / width, (y - half[:, 1]) / height, (x + half[:, 0]) / width, (y + half[:, 1]) / height)
    boxes = np.stack(np.broadcast_arrays(*corners), -1).reshape(-1, 4)
    boxes = np.clip(boxes, 0, 1) if p.clip else boxes
    variance = list(p.variance) or [0.1]
    if len(variance) not in (1, 4):
        raise InputFileError(f"{work}: takes one or four variances, got {len(variance)}")
    both = np.stack([boxes, np.broadcast_to(variance, boxes.shape)]).reshape(1, 2, -1)
    return [work.builder.constant(both.astype(np.float32), "priors")]


def _detection_output(work: Work) -> list[str]:
    """Rows of image, class, score and corners; rows that no box needs hold -1."""
    p, builder = work.parameters("detection_output_param"), work.builder
    images, count = work.dimensions(2)[0], math.prod(builder.shape(work.bottom(2))) // 8
    _check(work, p, images, count)
    boxes = _decoded(work, p, images, count)
    scores = work.reshaped(work.bottom(1), [images, count, p.num_classes])
    scores = builder.add("Transpose", scores, perm=[0, 2, 1])
    wanted = [number for number in range(p.num_classes) if number != p.background_label_id]
    scores = builder.add("Gather", scores, builder.integers(wanted), axis=1)
    limit = p.confidence_threshold if p.HasField("confidence_threshold") else -0.5
    selection = Selection(limit, p.nms_param.nms_threshold, p.nms_param.top_k, p.keep_top_k)
    rows = select(builder, boxes, scores, selection)
    total = builder.shape(rows.scores)[1]
    numbers = builder.add("Gather", builder.constant(np.array(wanted, np.float32)), rows.classes)
    image = builder.constant(np.repeat(np.arange(images, dtype=np.float32), total).reshape(images, total))
    columns = [builder.add("Unsqueeze", one, builder.integers([2])) for one in (image, numbers, rows.scores)]
    table = builder.add("Concat", *columns, rows.boxes, axis=2)
    here = builder.add("Unsqueeze", rows.present, builder.integers([2]))
    table = builder.add("Where", here, table, builder.number(-1.0))
    return [builder.add("Reshape", table, builder.integers([1, 1, images * total, 7]))]


def _check(work: Work, p: Any, images: int, count: int) -> None:
    if not p.share_location:
        raise work.refuse("boxes of each class on their own", "train with share_location: true")
    if p.nms_param.eta != 1:
        raise work.refuse(f"a threshold that falls by {p.nms_param.eta:g}", "set eta to 1")
    shapes = [list(work.builder.shape(work.bottom(index))) for index in range(3)]
    sizes = [math.prod(shape) for shape in shapes]
    if p.num_classes < 2 or not count or sizes != [images * count * 4, images * count * p.num_classes, count * 8]:
        raise InputFileError(
            f"{work}: locations, scores and priors of shapes {shapes} do not fit each other and {p.num_classes} classes"
        )


def _decoded(work: Work, p: Any, images: int, count: int) -> str:
    """The corners of the boxes that the network shifts and scales the priors to."""
    builder, add, integers = work.builder, work.builder.add, work.builder.integers

    def column(value: str, index: int) -> str:
        return add("Slice", value, integers([index]), integers([index + 2]), integers([2]))

    shifts = work.reshaped(work.x, [images, count, 4])
    both = add("Reshape", work.bottom(2), integers([2, 1, count, 4]))
    priors, variances = (add("Gather", both, builder.constant(np.array(row, np.int64)), axis=0) for row in (0, 1))
    if not p.variance_encoded_in_target:
        shifts = add("Mul", shifts, variances)
    low, high = column(priors, 0), column(priors, 2)
    size = add("Sub", high, low)
    half = builder.number(0.5)
    if p.code_type == _CENTER_SIZE:
        middle = add("Mul", add("Add", low, high), half)
        centre = add("Add", add("Mul", column(shifts, 0), size), middle)
        reach = add("Mul", add("Mul", add("Exp", column(shifts, 2)), size), half)
        return add("Concat", add("Sub", centre, reach), add("Add", centre, reach), axis=2)
    if p.code_type == _CORNER:
        return add("Add", priors, shifts)
    return add("Add", priors, add("Mul", shifts, add("Concat", size, size, axis=2)))


LAYERS: Mapping[str, Translate] = {
    "DetectionOutput": _detection_output,
    "PriorBox": _prior_box,
}
