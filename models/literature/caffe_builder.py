"""Writes a network of Caffe, layer by layer: its text and its seeded weights."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from tvmopt.pipeline.importers.caffe.schema import message_type

Shape = tuple[int, int, int]
"""Channels, rows and columns of a blob."""
Sides = int | tuple[int, int]
"""Rows and columns of a window; a number stands for both."""


class CaffeBuilder:
    """A network that grows by a layer with each call, which returns the name of the layer's result.

    Args:
        name: of the network.
        size: rows and columns of its input, ``data``, an image of three channels.
        eps: what batch normalisations add to a variance.
    """

    def __init__(self, name: str, size: int, eps: float = 1e-5) -> None:
        self.lines = [f'name: "{name}"', f'input: "data" input_shape {{ dim: 1 dim: 3 dim: {size} dim: {size} }}']
        self.shapes: dict[str, Shape] = {"data": (3, size, size)}
        self.weights = message_type("NetParameter")(name=name)
        self.eps = eps
        self.parameters = 0
        self.multiply_adds = 0
        self.random = np.random.default_rng(0)

    def conv(self, name: str, x: str, channels: int, kernel: Sides, *, pad: Sides = 0, **options: int) -> str:
        """A convolution; `options` are ``stride``, ``group`` and ``bias`` (1 unless it is 0)."""
        stride, group, bias = (options.get(key, 1) for key in ("stride", "group", "bias"))
        depth, *sides = self.shapes[x]
        kernels, pads = _both(kernel), _both(pad)
        shape = (channels, *((s + 2 * p - k) // stride + 1 for s, p, k in zip(sides, pads, kernels, strict=True)))
        fan = depth // group * math.prod(kernels)
        blobs = [self._normal((channels, depth // group, *kernels), math.sqrt(2 / fan))]
        blobs += [self._normal((channels,), 0.1)] if bias else []
        sizes = f"{_text('kernel', kernels, '_size')} stride: {stride} {_text('pad', pads)}"
        rest = f"num_output: {channels} {sizes} group: {group}"
        text = f"convolution_param {{ {rest}{'' if bias else ' bias_term: false'} }}"
        self.multiply_adds += math.prod(shape) * fan
        self.parameters += sum(blob.size for blob in blobs)
        self.store(name, *blobs)
        return self.layer("Convolution", name, x, (name, shape), text)

    def relu(self, x: str, kind: str = "ReLU") -> str:
        """ReLU or ReLU6 in place."""
        return self.layer(kind, f"{x}/{kind.lower()}", x, (x, self.shapes[x]))

    def norm(self, x: str, gain: float = 1.0, into: str = "") -> str:
        """Batch normalisation with a scale, in place or `into` another blob."""
        channels, made = self.shapes[x][0], into or x
        sums = [self._normal((channels,), 0.1), np.abs(self._normal((channels,), 0.2)) + 1, np.ones(1, np.float32)]
        self.layer("BatchNorm", f"{made}/bn", x, (made, self.shapes[x]), f"batch_norm_param {{ eps: {self.eps} }}")
        self.store(f"{made}/bn", *sums)
        scale = [self._normal((channels,), 0.1 * gain) + np.float32(gain), self._normal((channels,), 0.1)]
        self.parameters += 2 * channels
        self.store(f"{made}/scale", *scale)
        return self.layer("Scale", f"{made}/scale", made, (made, self.shapes[x]), "scale_param { bias_term: true }")

    def pool(self, name: str, x: str, kind: str, kernel: int = 0, **options: int) -> str:
        """Pooling, ``MAX`` or ``AVE``, of the whole map if no `kernel` is given; sizes are rounded up."""
        channels, rows, columns = self.shapes[x]
        if not kernel:
            text = f"pooling_param {{ pool: {kind} global_pooling: true }}"
            return self.layer("Pooling", name, x, (name, (channels, 1, 1)), text)
        stride, pad = options.get("stride", 1), options.get("pad", 0)
        sides = []
        for side in (rows, columns):
            count = math.ceil((side + 2 * pad - kernel) / stride) + 1
            sides.append(count - (pad > 0 and (count - 1) * stride >= side + pad))
        text = f"pooling_param {{ pool: {kind} kernel_size: {kernel} stride: {stride} pad: {pad} }}"
        return self.layer("Pooling", name, x, (name, (channels, sides[0], sides[1])), text)

    def dense(self, name: str, x: str, units: int) -> str:
        """A dense layer of everything in `x`."""
        depth = math.prod(self.shapes[x])
        blobs = [self._normal((units, depth), math.sqrt(2 / depth)), self._normal((units,), 0.1)]
        self.multiply_adds += units * depth
        self.parameters += units * (depth + 1)
        text = f"inner_product_param {{ num_output: {units} }}"
        self.store(name, *blobs)
        return self.layer("InnerProduct", name, x, (name, (units, 1, 1)), text)

    def join(self, name: str, *parts: str) -> str:
        """Concatenation along the channels."""
        channels = sum(self.shapes[part][0] for part in parts)
        return self.layer("Concat", name, " ".join(parts), (name, (channels, *self.shapes[parts[0]][1:])))

    def add(self, name: str, *parts: str) -> str:
        """A sum."""
        return self.layer("Eltwise", name, " ".join(parts), (name, self.shapes[parts[0]]))

    def other(self, kind: str, name: str, x: str, text: str = "") -> str:
        """A layer without weights whose result has the shape of its first bottom."""
        return self.layer(kind, name, x, (name, self.shapes[x.split(maxsplit=1)[0]]), text)

    def layer(self, kind: str, name: str, bottoms: str, top: tuple[str, Shape], text: str = "") -> str:
        """Any layer; several `bottoms` have spaces between, `top` has its name and shape."""
        made, self.shapes[top[0]] = top
        below = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
        self.lines.append(f'layer {{ name: "{name}" type: "{kind}" {below} top: "{made}" {text} }}')
        return made

    def store(self, name: str, *blobs: np.ndarray) -> None:
        """Weights of the layer `name`."""
        stored = self.weights.layer.add(name=name)
        for array in blobs:
            blob = stored.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.append(np.ascontiguousarray(array, "<f4").tobytes())

    def save(self, stem: Path) -> Path:
        """Writes ``.prototxt`` and ``.caffemodel``; returns the path of the former."""
        stem.with_suffix(".caffemodel").write_bytes(self.weights.SerializeToString())
        path = stem.with_suffix(".prototxt")
        path.write_text("\n".join(self.lines) + "\n")
        return path

    def _normal(self, shape: tuple[int, ...], deviation: float) -> np.ndarray:
        return (self.random.standard_normal(shape) * deviation).astype(np.float32)


def _both(sides: Sides) -> tuple[int, int]:
    return (sides, sides) if isinstance(sides, int) else sides


def _text(name: str, sides: tuple[int, int], square: str = "") -> str:
    """A size as a prototxt writes it: one number for a square, else its height and width."""
    rows, columns = sides
    return f"{name}{square}: {rows}" if rows == columns else f"{name}_h: {rows} {name}_w: {columns}"
