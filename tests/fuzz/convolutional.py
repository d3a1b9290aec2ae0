"""Random networks of feature maps with one, two or three dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.fuzz.drawing import Drawing

CHANNELS = (1, 2, 3, 4, 6, 8, 12, 13, 16, 17, 24)
EXTENTS = {1: (7, 40), 2: (4, 15), 3: (3, 8)}
FUNCTIONS = ("Relu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "LeakyRelu", "Elu", "Selu", "Softplus", "Gelu")
FUNCTIONS += ("Mish", "Celu", "Softsign", "Abs", "Neg", "Erf", "Sqrt", "Exp")


def convolutional(d: Drawing) -> None:
    """Adds an input at first, then one operator; sometimes it turns out not to be valid, and nothing is added."""
    if not d.inputs:
        low, high = EXTENTS[d.random.choice((1, 2, 2, 2, 2, 3))]
        rank = next(rank for rank, extents in EXTENTS.items() if extents == (low, high))
        sizes = [d.random.randint(low, high) for _ in range(rank)]
        d.input(d.numbers(d.random.choice((1, 1, 1, 2, 3)), d.random.choice(CHANNELS), *sizes))
        return
    steps = (_conv, _conv, _conv, _depthwise, _transposed, _pool, _global, _norm, _function, _function, _join, _join)
    steps += (_concat, _split, _slice, _pad, _resize, _shuffle, _channel_shuffle, _scale, _clip, _gate, _prelu)
    d.random.choice(steps)(d)


def _image(d: Drawing) -> tuple[str, np.ndarray]:
    """One of the feature maps."""
    rank = d.values[d.inputs[0]].ndim
    name = d.pick(lambda value: value.ndim == rank and value.dtype == np.float32)
    assert name is not None
    return name, d.values[name]


def _window(d: Drawing, extents: tuple[int, ...], largest: int) -> dict[str, Any]:
    """A window: kernel, strides, padding, dilations; each as often simple as odd."""
    rank = len(extents)
    kernel = [d.random.randint(1, min(largest, extent)) for extent in extents]
    if d.random.random() < 0.5:
        kernel = [min(d.random.choice((1, 3, 3, 5)), *extents)] * rank
    pads = [k // 2 for k in kernel] * 2
    if d.random.random() < 0.3:
        pads = [d.random.randint(0, max(0, k - 1)) for k in kernel * 2]
    strides = [d.random.choice((1, 1, 2))] * rank if d.random.random() < 0.7 else d.random.choices((1, 2, 3), k=rank)
    dilations = [1] * rank if d.random.random() < 0.8 else d.random.choices((1, 2), k=rank)
    window = {"kernel_shape": kernel, "strides": strides, "dilations": dilations}
    if d.random.random() < 0.1 and dilations == [1] * rank:
        return {**window, "auto_pad": d.random.choice(("SAME_UPPER", "SAME_LOWER", "VALID"))}
    return {**window, "pads": pads}


def _bias(d: Drawing, channels: int) -> list[np.ndarray]:
    return [d.numbers(channels)] if d.random.random() < 0.6 else []


def _conv(d: Drawing, depthwise: bool = False) -> None:
    name, value = _image(d)
    channels = value.shape[1]
    out = channels * d.random.choice((1, 1, 2)) if depthwise else d.random.choice(CHANNELS)
    groups = channels if depthwise else d.random.choice((1, 1, 1, 2, 3))
    if out % groups or channels % groups:
        groups = 1
    window = _window(d, value.shape[2:], 5)
    fan_in = channels // groups * int(np.prod(window["kernel_shape"]))
    weights = d.numbers(out, channels // groups, *window["kernel_shape"], scale=fan_in**-0.5)
    d.add("Conv", name, weights, *_bias(d, out), group=groups, **window)


def _depthwise(d: Drawing) -> None:
    _conv(d, depthwise=True)


def _transposed(d: Drawing) -> None:
    name, value = _image(d)
    channels = value.shape[1]
    groups = d.random.choice((1, 1, 2, channels))
    groups = groups if channels % groups == 0 else 1
    out = d.random.choice((1, 2, 3, 5, 8)) if groups < channels else 1
    window = _window(d, value.shape[2:], 4)
    if d.random.random() < 0.3 and max(window["strides"]) > 1:
        window["output_padding"] = [stride - 1 for stride in window["strides"]]
    weights = d.numbers(channels, out, *window["kernel_shape"], scale=(channels // groups * 2) ** -0.5)
    d.add("ConvTranspose", name, weights, *_bias(d, out * groups), group=groups, **window)


def _pool(d: Drawing) -> None:
    name, value = _image(d)
    window = _window(d, value.shape[2:], 4)
    window["ceil_mode"] = int(d.random.random() < 0.25)
    operator = d.random.choice(("MaxPool", "AveragePool", "LpPool"))
    if operator == "AveragePool":
        window["count_include_pad"] = d.random.choice((0, 1))
    d.add(operator, name, **window)


def _global(d: Drawing) -> None:
    name, value = _image(d)
    if d.random.random() < 0.5:
        d.add(d.random.choice(("GlobalAveragePool", "GlobalMaxPool")), name)
    else:
        axes = np.array(d.random.choice((list(range(2, value.ndim)), [value.ndim - 1], [1])))
        d.add(d.random.choice(("ReduceMean", "ReduceMax", "ReduceL2")), name, axes, keepdims=1)


def _norm(d: Drawing) -> None:
    name, value = _image(d)
    channels = value.shape[1]
    scale, shift = d.numbers(channels), d.numbers(channels)
    kind = d.random.choice(("batch", "instance", "group"))
    if kind != "batch" and np.prod(value.shape[2:]) < 4:
        return  # a map of one pixel has no deviation, and onnxruntime's rounding is all that is left
    if kind == "batch":
        d.add("BatchNormalization", name, scale, shift, d.numbers(channels), np.abs(d.numbers(channels)) + 0.1)
    elif kind == "instance":
        d.add("InstanceNormalization", name, scale, shift)
    else:
        groups = d.random.choice([n for n in range(1, channels + 1) if channels % n == 0])
        d.add("GroupNormalization", name, scale, shift, num_groups=groups)


def _function(d: Drawing) -> None:
    d.add(d.random.choice(FUNCTIONS), _image(d)[0])


def _join(d: Drawing) -> None:
    name, value = _image(d)
    other = d.pick(lambda array: array.shape == value.shape)
    d.add(d.random.choice(("Add", "Add", "Mul", "Sub", "Max", "Min")), name, other)


def _gate(d: Drawing) -> None:
    name, value = _image(d)

    def fits(a: np.ndarray) -> bool:
        return a.ndim == value.ndim and all(x in (1, y) for x, y in zip(a.shape, value.shape, strict=True))

    other = d.pick(fits)
    d.add(d.random.choice(("Mul", "Add")), *d.random.sample([name, other], 2))


def _concat(d: Drawing) -> None:
    name, value = _image(d)
    axis = d.random.choice((1, 1, 1, value.ndim - 1))
    rest = value.shape[:axis] + value.shape[axis + 1 :]
    others = [
        d.pick(lambda a: a.ndim == value.ndim and a.shape[:axis] + a.shape[axis + 1 :] == rest)
        for _ in range(d.random.choice((1, 1, 2)))
    ]
    d.add("Concat", name, *others, axis=axis)


def _split(d: Drawing) -> None:
    name, value = _image(d)
    axis = d.random.choice((1, 1, 1, value.ndim - 1))
    if value.shape[axis] < 2:
        return
    first = d.random.randint(1, value.shape[axis] - 1)
    d.add("Split", name, np.array([first, value.shape[axis] - first]), made=2, axis=axis)


def _slice(d: Drawing) -> None:
    name, value = _image(d)
    axis = d.random.randint(1, value.ndim - 1)
    start, step = d.random.randint(0, 1), d.random.choice((1, 1, 2))
    end = value.shape[axis] - d.random.randint(0, 1)
    if d.random.random() < 0.1:
        start, end, step = -1, -(1 << 40), -1
    d.add("Slice", name, np.array([start]), np.array([end]), np.array([axis]), np.array([step]))


def _pad(d: Drawing) -> None:
    name, value = _image(d)
    pads = [0, 0] + [d.random.randint(0, 2) for _ in value.shape[2:]]
    pads += [0, 0] + [d.random.randint(0, 2) for _ in value.shape[2:]]
    d.add("Pad", name, np.array(pads), mode=d.random.choice(("constant", "constant", "reflect", "edge")))


def _resize(d: Drawing) -> None:
    name, value = _image(d)
    mode = d.random.choice(("nearest", "linear") if value.ndim != 4 else ("nearest", "linear", "cubic"))
    place = d.random.choice(("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"))
    if d.random.random() < 0.5:
        scales = np.array([1.0, 1.0] + [2.0] * (value.ndim - 2), np.float32)
        d.add("Resize", name, None, scales, mode=mode, coordinate_transformation_mode=place)
    else:
        sizes = [*value.shape[:2], *(d.random.randint(2, 2 * extent) for extent in value.shape[2:])]
        d.add("Resize", name, None, None, np.array(sizes), mode=mode, coordinate_transformation_mode=place)


def _shuffle(d: Drawing) -> None:
    name, value = _image(d)
    if value.ndim == 4:
        operator = "DepthToSpace" if value.shape[1] % 4 == 0 else "SpaceToDepth"
        attributes = {"mode": d.random.choice(("DCR", "CRD"))} if operator == "DepthToSpace" else {}
        d.add(operator, name, blocksize=2, **attributes)


def _channel_shuffle(d: Drawing) -> None:
    name, value = _image(d)
    n, channels, *sizes = value.shape
    groups = d.random.choice((2, 3))
    if channels % groups:
        return
    folded = d.add("Reshape", name, np.array([n, groups, channels // groups, *sizes]))
    if folded:
        turned = d.add("Transpose", folded[0], perm=[0, 2, 1, *range(3, 3 + len(sizes))])
        d.add("Reshape", turned[0], np.array([n, channels, *sizes]))


def _scale(d: Drawing) -> None:
    name, value = _image(d)
    ones = [1] * (value.ndim - 2)
    shape = d.random.choice(((value.shape[1], *ones), (1, value.shape[1], *ones), (1,), value.shape[2:], ()))
    d.add(d.random.choice(("Add", "Mul", "Sub")), name, d.numbers(*shape))


def _clip(d: Drawing) -> None:
    name, _ = _image(d)
    low, high = np.float32(0.0), np.float32(d.random.choice((1.0, 6.0)))
    d.add("Clip", name, np.asarray(low) if d.random.random() < 0.7 else None, np.asarray(high))


def _prelu(d: Drawing) -> None:
    name, value = _image(d)
    d.add("PRelu", name, d.numbers(value.shape[1], *[1] * (value.ndim - 2)))
