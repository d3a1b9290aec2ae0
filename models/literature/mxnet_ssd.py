"""MobileNet-SSD 300 as a pair of files of MXNet, with its post-processing: prior boxes, decoding, suppression.

The layers and boxes of `caffe_ssd`, as GluonCV and the SSD example of MXNet write such networks:
``python models/literature/mxnet_ssd.py FOLDER`` writes it with seeded weights, without MXNet.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
from caffe_ssd import BLOCKS, CLASSES, EXTRAS, SIZES

IMAGE = 300
VARIANCES = (0.1, 0.1, 0.2, 0.2)


class MxnetBuilder:
    """Collects the nodes of a symbol and its parameters."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.arrays: dict[str, np.ndarray] = {}
        self._random = np.random.default_rng(1)
        self.data = self.node("null", "data", [], __shape__=f"(1, 3, {IMAGE}, {IMAGE})")

    def node(self, operator: str, name: str, inputs: list[int], **attributes: object) -> int:
        """Adds a node; returns its number."""
        attrs = {key: str(value) for key, value in attributes.items()}
        self.nodes.append({"op": operator, "name": name, "attrs": attrs, "inputs": [[one, 0, 0] for one in inputs]})
        return len(self.nodes) - 1

    def conv(self, name: str, x: int, channels: tuple[int, int], kernel: int, stride: int = 1) -> int:
        """A convolution between two numbers of channels, with a bias; depthwise for a name in ``_dw``."""
        taken, made = channels
        group = taken if name.endswith("_dw") else 1
        shape = (made, taken // group, kernel, kernel)
        scale = np.float32(np.sqrt(2.0 / (shape[1] * kernel * kernel)))
        self.arrays[f"{name}_weight"] = self._random.standard_normal(shape, np.float32) * scale
        self.arrays[f"{name}_bias"] = self._random.standard_normal(made, np.float32) * np.float32(0.1)
        weights = [self.node("null", f"{name}_{what}", []) for what in ("weight", "bias")]
        sizes = {"kernel": (kernel, kernel), "stride": (stride, stride), "pad": (kernel // 2, kernel // 2)}
        return self.node("Convolution", name, [x, *weights], num_filter=made, num_group=group, **sizes)

    def relu(self, x: int) -> int:
        """What is positive of `x`."""
        return self.node("Activation", f"{self.nodes[x]['name']}_relu", [x], act_type="relu")

    def save(self, stem: Path) -> Path:
        """Writes ``STEM-symbol.json``, whose output is the last node, and ``STEM-0000.params``; returns the first."""
        arguments = [place for place, one in enumerate(self.nodes) if one["op"] == "null"]
        symbol = {"nodes": self.nodes, "arg_nodes": arguments, "heads": [[len(self.nodes) - 1, 0, 0]]}
        path = stem.with_name(f"{stem.name}-symbol.json")
        path.write_text(json.dumps(symbol))
        content = struct.pack("<QQQ", 0x112, 0, len(self.arrays))
        for array in self.arrays.values():
            shape = struct.pack(f"<i{array.ndim}q", array.ndim, *array.shape)
            content += struct.pack("<Ii", 0xF993FAC9, 0) + shape + struct.pack("<iii", 1, 0, 0) + array.tobytes()
        names = [f"arg:{name}".encode() for name in self.arrays]
        content += struct.pack("<Q", len(names)) + b"".join(struct.pack("<Q", len(name)) + name for name in names)
        stem.with_name(f"{stem.name}-0000.params").write_bytes(content)
        return path


def mobilenet_ssd() -> MxnetBuilder:
    """The network; its result is (1, boxes, 6): class, score and corners, -1 where there is no box."""
    net = MxnetBuilder()
    x, deep = net.relu(net.conv("conv0", net.data, (3, 32), 3, stride=2)), 32
    maps: dict[str, tuple[int, int]] = {}
    for place, (channels, stride) in enumerate(BLOCKS, 1):
        x = net.relu(net.conv(f"conv{place}_dw", x, (deep, deep), 3, stride=stride))
        x, deep = net.relu(net.conv(f"conv{place}", x, (deep, channels), 1)), channels
        maps[f"conv{place}"] = x, deep
    for place, (narrow, wide) in enumerate(EXTRAS, 14):
        x = net.relu(net.conv(f"conv{place}_1", x, (deep, narrow), 1))
        x, deep = net.relu(net.conv(f"conv{place}_2", x, (narrow, wide), 3, stride=2)), wide
        maps[f"conv{place}_2"] = x, deep
    heads = [_head(net, name, *maps[name]) for name in SIZES]
    offsets, scores, priors = ([head[column] for head in heads] for column in range(3))
    locations = net.node("Concat", "mbox_loc", offsets, num_args=len(offsets), dim=1)
    classes = net.node("Concat", "mbox_conf", scores, num_args=len(scores), dim=1)
    classes = net.node("Reshape", "mbox_conf_reshape", [classes], shape=(0, -1, CLASSES))
    classes = net.node("transpose", "mbox_conf_transpose", [classes], axes=(0, 2, 1))
    classes = net.node("softmax", "mbox_conf_softmax", [classes], axis=1)
    anchors = net.node("Concat", "mbox_priorbox", priors, num_args=len(priors), dim=1)
    options = {"nms_threshold": 0.45, "threshold": 0.25, "nms_topk": 400, "variances": VARIANCES, "clip": True}
    net.node("_contrib_MultiBoxDetection", "detection_out", [classes, locations, anchors], **options)
    return net


def _head(net: MxnetBuilder, name: str, x: int, deep: int) -> tuple[int, int, int]:
    """The offsets and scores of the boxes of one map, and their priors."""
    small, large = SIZES[name]
    ratios = (1.0, 2.0, 0.5, 3.0, 1 / 3) if large else (1.0, 2.0, 0.5)
    sizes = (small / IMAGE, np.sqrt(small * large) / IMAGE) if large else (small / IMAGE,)
    boxes, made = len(sizes) + len(ratios) - 1, []
    for what, numbers in (("loc", 4), ("conf", CLASSES)):
        y = net.conv(f"{name}_mbox_{what}", x, (deep, boxes * numbers), 1)
        y = net.node("transpose", f"{name}_mbox_{what}_perm", [y], axes=(0, 2, 3, 1))
        made.append(net.node("Flatten", f"{name}_mbox_{what}_flat", [y]))
    told = {"sizes": tuple(map(float, sizes)), "ratios": ratios, "clip": False}
    return made[0], made[1], net.node("_contrib_MultiBoxPrior", f"{name}_mbox_priorbox", [x], **told)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: mxnet_ssd.py FOLDER")
    sys.stdout.write(f"{mobilenet_ssd().save(Path(sys.argv[1]) / 'mobilenet_ssd')}\n")
