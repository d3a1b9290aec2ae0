"""Random networks of feature maps: any mix of layouts, halos and fusions computes the same as onnxruntime."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.schedules.target import parse_target

QUICK, LONG = 12, 30
SSE2 = '{"kind": "llvm", "mtriple": "x86_64-linux-gnu"}'
TARGETS = [parse_target(text, 2) for text in ("llvm", "x86-64-v3", SSE2)]
CHANNELS = (1, 3, 4, 8, 13, 16, 24, 32)


@dataclass
class Drawing:
    """A network that grows node by node.

    Attributes:
        random: the generator that draws it.
        shapes: of all values so far.
        nodes: of ONNX.
        constants: by name.
    """

    random: random.Random
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    nodes: list[tuple[Any, ...]] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def constant(self, *shape: int) -> str:
        name = f"c{len(self.constants)}"
        values = np.random.default_rng(self.random.getrandbits(32)).standard_normal(shape)
        self.constants[name] = (values / max(1.0, np.prod(shape[1:]) ** 0.5)).astype(np.float32)
        return name

    def add(self, operator: str, taken: str, shape: tuple[int, ...], **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append((operator, taken, name, attributes))
        self.shapes[name] = shape
        return name

    def image(self) -> str:
        """One of the values so far, more often a late one."""
        names = list(self.shapes)
        return self.random.choice(names[-4:] + names[self.random.randrange(len(names)) :][:1])

    def grow(self) -> None:
        kinds = ("conv", "conv", "conv", "depthwise", "pool", "function", "function", "add", "add", "gate", "concat")
        getattr(self, f"_{self.random.choice((*kinds, 'resize', 'slice', 'transpose', 'constant', 'pad'))}")()

    def _conv(self, depthwise: bool = False) -> None:
        name = self.image()
        n, channels, height, width = self.shapes[name]
        k = min(self.random.choice((1, 1, 3, 3, 5)), height + 2, width + 2)
        pad, stride = self.random.choice((0, k // 2, k // 2)), self.random.choice((1, 1, 1, 2))
        out = channels if depthwise else self.random.choice(CHANNELS)
        groups = channels if depthwise else self.random.choice((1, 1, 1, 2))
        if out % groups or channels % groups:
            groups = 1
        size = tuple((extent + 2 * pad - k) // stride + 1 for extent in (height, width))
        if min(size) < 1:
            return
        taken = f"{name} {self.constant(out, channels // groups, k, k)}"
        taken += f" {self.constant(out)}" if self.random.random() < 0.6 else ""
        attributes = {"pads": [pad] * 4, "strides": [stride] * 2, "group": groups}
        self.add("Conv", taken, (n, out, *size), **attributes)

    def _depthwise(self) -> None:
        self._conv(depthwise=True)

    def _pool(self) -> None:
        name = self.image()
        n, channels, height, width = self.shapes[name]
        if self.random.random() < 0.3:
            self.add(self.random.choice(("GlobalAveragePool", "GlobalMaxPool")), name, (n, channels, 1, 1))
            return
        if min(height, width) < 3:
            return
        stride, pad = self.random.choice((1, 2)), self.random.choice((0, 1))
        size = tuple((extent + 2 * pad - 3) // stride + 1 for extent in (height, width))
        attributes = {"kernel_shape": [3, 3], "strides": [stride] * 2, "pads": [pad] * 4}
        self.add(self.random.choice(("MaxPool", "AveragePool")), name, (n, channels, *size), **attributes)

    def _function(self) -> None:
        name = self.image()
        self.add(self.random.choice(("Relu", "Sigmoid", "Tanh", "HardSwish", "Neg", "Round")), name, self.shapes[name])

    def _add(self) -> None:
        name = self.image()
        alike = [other for other, shape in self.shapes.items() if shape == self.shapes[name]]
        operator = self.random.choice(("Add", "Mul", "Sub", "Max"))
        self.add(operator, f"{name} {self.random.choice(alike)}", self.shapes[name])

    def _gate(self) -> None:
        """A product with a smaller value that broadcasts."""
        name = self.image()
        shape = self.shapes[name]
        smaller = [
            other
            for other, small in self.shapes.items()
            if len(small) == 4 and all(a in (1, b) for a, b in zip(small, shape, strict=True))
        ]
        self.add("Mul", f"{self.random.choice(smaller)} {name}", shape)

    def _constant(self) -> None:
        name = self.image()
        _, channels, height, width = self.shapes[name]
        shapes = [(channels, 1, 1), (1, channels, 1, 1), (height, width), (1,), (1, 1, height, 1)]
        self.add("Add", f"{name} {self.constant(*self.random.choice(shapes))}", self.shapes[name])

    def _concat(self) -> None:
        name = self.image()
        n, _, height, width = self.shapes[name]
        alike = [other for other, s in self.shapes.items() if (s[0], *s[2:]) == (n, height, width)]
        names = [name, *(self.random.choice(alike) for _ in range(self.random.choice((1, 2))))]
        channels = sum(self.shapes[other][1] for other in names)
        if channels <= 96:
            self.add("Concat", " ".join(names), (n, channels, height, width), axis=1)

    def _resize(self) -> None:
        name = self.image()
        n, channels, height, width = self.shapes[name]
        if height * width > 150:
            return
        scales = f"s{len(self.constants)}"
        self.constants[scales] = np.array([1, 1, 2, 2], np.float32)
        mode = self.random.choice(("nearest", "linear"))
        self.add("Resize", f"{name} . {scales}", (n, channels, 2 * height, 2 * width), mode=mode)

    def _slice(self) -> None:
        name = self.image()
        n, channels, height, width = self.shapes[name]
        if channels < 2:
            return
        parts = [f"i{len(self.constants)}_{i}" for i in range(3)]
        self.constants.update(zip(parts, (np.array([1]), np.array([channels]), np.array([1])), strict=True))
        self.add("Slice", " ".join([name, *parts]), (n, channels - 1, height, width))

    def _transpose(self) -> None:
        name = self.image()
        n, channels, height, width = self.shapes[name]
        self.add("Transpose", name, (n, channels, width, height), perm=[0, 1, 3, 2])

    def _pad(self) -> None:
        name = self.image()
        n, channels, height, width = self.shapes[name]
        pads = f"p{len(self.constants)}"
        self.constants[pads] = np.array([0, 0, 1, 0, 0, 0, 0, 2])
        self.add("Pad", f"{name} {pads}", (n, channels, height + 1, width + 2))


def network(seed: int) -> dict[str, Any]:
    """Nodes, inputs, outputs and constants of the network for `seed`."""
    drawing = Drawing(random.Random(seed))
    first = (
        drawing.random.choice((1, 2)),
        drawing.random.choice(CHANNELS),
        *(drawing.random.randint(5, 13) for _ in "hw"),
    )
    drawing.shapes["x"] = first
    for _ in range(drawing.random.randint(6, 16)):
        drawing.grow()
    if not drawing.nodes:
        drawing.add("Relu", "x", first)
    read = {name for _, taken, *_ in drawing.nodes for name in taken.split()}
    made = [node[2] for node in drawing.nodes]
    outputs = [name for name in made if name not in read] + drawing.random.sample(made, 1)
    unique = " ".join(dict.fromkeys(outputs))
    return {"nodes": drawing.nodes, "inputs": {"x": first}, "outputs": unique, "constants": drawing.constants}


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(QUICK))
def test_random_networks(model_from: Any, check_whole: Callable[..., None], seed: int) -> None:
    target = TARGETS[seed % len(TARGETS)]
    if not LOCAL.facts().can_run(target):
        pytest.skip(f"this machine cannot run {target.isa}")
    check_whole(model_from(network(seed)), target)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(QUICK, QUICK + LONG, 10))
def test_many_random_networks(model_from: Any, check_whole: Callable[..., None], first: int) -> None:
    for seed in range(first, first + 10):
        check_whole(model_from(network(seed)), TARGETS[0])
