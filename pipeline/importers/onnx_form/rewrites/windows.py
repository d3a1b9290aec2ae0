"""Windows that slide over maps: their places, and the operators that put their elements back or move them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from tvmopt.pipeline.importers.onnx_form.rewrites.draft import (
    Array,
    Draft,
    Dtype,
    Rule,
    attributes_of,
    input_of,
    output_of,
)


@dataclass(frozen=True, slots=True)
class Window:
    """A window and the maps that it slides over; every tuple has an entry for each spatial axis, `pads` has two.

    Attributes:
        sizes: of the map.
        kernel: of the window.
        strides, dilations: steps of the window, and of its elements.
        pads: before each axis, then behind each.
    """

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]

    @property
    def ends(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The pads before and behind."""
        rank = len(self.sizes)
        return self.pads[:rank], self.pads[rank:]

    @property
    def padded(self) -> tuple[int, ...]:
        """Sizes of the padded map."""
        return tuple(sum(sizes) for sizes in zip(self.sizes, *self.ends, strict=True))

    @property
    def after(self) -> tuple[int, ...]:
        """How many windows there are along each axis."""
        each = zip(self.padded, self.kernel, self.strides, self.dilations, strict=True)
        return tuple((size - (kernel - 1) * dilation - 1) // stride + 1 for size, kernel, stride, dilation in each)

    @property
    def after_rounded_up(self) -> tuple[int, ...]:
        """As `after`, with a window more where elements are left over."""
        each = zip(self.padded, self.kernel, self.strides, self.dilations, strict=True)
        return tuple(-(-(size - (kernel - 1) * dilation - 1) // stride) + 1 for size, kernel, stride, dilation in each)

    @property
    def taps(self) -> int:
        """Elements of a window."""
        return math.prod(self.kernel)

    @property
    def steps(self) -> int:
        """Number of windows."""
        return math.prod(self.after)

    def places(self) -> tuple[Array, ...]:
        """For each axis, the place in the padded map of each window's elements, ``(taps, steps)``."""
        taps = _grid(self.kernel) * np.array(self.dilations)
        corners = _grid(self.after) * np.array(self.strides)
        return tuple(np.moveaxis(taps[:, None] + corners[None], -1, 0))


def _grid(sizes: Sequence[int]) -> Array:
    """All indices into an array of `sizes`, in row-major order."""
    return np.array(list(itertools.product(*map(range, sizes))), np.int64).reshape(-1, len(sizes))


def window_of(node: onnx.NodeProto, sizes: Sequence[int], kernel: Sequence[int]) -> Window:
    """The window of `node` on a map of `sizes`."""
    values, ones = attributes_of(node), (1,) * len(sizes)
    strides, dilations = tuple(values.get("strides", ones)), tuple(values.get("dilations", ones))
    pads = tuple(values.get("pads", (0,) * (2 * len(sizes))))
    mode = values.get("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        pads = _same(Window(tuple(sizes), tuple(kernel), strides, dilations, pads), mode)
    return Window(tuple(sizes), tuple(kernel), strides, dilations, pads if mode != "VALID" else (0,) * len(pads))


def _same(window: Window, mode: str) -> tuple[int, ...]:
    """Pads for a window at each place that is a multiple of its stride."""
    each = zip(window.sizes, window.kernel, window.strides, window.dilations, strict=True)
    totals = [
        max(0, (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
        for size, kernel, stride, dilation in each
    ]
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return (*small, *large) if mode == "SAME_UPPER" else (*large, *small)


def cut_off(
    values: Mapping[str, Any], size: tuple[int, ...], kernel: tuple[int, ...], output: tuple[int, ...]
) -> tuple[int, ...]:
    """What a ConvTranspose cuts off its whole result, before each axis, then after each.

    If the node states the output's shape instead, onnxruntime divides what is left over between both ends.

    Args:
        values: the node's attributes.
        size: spatial sizes of the input.
        kernel: spatial sizes of the window.
        output: spatial sizes of the output.
    """
    mode = values.get("auto_pad", "NOTSET")
    if mode in ("NOTSET", "") and not values.get("output_shape"):
        return tuple(int(x) for x in values.get("pads", [0] * (2 * len(size))))
    before, after = [], []
    for axis, extent in enumerate(output):
        stride, dilation, extra = (
            int(values.get(name, [default] * len(size))[axis])
            for name, default in (("strides", 1), ("dilations", 1), ("output_padding", 0))
        )
        total = max(0, (size[axis] - 1) * stride + extra + (kernel[axis] - 1) * dilation + 1 - extent)
        small, large = total // 2, total - total // 2
        before.append(small if mode == "SAME_UPPER" else large)
        after.append(large if mode == "SAME_UPPER" else small)
    return (*before, *after)


def columns_to_image(draft: Draft, node: onnx.NodeProto) -> bool:
    """Col2Im: each element of the padded image is the sum of the columns' elements that lie on it."""
    data, image, block = node.input
    sizes, kernel = (tuple(int(size) for size in draft.constant(name)) for name in (image, block))
    window, (batch, rows, _) = window_of(node, sizes, kernel), draft.shape(data)
    channels = rows // window.taps
    flat = draft.reshape(data, (batch, channels, window.taps * window.steps))
    index = np.ravel_multi_index(window.places(), window.padded).reshape(-1)
    inside = [
        (place >= before) & (place < before + size)
        for place, before, size in zip(window.places(), window.ends[0], window.sizes, strict=True)
    ]
    kept = np.logical_and.reduce(inside).reshape(-1)
    # The elements on each pixel, one list a pixel; shorter lists are filled up with a zero behind the columns.
    lists: list[list[int]] = [[] for _ in range(math.prod(window.padded))]
    for place in np.flatnonzero(kept):
        lists[index[place]].append(int(place))
    crop = tuple(slice(before, before + size) for before, size in zip(window.ends[0], window.sizes, strict=True))
    pixels = np.arange(math.prod(window.padded)).reshape(window.padded)[crop].reshape(-1)
    deepest = max((len(lists[pixel]) for pixel in pixels), default=0) or 1
    table = np.full((deepest, pixels.size), index.size)
    for column, pixel in enumerate(pixels):
        table[: len(lists[pixel]), column] = lists[pixel]
    filled = draft.add("Concat", flat, draft.store(np.zeros((batch, channels, 1)), draft.dtype(data)), axis=2)
    total = draft.reduce("ReduceSum", draft.take(filled, table, 2), [2])
    draft.give(node.output[0], draft.reshape(total, (batch, channels, *sizes)))
    return True


def deformable(draft: Draft, node: onnx.NodeProto) -> bool:
    """DeformConv of images (J. Dai et al., Deformable convolutional networks, 2017): sampled, then a matrix product."""
    values = attributes_of(node)
    data, weight, offset = node.input[:3]
    if len(draft.shape(data)) != 4:
        return False
    _, _, *sizes = draft.shape(data)
    outputs, of_group, *kernel = draft.shape(weight)
    window, dtype = window_of(node, sizes, kernel), draft.dtype(data)
    batch, channels = draft.shape(data)[:2]
    groups, parts = int(values.get("group", 1)), int(values.get("offset_group", 1))
    spread = (batch, parts, window.taps, window.steps)
    moves = draft.reshape(offset, (batch, parts, window.taps, 2, window.steps))
    mask = draft.reshape(node.input[4], spread) if input_of(node, 4) else ""
    image = draft.reshape(data, (batch, parts, channels // parts, math.prod(sizes)))
    positions = []
    for axis, place in enumerate(window.places()):
        move = draft.reshape(draft.take(moves, [axis], 3), spread)
        positions.append(draft.add("Add", move, draft.store(place - window.ends[0][axis], dtype)))
    samples = _Samples(image, (batch, parts, channels // parts, window.taps, window.steps), dtype)
    sampled = _bilinear(draft, samples, positions, sizes, mask)
    columns = draft.reshape(sampled, (batch, groups, of_group * window.taps, window.steps))
    factors = draft.reshape(weight, (groups, outputs // groups, of_group * window.taps))
    made = draft.reshape(draft.add("MatMul", factors, columns), (batch, outputs, *window.after))
    if input_of(node, 3):
        made = draft.add("Add", made, draft.reshape(node.input[3], (-1, 1, 1)))
    draft.give(node.output[0], made)
    return True


@dataclass(frozen=True, slots=True)
class _Samples:
    """Samples of images ``(N, G, C, H·W)``: ``(N, G, C, taps, windows)`` of a dtype."""

    image: str
    shape: tuple[int, int, int, int, int]
    dtype: Dtype

    def at(self, draft: Draft, index: str) -> str:
        """The pixels of every channel at `index`, (N, G, taps, windows)."""
        batch, parts, channels, taps, steps = self.shape
        flat = draft.reshape(index, (batch, parts, 1, taps * steps))
        each = draft.add("Expand", flat, draft.ints(batch, parts, channels, taps * steps))
        return draft.reshape(draft.add("GatherElements", self.image, each, axis=3), self.shape)


def _bilinear(draft: Draft, samples: _Samples, positions: Sequence[str], sizes: Sequence[int], mask: str) -> str:
    """The samples at positions (N, G, taps, windows) of each axis, times the mask; pixels outside are zero."""
    dtype = samples.dtype
    low = [draft.add("Floor", position) for position in positions]
    share = [draft.add("Sub", position, floor) for position, floor in zip(positions, low, strict=True)]
    one, zero, width, total = draft.store(1, dtype), draft.store(0, dtype), draft.store(sizes[1], dtype), ""
    for corner in itertools.product((0, 1), repeat=2):
        factor, index = mask, ""
        for axis, step in enumerate(corner):
            place = draft.add("Add", low[axis], one) if step else low[axis]
            part = share[axis] if step else draft.add("Sub", one, share[axis])
            clipped = draft.add("Min", draft.add("Max", place, zero), draft.store(sizes[axis] - 1, dtype))
            part = draft.add("Where", draft.add("Equal", clipped, place), part, zero)
            factor = draft.add("Mul", factor, part) if factor else part
            index = draft.add("Add", draft.add("Mul", index, width), clipped) if index else clipped
        found = samples.at(draft, draft.cast(index, np.int64))
        weighted = draft.add("Mul", found, draft.add("Unsqueeze", factor, draft.ints(2)))
        total = draft.add("Add", total, weighted) if total else weighted
    return total


def maximum_pool(draft: Draft, node: onnx.NodeProto) -> bool:
    """MaxPool with places, or one that rounds up to windows that onnxruntime leaves out."""
    return pool_with_places(draft, node) if output_of(node, 1) else rounded_pool(draft, node)


def rounded_pool(draft: Draft, node: onnx.NodeProto) -> bool:
    """A pool whose sizes are rounded up, where a last window would begin behind the map: it is left out.

    So it is in onnxruntime and PyTorch, but ONNX's inference of shapes and TVM's importer count it. What is padded more
    instead of rounding up is not part of an average.
    """
    values, data = attributes_of(node), node.input[0]
    window = window_of(node, draft.shape(data)[2:], values["kernel_shape"])
    pads = _pads_rounded_up(window)
    made = replace(window, pads=pads).after
    if not values.get("ceil_mode", 0) or made == window.after_rounded_up:
        return False
    if pads != window.pads and node.op_type == "AveragePool" and values.get("count_include_pad", 0):
        return False
    down = onnx.NodeProto()
    down.CopyFrom(node)
    kept = [item for item in node.attribute if item.name not in ("ceil_mode", "auto_pad", "pads")]
    del down.attribute[:]
    down.attribute.extend([*kept, onnx.helper.make_attribute("pads", list(pads))])
    draft.keep(down)
    return True


def pool_with_places(draft: Draft, node: onnx.NodeProto) -> bool:
    """MaxPool with the place of each maximum in the whole tensor, by the first largest element under each window."""
    values, data = attributes_of(node), node.input[0]
    batch, channels, *sizes = draft.shape(data)
    window, dtype = window_of(node, sizes, values["kernel_shape"]), draft.dtype(data)
    if draft.shape(node.output[0])[2:] != window.after or dtype.kind != "f":
        return False  # rounded up, the last windows reach further than the padding
    spread, planes = (batch, channels, window.taps, window.steps), batch * channels
    inside, flat = _places_inside(window)
    image = draft.reshape(data, (batch, channels, math.prod(sizes)))
    patches = draft.reshape(draft.take(image, flat.reshape(-1), 2), spread)
    patches = draft.add("Where", draft.store(inside), patches, draft.store(-np.inf, dtype))
    best = draft.add("ArgMax", patches, axis=2, keepdims=1)
    places_of = np.unravel_index(flat, sizes)
    if values.get("storage_order", 0):
        within = np.ravel_multi_index(places_of, sizes, order="F")
    else:
        within = np.ravel_multi_index(places_of, sizes)
    each = within[None, None] + np.arange(planes).reshape(batch, channels, 1, 1) * math.prod(sizes)
    shape = draft.shape(node.output[0])
    places = draft.add("GatherElements", draft.store(each, np.int64), best, axis=2)
    alone = onnx.NodeProto()
    alone.CopyFrom(node)
    del alone.output[1:]
    draft.keep(alone)
    draft.give(node.output[1], draft.reshape(places, shape))
    return True


def pool_of_norms(draft: Draft, node: onnx.NodeProto) -> bool:
    """LpPool: the root of a sum of powers, which a convolution with ones adds up; zeros around the map add nothing.

    TVM's importer places the window wrongly where sizes are rounded up or pads differ from side to side.
    """
    values, data, dtype = attributes_of(node), node.input[0], draft.dtype(node.input[0])
    _, channels, *sizes = draft.shape(data)
    window, power = window_of(node, sizes, values["kernel_shape"]), int(values.get("p", 2))
    pads = _pads_rounded_up(window) if values.get("ceil_mode", 0) else window.pads
    powers = draft.add("Abs", data)
    if power == 2:
        powers = draft.add("Mul", data, data)
    elif power > 1:
        powers = draft.add("Pow", powers, draft.store(power, dtype))
    total = draft.add(
        "Conv",
        powers,
        draft.store(np.ones((channels, 1, *window.kernel)), dtype),
        group=channels,
        pads=list(pads),
        strides=list(window.strides),
        dilations=list(window.dilations),
    )
    if power == 2:
        total = draft.add("Sqrt", total)
    elif power > 1:
        total = draft.add("Pow", total, draft.store(1 / power, dtype))
    draft.give(node.output[0], total)
    return True


def _pads_rounded_up(window: Window) -> tuple[int, ...]:
    """Pads with which there is a window more along axes where one begins in the map but ends behind its padding."""
    before, behind = window.ends
    more = []
    for axis, count in enumerate(window.after):
        begin = count * window.strides[axis]
        lacking = begin + (window.kernel[axis] - 1) * window.dilations[axis] + 1 - window.padded[axis]
        ends_behind = lacking < window.strides[axis] and begin < window.sizes[axis] + before[axis]
        more.append(lacking if ends_behind else 0)
    return (*before, *(pad + extra for pad, extra in zip(behind, more, strict=True)))


def _places_inside(window: Window) -> tuple[Array, Array]:
    """Whether each window's elements are inside the map, and their places in it, flat; 0 outside. (taps, steps)."""
    moved = [places - before for places, before in zip(window.places(), window.ends[0], strict=True)]
    each = [(place >= 0) & (place < size) for place, size in zip(moved, window.sizes, strict=True)]
    inside = np.logical_and.reduce(each)
    kept = tuple(np.where(inside, place, 0) for place in moved)
    return inside, np.ravel_multi_index(kept, window.sizes)


RULES: dict[str, Rule] = {
    "AveragePool": rounded_pool,
    "Col2Im": columns_to_image,
    "DeformConv": deformable,
    "LpPool": pool_of_norms,
    "MaxPool": maximum_pool,
}
