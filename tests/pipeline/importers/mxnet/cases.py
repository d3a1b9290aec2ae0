"""Small MXNet networks of one operator each, whose results MXNet itself computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """An operator and its operands.

    Attributes:
        operator: MXNet's name of it in Python.
        shapes: of its operands, by name; those that begin with ``data`` are inputs, the others parameters.
        attributes: as Python takes them.
        label: tells cases of one operator apart.
    """

    operator: str
    shapes: Mapping[str, tuple[int, ...]]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    @property
    def name(self) -> str:
        """What the case is called."""
        return f"{self.operator}-{self.label}" if self.label else self.operator

    def arrays(self) -> dict[str, np.ndarray]:
        """The operands; those of other kinds than numbers are named for what they hold."""
        random = np.random.default_rng(7)
        found = {}
        for name, shape in self.shapes.items():
            array = random.standard_normal(shape).astype(np.float32)
            if name.endswith(("var", "positive")):
                array = np.abs(array) + np.float32(0.25)
            elif name.endswith("index"):
                array = random.integers(0, 4, shape).astype(np.float32)
            elif name.endswith("prob"):
                array = (np.exp(2 * array) / np.exp(2 * array).sum(1, keepdims=True)).astype(np.float32)
            elif name.endswith("anchors"):
                corner, size = random.random((*shape[:2], 2)) * 0.6, random.random((*shape[:2], 2)) * 0.4
                array = np.concatenate([corner, corner + size], -1).astype(np.float32)
            elif name.endswith("table"):  # of detected boxes: class, score, corners
                corner, size = random.random((*shape[:2], 2)) * 0.3, random.random((*shape[:2], 2)) * 0.4 + 0.1
                kinds = random.integers(-1, 3, (*shape[:2], 1))
                array = np.concatenate([kinds, random.random((*shape[:2], 1)), corner, corner + size], -1)
                array = array.astype(np.float32)
            found[name] = array
        return found


MAP, ODD = (2, 3, 7, 6), (1, 4, 9, 8)


def _recurrent(mode: str, layers: int, both: bool, states: bool) -> Case:
    gates, directions, width, hidden = {"lstm": 4, "gru": 3}.get(mode, 1), 1 + both, 5, 4
    count = 0
    for layer in range(layers):
        inputs = width if layer == 0 else hidden * directions
        count += directions * gates * hidden * (inputs + hidden + 2)
    shapes: dict[str, tuple[int, ...]] = {"data": (6, 3, width), "parameters": (count,)}
    shapes["data_state"] = (layers * directions, 3, hidden)
    if mode == "lstm":
        shapes["data_cell"] = shapes["data_state"]
    attributes = {"state_size": hidden, "num_layers": layers, "mode": mode, "bidirectional": both}
    label = f"{mode}-{layers}{'-both' * both}{'-states' * states}"
    return Case("RNN", shapes, {**attributes, "state_outputs": states}, label)


def _windows() -> list[Case]:
    cases = []
    for kind in ("max", "avg", "sum", "lp"):
        for convention in ("valid", "full"):
            attributes = {"kernel": (3, 2), "stride": (2, 3), "pad": (1, 1), "pool_type": kind}
            attributes |= {"pooling_convention": convention, **({"p_value": 2} if kind == "lp" else {})}
            cases.append(Case("Pooling", {"data": MAP}, attributes, f"{kind}-{convention}"))
        whole = {"pool_type": kind, "global_pool": True, "kernel": (1, 1), **({"p_value": 2} if kind == "lp" else {})}
        cases.append(Case("Pooling", {"data": MAP}, whole, f"{kind}-global"))
    apart = {"kernel": (3, 3), "pad": (1, 1), "pool_type": "avg", "count_include_pad": False}
    line = {"kernel": (3,), "stride": (2,), "pool_type": "max", "pooling_convention": "full"}
    block = {"kernel": (2, 3, 2), "stride": (2, 1, 2), "pad": (1, 1, 0), "pool_type": "avg"}
    return [
        *cases,
        Case("Pooling", {"data": MAP}, apart, "avg-without-pad"),
        Case("Pooling", {"data": (2, 3, 10)}, line, "line"),
        Case("Pooling", {"data": (1, 2, 5, 6, 7)}, block, "block"),
    ]  # fmt: skip


def _weighted() -> list[Case]:
    factors = {"gamma": (3,), "beta": (3,)}
    normal = {"data": MAP, **factors, "moving_mean": (3,), "moving_var": (3,)}
    up = {"kernel": (3, 4), "stride": (2, 3), "pad": (1, 1), "num_filter": 6}
    return [
        Case("Convolution", {"data": ODD, "w": (6, 2, 3, 2), "b": (6,)},
             {"kernel": (3, 2), "stride": (2, 1), "dilate": (1, 2), "pad": (1, 0), "num_filter": 6, "num_group": 2}),
        Case("Convolution", {"data": (2, 3, 9), "w": (4, 3, 3)}, {"kernel": (3,), "num_filter": 4, "no_bias": True},
             "line"),
        Case("Deconvolution", {"data": ODD, "w": (4, 6, 3, 4)}, up),
        Case("Deconvolution", {"data": ODD, "w": (4, 3, 3, 4), "b": (6,)}, {**up, "num_group": 2, "no_bias": False},
             "groups"),
        Case("Deconvolution", {"data": ODD, "w": (4, 6, 3, 4)}, {**up, "adj": (1, 2)}, "adj"),
        Case("Deconvolution", {"data": ODD, "w": (4, 6, 3, 4)}, {**up, "target_shape": (18, 24)}, "even-target"),
        Case("Deconvolution", {"data": ODD, "w": (4, 6, 3, 4)}, {**up, "target_shape": (17, 23)}, "odd-target"),
        Case("BatchNorm", normal, {"fix_gamma": False, "eps": 1e-3}),
        Case("BatchNorm", normal, {}, "fixed"),
        Case("BatchNorm", {**normal, "data": (2, 7, 6, 3)}, {"fix_gamma": False, "axis": -1}, "last"),
        Case("LayerNorm", {"data": (2, 5, 3), **factors}, {}),
        Case("LayerNorm", {"data": MAP, **factors}, {"axis": 1, "eps": 1e-2}, "channels"),
        Case("InstanceNorm", {"data": MAP, **factors}, {"eps": 1e-2}),
        Case("GroupNorm", {"data": ODD, "gamma": (2,), "beta": (2,)}, {"num_groups": 2, "eps": 1e-2}),
        Case("L2Normalization", {"data": MAP}, {"mode": "channel"}, "channel"),
        Case("L2Normalization", {"data": MAP}, {"mode": "instance", "eps": 0.1}, "instance"),
        Case("L2Normalization", {"data": MAP}, {"mode": "spatial"}, "spatial"),
        Case("LRN", {"data": ODD}, {"nsize": 3, "alpha": 0.1, "beta": 0.6, "knorm": 1.5}),
        Case("FullyConnected", {"data": MAP, "w": (5, 126), "b": (5,)}, {"num_hidden": 5}),
        Case("FullyConnected", {"data": MAP, "w": (5, 6)}, {"num_hidden": 5, "flatten": False, "no_bias": True},
             "last"),
        Case("Embedding", {"data_index": (2, 5), "w": (4, 3)}, {"input_dim": 4, "output_dim": 3}),
        Case("UpSampling", {"data": MAP}, {"scale": 2, "sample_type": "nearest"}),
        Case("UpSampling", {"data": MAP, "data_b": (2, 2, 14, 12)},
             {"scale": 4, "sample_type": "nearest", "num_args": 2}, "two"),
        Case("UpSampling", {"data": MAP, "w": (3, 1, 4, 4)},
             {"scale": 2, "sample_type": "bilinear", "num_filter": 3, "num_args": 2}, "bilinear"),
        Case("contrib.BilinearResize2D", {"data": MAP}, {"height": 13, "width": 9}),
        Case("contrib.AdaptiveAvgPooling2D", {"data": MAP}, {"output_size": (3, 4)}),
        Case("contrib.AdaptiveAvgPooling2D", {"data": MAP}, {}, "whole"),
    ]  # fmt: skip


def _shaping() -> list[Case]:
    return [
        Case("slice", {"data": MAP}, {"begin": (None, 1, -2), "end": (1, None, None)}),
        Case("slice", {"data": MAP}, {"begin": (0, 2, 5), "end": (2, None, 0), "step": (1, -1, -2)}, "steps"),
        Case("slice_axis", {"data": MAP}, {"axis": -2, "begin": -4, "end": -1}),
        Case("slice_axis", {"data": MAP}, {"axis": 2, "begin": 1, "end": None}, "open"),
        Case("slice_like", {"data": MAP, "data_b": (1, 2, 5, 6)}, {}),
        Case("slice_like", {"data": MAP, "data_b": (1, 2, 5, 4)}, {"axes": (2, -1)}, "axes"),
        Case("SliceChannel", {"data": ODD}, {"num_outputs": 4, "squeeze_axis": True}),
        Case("SwapAxis", {"data": MAP}, {"dim1": 1, "dim2": 3}),
        Case("expand_dims", {"data": MAP}, {"axis": -1}),
        Case("squeeze", {"data": (1, 3, 1, 2)}, {"axis": (0, 2)}),
        Case("Reshape", {"data": MAP}, {"shape": (0, -4, -1, 3, -3)}),
        Case("Reshape", {"data": MAP}, {"shape": (-1, 0), "reverse": True}, "reverse"),
        Case("reshape_like", {"data": MAP, "data_b": (6, 42)}, {}),
        Case("Concat", {"data": MAP, "data_b": (2, 2, 7, 6)}, {"dim": -3}),
        Case("stack", {"data": MAP, "data_b": MAP}, {"axis": 2}),
        Case("Pad", {"data": MAP}, {"mode": "constant", "constant_value": 1.5, "pad_width": (0, 0, 0, 0, 1, 2, 3, 0)}),
        Case("Pad", {"data": MAP}, {"mode": "edge", "pad_width": (0, 0, 0, 0, 1, 2, 3, 0)}, "edge"),
        Case("Pad", {"data": MAP}, {"mode": "reflect", "pad_width": (0, 0, 0, 0, 1, 2, 3, 0)}, "reflect"),
        Case("tile", {"data": (2, 3)}, {"reps": (2, 1, 3)}),
        Case("repeat", {"data": (2, 3)}, {"repeats": 2, "axis": 1}),
        Case("repeat", {"data": (2, 3)}, {"repeats": 2}, "flat"),
        Case("flip", {"data": MAP}, {"axis": (1, 3)}),
        Case("depth_to_space", {"data": (1, 8, 2, 3)}, {"block_size": 2}),
        Case("space_to_depth", {"data": (1, 2, 4, 6)}, {"block_size": 2}),
        Case("broadcast_to", {"data": (1, 3, 1)}, {"shape": (2, 0, 4)}),
        Case("broadcast_axis", {"data": (1, 3, 1)}, {"axis": (0, 2), "size": (2, 4)}),
        Case("broadcast_like", {"data": (1, 3, 1), "data_b": (2, 3, 4)}, {}),
        Case("zeros_like", {"data": (2, 3)}),
        Case("ones_like", {"data": (2, 3)}),
        Case("take", {"w": (4, 3), "data_index": (2, 5)}, {"axis": 0}),
        Case("one_hot", {"data_index": (2, 5)}, {"depth": 4, "on_value": 2.0, "off_value": -1.0}),
        Case("pick", {"data": (3, 4), "data_index": (3,)}, {"axis": 1}),
        Case("where", {"data_index": (2, 3), "data_a": (2, 3), "data_b": (2, 3)}),
        Case("argmax", {"data": MAP}, {"axis": 1}),
        Case("argmin", {"data": MAP}, {"axis": -1, "keepdims": True}),
        Case("mean", {"data": MAP}, {"axis": (1,), "exclude": True}),
        Case("sum", {"data": MAP}, {}),
        Case("max", {"data": MAP}, {"axis": (-1, -2), "keepdims": True}),
        Case("prod", {"data": MAP}, {"axis": 3}),
        Case("norm", {"data": MAP}, {"axis": 1, "keepdims": True}),
        Case("norm", {"data": MAP}, {"ord": 1, "axis": (2, 3)}, "one"),
    ]  # fmt: skip


def _products() -> list[Case]:
    return [
        Case("dot", {"data": (3, 4), "data_b": (4, 5)}),
        Case("dot", {"data": (4, 3), "w": (5, 4)}, {"transpose_a": True, "transpose_b": True}, "turned"),
        Case("dot", {"data": (2, 3, 4), "w": (4, 5, 2)}, {}, "many"),
        Case("batch_dot", {"data": (2, 3, 4), "data_b": (2, 4, 5)}),
        Case("batch_dot", {"data": (2, 4, 3), "data_b": (2, 5, 4)}, {"transpose_a": True, "transpose_b": True},
             "turned"),
        Case("linalg.gemm2", {"data": (2, 3, 4), "data_b": (2, 5, 4)}, {"transpose_b": True, "alpha": 0.5}),
        Case("broadcast_add", {"data": (2, 1, 4), "data_b": (1, 3, 1)}),
        Case("broadcast_sub", {"data": (2, 1, 4), "w": (1, 3, 1)}),
        Case("broadcast_maximum", {"data": (2, 1, 4), "data_b": (1, 3, 1)}),
        Case("broadcast_lesser_equal", {"data_index": (2, 3), "data_b_index": (2, 3)}),
        Case("broadcast_not_equal", {"data_index": (2, 3), "data_b_index": (2, 3)}),
        Case("broadcast_power", {"data_positive": (2, 3), "data_b": (2, 3)}),
        Case("broadcast_mod", {"data": (2, 3), "data_b_positive": (2, 3)}),
        Case("LeakyReLU", {"data": MAP, "gamma": (3,)}, {"act_type": "prelu"}, "prelu"),
        Case("LeakyReLU", {"data": MAP}, {"act_type": "selu"}, "selu"),
        Case("LeakyReLU", {"data": MAP}, {"act_type": "elu", "slope": 0.4}, "elu"),
        Case("Activation", {"data": MAP}, {"act_type": "softsign"}),
        Case("rsqrt", {"data_positive": (2, 3)}),
        Case("log2", {"data_positive": (2, 3)}),
        Case("expm1", {"data": (2, 3)}),
        Case("cbrt", {"data": (2, 3)}),
        Case("round", {"data": (2, 3)}),
        Case("smooth_l1", {"data": (2, 3)}, {"scalar": 2.0}),
        Case("hard_sigmoid", {"data": (2, 3)}, {"alpha": 0.3, "beta": 0.4}),
        Case("softmax", {"data": MAP}, {"axis": 1, "temperature": 2.0}),
        Case("softmin", {"data": MAP}, {"axis": -1}),
        Case("log_softmax", {"data": MAP}, {"axis": 2}),
        Case("SequenceMask", {"data": (4, 3, 2)}, {}),
        Case("SequenceLast", {"data": (4, 3, 2)}, {}),
        Case("SequenceReverse", {"data": (4, 3, 2)}, {}),
        Case("Cast", {"data": (2, 3)}, {"dtype": "float32"}),
        Case("contrib.div_sqrt_dim", {"data": (2, 3, 4)}),
    ]  # fmt: skip


def _detection() -> list[Case]:
    boxes = {"data_prob": (2, 4, 20), "data_shifts": (2, 80), "anchors": (1, 20, 4)}
    table = {"data_table": (2, 12, 6)}
    kinds = {"coord_start": 2, "score_index": 1, "id_index": 0, "overlap_thresh": 0.4, "valid_thresh": 0.2}
    return [
        Case("contrib.MultiBoxPrior", {"data": MAP}, {"sizes": (0.4, 0.6), "ratios": (1, 2, 0.5)}),
        Case("contrib.MultiBoxPrior", {"data": MAP},
             {"sizes": (0.7, 0.2), "ratios": (2, 0.5), "clip": True, "steps": (0.2, 0.1), "offsets": (0.3, 0.6)},
             "steps"),
        Case("contrib.MultiBoxPrior", {"data": MAP}, {}, "default"),
        Case("contrib.MultiBoxDetection", boxes, {}),
        Case("contrib.MultiBoxDetection", boxes, {"nms_threshold": 0.3, "force_suppress": True, "threshold": 0.4,
             "clip": False, "variances": (0.2, 0.1, 0.1, 0.3)}, "forced"),
        Case("contrib.MultiBoxDetection", boxes, {"nms_threshold": -1, "threshold": 0.5}, "unsuppressed"),
        Case("contrib.box_nms", table, kinds),
        Case("contrib.box_nms", table, {**kinds, "force_suppress": True, "topk": 7}, "forced"),
        Case("contrib.box_nms", table, {**kinds, "id_index": -1, "in_format": "center", "out_format": "center"},
             "centre"),
    ]  # fmt: skip


CASES = (
    *_windows(),
    *_weighted(),
    *_shaping(),
    *_products(),
    *_detection(),
    *(_recurrent(mode, 1, False, False) for mode in ("lstm", "gru", "rnn_relu", "rnn_tanh")),
    *(_recurrent(mode, 2, True, True) for mode in ("lstm", "gru", "rnn_tanh")),
)
