"""Random shapes and configs for every template against the reference, without LLVM's optimisation."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.schedules.samples import expanded
from tests.workloads.attentions import attention, with_mask
from tests.workloads.recurrences import recurrence, tame_inputs
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.schedules.expression import ACC, Arg, Expr, call
from tvmopt.schedules.target import parse_target
from tvmopt.schedules.workload import Tensor, Workload

pytestmark = pytest.mark.slow  # a process or two for each test

Wide = Callable[..., Workload]
Make = Callable[..., Workload]
Pads = tuple[int, int, int, int]

QUICK, LONG = 60, 500
SSE2 = '{"kind": "llvm", "mtriple": "x86_64-linux-gnu"}'
TARGETS = [parse_target(text, 2) for text in ("x86-64-v3", "llvm", SSE2)]


class Draw:
    """Draws workloads of every operator.

    Args:
        seed: of the case.
        lanes: of the target.
        make: makes a workload from its parts.
        wide: makes a convolution.
        separable_of: makes a depthwise convolution followed by a 1×1 convolution.
    """

    def __init__(self, seed: int, lanes: int, make: Make, wide: Wide, separable_of: Wide) -> None:
        self.random = random.Random(seed)
        self.lanes, self.make, self.wide, self.separable_of = lanes, make, wide, separable_of
        self.numpy = np.random.default_rng(seed)

    def pick(self, *values: Any) -> Any:
        return self.random.choice(values)

    def channels(self) -> int:
        lanes = self.lanes
        return self.pick(1, 2, 3, 5, lanes - 1, lanes, lanes + 1, 2 * lanes, 2 * lanes + 3, 3 * lanes)

    def size(self) -> int:
        return self.pick(1, 2, 3, 4, 5, 7, 8, 11, 13)

    def halo(self) -> Pads:
        around = [self.pick(0, 0, 1, 2) for _ in range(4)]
        return self.pick((0, 0, 0, 0), (around[0], around[1], around[2], around[3]))

    def shape(self) -> tuple[int, int, int, int]:
        return (self.pick(1, 1, 2, 3), self.channels(), self.size(), self.size())

    def map_like(self, shape: tuple[int, ...]) -> Tensor:
        """An operand that broadcasts to `shape`."""
        n, channels, height, width = shape
        kind = self.pick("same", "channel", "scalar", "pixel")
        if kind == "same":
            return Tensor((n, channels, height, width), block=self.lanes, halo=self.halo())
        if kind == "channel":
            return Tensor((self.pick(1, n), channels, 1, 1), block=self.lanes)
        return Tensor((1,)) if kind == "scalar" else Tensor((1, 1, height, width))

    def epilogue(self, first: int, count: int) -> Expr:
        expr: Expr = ACC if first else Arg(0)
        for i in range(first or 1, first + count if first else count):
            expr = call(self.pick("add", "mul", "max", "sub"), expr, Arg(i))
        function = self.pick(None, "relu", "sigmoid", "silu", "hard_swish", "tanh")
        return expr if function is None else call(function, expr)

    def convolution(self) -> tuple[Workload, None]:
        kernel = self.pick((1, 1), (1, 1), (3, 3), (2, 3), (5, 1))
        pads = self.pick((0,) * 4, tuple(k // 2 for k in kernel * 2), tuple(self.pick(0, 1, 2) for _ in range(4)))
        dilations = self.pick((1, 1), (1, 1), (2, 1), (2, 3))
        n, channels, *_ = self.shape()
        # The windows must fit.
        size = tuple(
            self.size() + max(0, (k - 1) * d - before - after)
            for k, d, before, after in zip(kernel, dilations, pads[:2], pads[2:], strict=True)
        )
        strides, groups = self.pick((1, 1), (2, 2), (1, 3)), 1
        out = self.channels()
        kind = self.pick("plain", "dense", "dense", "depthwise", "grouped")
        if kind == "depthwise":
            channels = out = max(2, channels)
            groups = channels
        elif kind == "grouped":
            groups = self.pick(2, 3)
            channels, out = groups * self.lanes * self.pick(1, 2), groups * self.lanes * self.pick(1, 3)
        block = 1 if kind == "plain" else self.lanes
        options: dict[str, Any] = {"strides": strides, "dilations": dilations, "pads": pads, "groups": groups}
        options |= {"block": block, "margin": self.halo(), "halo": self.halo()}
        shape = self.wide(self.lanes, (n, channels, *size), out, kernel, **options).output.shape
        extra = [self.map_like(shape) for _ in range(self.pick(0, 1, 2))]
        options |= {"extra": extra, "epilogue": self.epilogue(2, len(extra))}
        return self.wide(self.lanes, (n, channels, *size), out, kernel, **options), None

    def separable(self) -> tuple[Workload, None]:
        kernel = self.pick((3, 3), (3, 3), (5, 5), (1, 3), (2, 2))
        pads = self.pick(tuple(k // 2 for k in kernel * 2), tuple(self.pick(0, 1, 2) for _ in range(4)))
        dilations = self.pick((1, 1), (1, 1), (2, 1))
        n, channels, *_ = self.shape()
        # The windows must fit.
        size = tuple(
            self.size() + max(0, (k - 1) * d - before - after)
            for k, d, before, after in zip(kernel, dilations, pads[:2], pads[2:], strict=True)
        )
        options: dict[str, Any] = {"strides": self.pick((1, 1), (2, 2), (1, 3)), "dilations": dilations, "pads": pads}
        options |= {"margin": self.halo(), "halo": self.halo()}
        data, out = (n, max(2, channels), *size), self.channels()
        pixels = self.separable_of(self.lanes, data, out, kernel, **options).output.shape[2:]
        inner = [self.map_like((n, data[1], *pixels)) for _ in range(self.pick(0, 1))]
        outer = [self.map_like((n, out, *pixels)) for _ in range(self.pick(0, 1, 2))]
        options |= {"extra": (*inner, *outer), "inner": self.epilogue(3, len(inner))}
        options["epilogue"] = self.epilogue(3 + len(inner), len(outer))
        return self.separable_of(self.lanes, data, out, kernel, **options), None

    def expanded(self) -> tuple[Workload, None]:
        kernel = self.pick((3, 3), (3, 3), (5, 5), (3, 1), (2, 2))
        channels = max(2, self.channels())
        # The windows must fit.
        n, _, *_ = self.shape()
        size = tuple(self.size() + k - 1 for k in kernel)
        options: dict[str, Any] = {"strides": self.pick((1, 1), (2, 2), (1, 3)), "halo": self.halo()}
        options |= {"groups": channels, "pads": tuple(self.pick(0, 1, 2) for _ in range(4))}
        shape = self.wide(self.lanes, (n, channels, *size), channels, kernel, **options).output.shape
        extra = [self.map_like(shape) for _ in range(self.pick(0, 1, 2))]
        options |= {"extra": extra, "epilogue": self.epilogue(3, len(extra))}
        depthwise = self.wide(self.lanes, (n, channels, *size), channels, kernel, **options)
        workload = expanded(depthwise, self.channels())
        data = replace(workload.inputs[0], halo=self.halo())
        inner = self.epilogue(3, 0)
        return replace(workload, inputs=(data, *workload.inputs[1:]), epilogue=depthwise.epilogue, inner=inner), None

    def transposed(self) -> tuple[Workload, None]:
        kernel, strides = self.pick((1, 1), (2, 2), (3, 3), (4, 4), (1, 5), (3, 2)), self.pick((1, 1), (2, 2), (1, 3))
        dilations, groups = self.pick((1, 1), (1, 1), (2, 1)), 1
        n, channels, *size = self.shape()
        out = self.channels()
        if self.pick(True, False, False):
            groups = self.pick(2, 3)
            channels, out = groups * self.lanes, groups * self.lanes * self.pick(1, 2)
        elif self.pick(True, False, False):
            channels = out = groups = max(2, channels)
        reach = [(size[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 for i in range(2)]
        top, left = (self.random.randrange(min(extent, 3)) for extent in reach)
        made = [self.random.randrange(1, extent - cut + 2) for extent, cut in zip(reach, (top, left), strict=True)]
        around = [(kernel[i] - 1) * dilations[i] + 1 for i in range(2)]
        data = Tensor((n, channels, size[0], size[1]), block=self.lanes, halo=(*around, *around))  # type: ignore[arg-type]
        output = Tensor((n, out, made[0], made[1]), block=self.lanes, halo=self.halo())
        extra = [self.map_like(output.shape) for _ in range(self.pick(0, 1))]
        inputs = (data, Tensor((out, channels // groups, *kernel)), *extra)
        attrs: dict[str, Any] = {"strides": strides, "dilations": dilations, "pads": (top, left, 0, 0)}
        epilogue = self.epilogue(2, len(extra))
        return self.make("transposed_conv2d", inputs, output, epilogue, groups=groups, **attrs), None

    def dense(self) -> tuple[Workload, None]:
        sizes = (1, 2, 3, 7, 16, 33, 50)
        packed, rows, depth, columns = self.pick(0, 1), self.pick(*sizes), self.pick(*sizes), self.pick(*sizes)
        batch = 1 if packed else self.pick(1, 3)
        right = (depth, columns) if packed else (batch, depth, columns)
        output = Tensor((batch, rows, columns))
        extra = [Tensor(self.pick((1, 1, columns), (1,), output.shape)) for _ in range(self.pick(0, 1, 2))]
        inputs = (Tensor((batch, rows, depth)), Tensor(right), *extra)
        return self.make("dense", inputs, output, self.epilogue(2, len(extra)), packed=packed), None

    def pool2d(self) -> tuple[Workload, None]:
        shape, kernel = self.shape(), self.pick((1, 1), (2, 2), (3, 3), (2, 5))
        strides = self.pick((1, 1), (2, 2), (3, 1))
        before = tuple(self.pick(0, k - 1) for k in kernel)
        after = tuple(self.pick(0, k - 1) for k in kernel)
        out = []
        for size, k, stride, first, last in zip(shape[2:], kernel, strides, before, after, strict=True):
            out.append(max(1, (size + first + last - k) // stride + 1))
        kind, count = self.pick("max", "average"), self.pick(0, 1)
        reach = [(o - 1) * s + k for o, s, k in zip(out, strides, kernel, strict=True)]
        around = (*before, *(max(0, r - b - e) for r, b, e in zip(reach, before, shape[2:], strict=True)))
        if any(r > b + e + a for r, b, e, a in zip(reach, before, shape[2:], after, strict=True)):
            after = tuple(max(a, r - b - e) for r, b, e, a in zip(reach, before, shape[2:], after, strict=True))
        data = Tensor(shape, block=self.lanes, halo=self.halo() if kind == "max" else around)
        output = Tensor((*shape[:2], *out), block=self.lanes, halo=self.halo())
        attrs = {"kernel": kernel, "strides": strides, "pads": (*before, *after), "count_pads": count}
        extra = [self.map_like(output.shape) for _ in range(self.pick(0, 1))]
        return self.make("pool2d", (data, *extra), output, self.epilogue(1, len(extra)), kind=kind, **attrs), None

    def pointwise(self) -> tuple[Workload, None]:
        shape = self.shape()
        if self.pick(True, False):
            inputs = [Tensor(shape, block=self.lanes), *(self.map_like(shape) for _ in range(self.pick(0, 1, 2)))]
            output = Tensor(shape, block=self.lanes, halo=self.halo())
        else:
            inputs = [Tensor(shape), *(Tensor(self.broadcast(shape)) for _ in range(self.pick(0, 1, 2)))]
            output = Tensor(shape)
        return self.make("pointwise", inputs, output, self.epilogue(0, len(inputs))), None

    def broadcast(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        sizes = tuple(self.pick(1, size) for size in shape)
        return sizes[self.pick(0, 1, 2) :]

    def movement(self) -> tuple[Workload, None]:
        shape = self.shape()
        if self.pick(True, False, False):
            axes = self.random.sample(range(4), 4)
            strides = [int(np.prod(shape[axis + 1 :])) for axis in axes]
            sizes = tuple(shape[axis] for axis in axes)
            attrs = {"offset": 0, "sizes": sizes, "strides": tuple(strides)}
            return self.make("copy", (Tensor(shape),), Tensor(sizes), **attrs), None
        if self.pick(True, False):
            blocks = [self.pick(1, self.lanes) for _ in range(2)]
            source, result = (Tensor(shape, block=block, halo=self.halo()) for block in blocks)
            return self.make("relayout", (source,), result), None
        if self.pick(True, False, False):
            strides = self.pick((2, 2), (1, 3), (3, 2))
            n, channels, height, width = shape
            data = (n, channels * strides[0] * strides[1], height, width)
            source = Tensor(data, block=self.pick(1, self.lanes), halo=self.halo())
            size = [shape[2 + i] * strides[i] - self.random.randrange(strides[i]) for i in range(2)]
            result, order = Tensor((n, channels, size[0], size[1])), self.pick("CRD", "DCR")
            return self.make("depth_to_space", (source,), result, strides=strides, order=order), None
        if self.pick(True, False, False):
            parts = [self.channels() for _ in range(self.pick(1, 2, 3))]
            chosen = self.random.choices(range(sum(parts)), k=self.channels())
            first = self.random.randrange(sum(parts))
            numbers = self.pick(tuple(chosen), tuple(range(first, sum(parts))))
            maps = [Tensor((shape[0], c, *shape[2:]), block=self.lanes, halo=self.halo()) for c in parts]
            result = Tensor((shape[0], len(numbers), *shape[2:]), block=self.lanes, halo=self.halo())
            return self.make("channels", maps, result, channels=numbers), None
        counts = [self.lanes * self.pick(1, 2) for _ in range(self.pick(1, 2))] + [self.channels()]
        inputs = [Tensor((shape[0], c, *shape[2:]), block=self.lanes, halo=self.halo()) for c in counts]
        output = Tensor((shape[0], sum(counts), *shape[2:]), block=self.lanes, halo=self.halo())
        return self.make("concat", inputs, output), None

    def reduction(self) -> tuple[Workload, None]:
        shape = (self.pick(1, 3), self.pick(1, 2, 7, 16, 37, 64), self.pick(1, 1, 3, 16, 21))
        if self.pick(True, False):
            return self.make("softmax", (Tensor(shape),), Tensor(shape)), None
        kind = self.pick("sum", "mean", "max", "min")
        return self.make("reduce", (Tensor(shape),), Tensor((shape[0], 1, shape[2])), kind=kind), None

    def norm(self) -> tuple[Workload, None]:
        attrs: dict[str, Any] = {"kind": self.pick("standard", "rms"), "epsilon": self.pick(1e-5, 0.1)}
        if self.pick(True, False):
            shape = (self.pick(1, 3), self.pick(1, 2), self.pick(1, 3), self.pick(2, 7, 16, 37, 64, 2500))
            full, by_channel = Tensor(shape), Tensor((1, *shape[1:3], 1))
            extra = [self.pick(full, by_channel, Tensor((1, 1, 1, shape[3])), Tensor((1, 1, 1, 1)))]
            return self.make("row_norm", (full, *extra), full, self.epilogue(1, 1), **attrs), None
        shape = (self.pick(1, 2), self.channels(), self.pick(2, 3, 7), self.pick(2, 5, 11, 130))
        if self.pick(True, False):
            maps, made = (Tensor(shape, block=self.lanes, halo=self.halo()) for _ in range(2))
            others = [self.map_like(shape) for _ in range(self.pick(0, 1))]
            epilogue = self.epilogue(1, len(others))
            if self.pick(True, False):
                return self.make("channel_norm", (maps, *others), made, epilogue, **attrs), None
            attrs = {"size": self.pick(1, 3, 4, 5), "alpha": self.pick(1e-4, 2.0), "beta": self.pick(0.5, 0.75, 1.3)}
            return self.make("lrn", (maps, *others), made, epilogue, **attrs, bias=self.pick(1.0, 2.0)), None
        attrs["groups"] = self.pick(*(count for count in range(1, shape[1] + 1) if shape[1] % count == 0))
        data, output = (Tensor(shape, block=self.lanes, halo=self.halo()) for _ in range(2))
        extra = [self.map_like(shape) for _ in range(self.pick(0, 1))]
        return self.make("map_norm", (data, *extra), output, self.epilogue(1, len(extra)), **attrs), None

    def selection(self) -> tuple[Workload, list[np.ndarray]]:
        outer, axis, inner = (self.pick(1, 3), self.pick(1, 7, 64, 100, 3000), self.pick(1, 1, 2))
        count, dtype = self.pick(*(k for k in (1, 5, 33, 40, 300) if k <= axis), axis), self.pick("float32", "int64")
        data = self.numpy.integers(-50, 50, (outer, axis, inner)).astype(dtype)
        if self.pick(True, False):
            result = Tensor((outer, count, inner), "int64")
            return self.make("top_k", (Tensor(data.shape, dtype),), result, largest=self.pick(0, 1)), [data]
        places = self.numpy.integers(0, axis, (outer, count, inner))
        inputs = (Tensor(data.shape, dtype), Tensor(places.shape, "int64"))
        return self.make("pick", inputs, Tensor(places.shape, dtype)), [data, places]

    def suppression(self) -> tuple[Workload, list[np.ndarray]]:
        images, classes, count = self.pick(1, 2), self.pick(1, 3), self.pick(1, 2, 17, 65)
        boxes = self.numpy.random((images, count, 4), np.float32)
        scores = self.numpy.integers(0, 9, (images, classes, count)).astype(np.float32)
        attrs = {"most": self.pick(0, 1, 5, count), "overlap": self.pick(0.0, 0.25, 1.0), "center": self.pick(0, 1)}
        attrs |= {"limited": self.pick(0, 1), "limit": self.pick(0.0, 4.0, 9.0)}
        inputs = (Tensor(boxes.shape), Tensor(scores.shape))
        if attrs["most"] and self.pick(False, True):
            listed = (*scores.shape[:2], attrs["most"])
            return self.make("suppress", inputs, Tensor(listed, "int64"), **attrs), [boxes, scores]
        return self.make("suppress", inputs, Tensor(scores.shape), **attrs), [boxes, scores]

    def find(self) -> tuple[Workload, list[np.ndarray]]:
        count = self.pick(1, 2, 63, 64, 65, 201)
        mask = self.numpy.random(count) < self.pick(0.0, 0.1, 0.5, 1.0)
        return self.make("find", (Tensor((count,), "bool"),), Tensor((count,), "int64")), [mask]

    def pad(self) -> tuple[Workload, None]:
        shape, mode = self.shape(), self.pick("constant", "edge", "reflect", "wrap")
        most = {"constant": 3, "edge": 3, "reflect": 0, "wrap": 4}[mode]
        ends = [[self.pick(0, 0, min(most or size - 1, 5)) for size in shape] for _ in range(2)]
        if mode == "constant":
            ends[0] = [
                self.pick(amount, -1) if size > 1 else amount for amount, size in zip(ends[0], shape, strict=True)
            ]
        result = tuple(map(sum, zip(shape, *ends, strict=True)))
        attrs = {"before": tuple(ends[0]), "after": tuple(ends[1]), "mode": mode, "fill": self.pick(0.0, -1.5)}
        return self.make("pad", (Tensor(shape),), Tensor(result), **attrs), None

    def attention(self) -> tuple[Workload, None]:
        sizes, heads, rows = (1, 2, 5, 7, 16, 19, 37), self.pick(1, 2, 3), self.pick(True, False)
        queries, keys, depth, width = (self.pick(*sizes) for _ in range(4))
        keys = self.pick(keys, 131)
        if self.pick(True, False):
            return attention(heads, queries, keys, depth, width, rows=rows), None
        return with_mask(queries, keys, heads, self.pick(True, False), depth=depth, width=width, rows=rows), None

    def resize2d(self) -> tuple[Workload, list[np.ndarray]]:
        shape, taps, after = self.shape(), self.pick(1, 2), (self.size(), self.size())
        arrays = [self.numpy.standard_normal(shape, np.float32)]
        for before, size in zip(shape[2:], after, strict=True):
            arrays.append(self.numpy.integers(0, before, size * taps).astype(np.int32))
            arrays.append(self.numpy.random(size * taps, np.float32) if taps > 1 else np.ones(size, np.float32))
        output = Tensor((*shape[:2], *after), block=self.lanes, halo=self.halo())
        inputs = [
            Tensor(shape, block=self.lanes, halo=self.halo()),
            *(Tensor(x.shape, str(x.dtype)) for x in arrays[1:]),
        ]
        return self.make("resize2d", inputs, output, taps=taps), arrays

    def recurrence(self) -> tuple[Workload, list[np.ndarray]]:
        kind = self.pick("lstm", "gru", "rnn")
        before, directions, lanes = self.pick(0, 1), self.pick(1, 2), self.lanes
        names = {"lstm": ("initial_h", "initial_c", "peepholes"), "gru": ("bias", "initial_h"), "rnn": ("initial_h",)}
        operands = [name for name in names[kind] if self.pick(True, False)]
        if kind == "gru" and not before:
            operands = [name for name in operands if name != "bias"]
        workload = recurrence(
            kind,
            steps=self.pick(1, 2, 4),
            batch=self.pick(1, 2, 3),
            directions=directions,
            hidden=self.pick(1, 3, lanes, lanes + 1, 2 * lanes + 3),
            operands=" ".join(operands),
            direction="bidirectional" if directions == 2 else self.pick("forward", "reverse"),
            linear_before_reset=before,
            keeps_cell=self.pick(0, 1) if kind == "lstm" else 0,
            clip=self.pick(0.0, 0.5),
        )
        return workload, tame_inputs(workload, self.random.randrange(1000))


OPERATORS = ("convolution",) * 4 + ("separable", "expanded", "transposed", "dense", "pool2d", "pointwise", "movement")
OPERATORS += ("reduction", "norm", "resize2d", "recurrence", "attention", "selection", "pad", "suppression", "find")


def run_case(seed: int, make: Make, wide: Wide, wide_separable: Wide, kernels_for: Callable[..., Any]) -> None:
    target = TARGETS[seed % len(TARGETS)]
    if not LOCAL.facts().can_run(target):
        pytest.skip(f"this machine cannot run {target.isa}")
    draw = Draw(seed, target.lanes("float32"), make, wide, wide_separable)
    workload, arrays = getattr(draw, draw.pick(*OPERATORS))()
    kernels = kernels_for(target)
    space = kernels.configs(workload, 40)
    assert Workload.from_json(workload.to_json()) == workload
    kernels.check(workload, [draw.pick(*space)], arrays)


@pytest.mark.parametrize("seed", range(QUICK))
def test_random_workloads(
    seed: int, make: Make, wide: Wide, wide_separable: Wide, kernels_for: Callable[..., Any]
) -> None:
    run_case(seed, make, wide, wide_separable, kernels_for)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(QUICK, QUICK + LONG, 50))
def test_many_random_workloads(
    first: int, make: Make, wide: Wide, wide_separable: Wide, kernels_for: Callable[..., Any]
) -> None:
    for seed in range(first, first + 50):
        run_case(seed, make, wide, wide_separable, kernels_for)
