"""Small quantised networks in QDQ form."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from tests.onnx_models import OnnxNode, make_model


class Network:
    """A network that is written layer by layer.

    Attributes:
        nodes: of `make_model`.
        constants: its initialisers.
    """

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[OnnxNode] = []
        self.constants: dict[str, np.ndarray] = {}
        self._random = np.random.default_rng(seed)

    def add(self, operator: str, taken: str, made: str, **attributes: Any) -> str:
        """Adds a node and returns the name of its result."""
        self.nodes.append((operator, taken, made, attributes))
        return made

    def quantised(self, name: str, scale: float, zero: int, dtype: type[np.integer[Any]] = np.uint8) -> str:
        """`name`, rounded to integers and back."""
        self.constants |= {f"{name}_scale": np.float32(scale), f"{name}_zero": dtype(zero)}
        self.add("QuantizeLinear", f"{name} {name}_scale {name}_zero", f"{name}_q")
        return self.add("DequantizeLinear", f"{name}_q {name}_scale {name}_zero", f"{name}_dq")

    def convolution(
        self, data: str, channels: tuple[int, int], made: str, kernel: int = 3, groups: int = 1, **attributes: Any
    ) -> str:
        """A convolution with weights of int8, a scale for each output channel, and a bias of floats."""
        taps = channels[0] // groups * kernel * kernel
        self.constants |= {
            f"{made}_w": self._random.integers(-127, 128, (channels[1], channels[0] // groups, kernel, kernel)).astype(
                np.int8
            ),
            f"{made}_s": (self._random.uniform(0.5, 1, channels[1]) * 0.02 / np.sqrt(taps)).astype(np.float32),
            f"{made}_z": np.zeros(channels[1], np.int8),
            f"{made}_b": self._random.standard_normal(channels[1]).astype(np.float32) * np.float32(0.1),
        }
        self.add("DequantizeLinear", f"{made}_w {made}_s {made}_z", f"{made}_wd", axis=0)
        attributes = {"pads": [kernel // 2] * 4, "group": groups, **attributes}
        return self.add("Conv", f"{data} {made}_wd {made}_b", made, **attributes)

    def model(self, shape: tuple[int, ...], outputs: str) -> onnx.ModelProto:
        """The network with an input `x`."""
        return make_model(*self.nodes, inputs={"x": shape}, outputs=outputs, opset=19, **self.constants)


def residual(size: int = 20, channels: int = 32) -> onnx.ModelProto:
    """A first layer, a depthwise one, a residual of two scales, pooling, and outputs of int8 in between."""
    net = Network()
    first = net.convolution(net.quantised("x", 0.03, -3, np.int8), (3, channels), "a", strides=[2, 2])
    first = net.quantised(net.add("Relu", first, "ar"), 0.02, 0)
    first = net.quantised(net.add("MaxPool", first, "m", kernel_shape=[3, 3], pads=[1] * 4), 0.02, 0)
    deep = net.quantised(net.convolution(first, (channels, channels), "b", groups=channels), 0.02, 0)
    deep = net.quantised(net.convolution(deep, (channels, channels), "c", kernel=1), 0.02, 100)
    total = net.quantised(net.add("Relu", net.add("Add", f"{first} {deep}", "s"), "sr"), 0.03, 0)
    last = net.quantised(net.convolution(total, (channels, channels + 8), "d", strides=[2, 2]), 0.02, 7, np.int8)
    net.add("GlobalAveragePool", last, "y")
    return net.model((1, 3, size, size), "y")
