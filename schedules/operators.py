"""The graph's operators: the facts of each, in one table for passes, tasks, timing and reports.

A new operator needs an entry here, a rule in `pipeline.graph.recognize` that creates it, a template that computes it,
and a function in `schedules.compute.reference` that defines its result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Layout(Enum):
    """The memory layout of an operator's result."""

    BLOCKED = "blocked"
    """In blocks of channels with a halo, like the feature maps that it reads."""
    FOLLOWS = "follows"
    """In blocks if one of its operands is and the shapes allow it; else in row-major order."""
    PLAIN = "plain"
    """In row-major order, like everything it reads."""
    ANY = "any"
    """As the node says, whose purpose is to change the layout."""


@dataclass(frozen=True, slots=True)
class Operator:
    """What the graph, the tuner and the reports know about an operator without asking its template.

    Attributes:
        name: its name in nodes, workloads and records.
        words: its name in reports.
        operands: how many inputs, from the first, are the operator's own; the operands of its expressions follow.
            None if all inputs are its own, however many there are.
        weights: indices of the inputs that are weights, which come from memory in every run.
        layout: layout of the result.
        plain_data: whether a blocked result can also be computed from a first operand in row-major order.
        takes_epilogue: whether an element-wise operator after it can become part of its kernel.
        convolution: whether the second input is a convolution's kernel, ``(channels, …, rows, columns)``, and the
            attributes are a convolution's.
        kernel: whether it runs one of our kernels, and so has workloads, a template and a reference.
        forms: the ONNX operators that become it, each with the supported form, worded to follow "only".
    """

    name: str
    words: str
    operands: int | None
    weights: tuple[int, ...] = ()
    layout: Layout = Layout.PLAIN
    plain_data: bool = False
    takes_epilogue: bool = False
    convolution: bool = False
    kernel: bool = True
    forms: Mapping[str, str] = field(default_factory=dict, compare=False)

    def own(self, inputs: int) -> int:
        """How many of a node's `inputs`, counted from the first, are the operator's own."""
        return inputs if self.operands is None else self.operands


_FLOAT = "in float32"
_MOVED = "of uint8 or elements of four or eight bytes"
_NUMBERS = "of other types than float16"
_MAPS = "in two dimensions, float32"
_LINES = "in one or two dimensions, float32"
_VOLUMES = "in one to three dimensions, float32"
_CELL = "in float32, with constant weights"
_REDUCTION = "in float32, over neighbouring axes that are constant"

CONV2D = Operator(
    "conv2d",
    "convolution",
    operands=2,
    weights=(1,),
    layout=Layout.BLOCKED,
    plain_data=True,
    takes_epilogue=True,
    convolution=True,
    forms={"Conv": f"{_VOLUMES}, with constant weights"},
)
INTEGER_CONV2D = Operator(
    "integer_conv2d",
    "convolution of integers",
    operands=2,
    weights=(1,),
    layout=Layout.BLOCKED,
    takes_epilogue=True,
    convolution=True,
)
"""Of quantised maps: attribute zero, their zero point, besides a convolution's; with a window whose sums may be large,
attribute wide (`schedules.compute.integers`). The sums are int32."""
DEPTHWISE_CONV2D = Operator(
    "depthwise_conv2d",
    "depthwise convolution",
    operands=2,
    weights=(1,),
    layout=Layout.BLOCKED,
    takes_epilogue=True,
    convolution=True,
)
INTEGER_DEPTHWISE_CONV2D = Operator(
    "integer_depthwise_conv2d",
    "depthwise convolution of integers",
    operands=2,
    weights=(1,),
    layout=Layout.BLOCKED,
    takes_epilogue=True,
    convolution=True,
)
SEPARABLE_CONV2D = Operator(
    "separable_conv2d",
    "depthwise and 1×1 in one",
    operands=3,
    weights=(1, 2),
    layout=Layout.BLOCKED,
    takes_epilogue=True,
    convolution=True,
)
EXPANDED_CONV2D = Operator(
    "expanded_conv2d",
    "1×1 and depthwise in one",
    operands=3,
    weights=(1, 2),
    layout=Layout.BLOCKED,
    takes_epilogue=True,
)
"""Its data needs no halo: the pads are of the map between the two, which only its kernel sees."""
CONV3D = Operator(
    "conv3d",
    "convolution over volumes",
    operands=2,
    weights=(1,),
    layout=Layout.BLOCKED,
    plain_data=True,
    takes_epilogue=True,
)
TRANSPOSED_CONV2D = Operator(
    "transposed_conv2d",
    "transposed convolution",
    operands=2,
    weights=(1,),
    layout=Layout.BLOCKED,
    takes_epilogue=True,
    convolution=True,
    forms={"ConvTranspose": f"{_LINES}, with constant weights"},
)
DENSE = Operator(
    "dense",
    "matrix product",
    operands=2,
    weights=(1,),
    takes_epilogue=True,
    forms={"Gemm": _FLOAT, "MatMul": _FLOAT},
)
INTEGER_DENSE = Operator(
    "integer_dense",
    "matrix product of integers",
    operands=2,
    weights=(1,),
    takes_epilogue=True,
)
"""Of quantised rows: attribute zero, their zero point, and packed, 1, as of a dense layer. The sums are int32."""
INTEGERS = (INTEGER_CONV2D, INTEGER_DEPTHWISE_CONV2D, INTEGER_DENSE)
"""Operators whose kernels read quantised values and may write them."""
RECURRENCE = Operator(
    "recurrence",
    "recurrence",
    operands=None,
    weights=(1,),
    forms=dict.fromkeys(("LSTM", "GRU", "RNN"), _CELL),
)
POOL2D = Operator(
    "pool2d",
    "pooling",
    operands=1,
    layout=Layout.BLOCKED,
    takes_epilogue=True,
    forms={
        "MaxPool": f"{_VOLUMES}, without indices",
        "AveragePool": _VOLUMES,
        "GlobalAveragePool": _VOLUMES,
        "GlobalMaxPool": _VOLUMES,
    },
)
POINTWISE = Operator(
    "pointwise",
    "element-wise",
    operands=0,
    layout=Layout.FOLLOWS,
    takes_epilogue=True,
    forms={
        **dict.fromkeys(("Relu", "Sigmoid", "Tanh", "Erf", "Exp", "Log", "Sqrt", "Neg", "Abs", "Sign"), _FLOAT),
        **dict.fromkeys(("Reciprocal", "Floor", "Ceil", "Softplus", "HardSwish", "Gelu", "Atanh"), _FLOAT),
        **dict.fromkeys(("LeakyRelu", "Elu", "Selu", "ThresholdedRelu", "HardSigmoid", "PRelu"), _FLOAT),
        **dict.fromkeys(("Sin", "Cos", "Tan", "Sinh", "Cosh", "Asin", "Acos", "Atan", "Asinh", "Acosh"), _FLOAT),
        **dict.fromkeys(("Add", "Sub", "Mul", "Max", "Min"), _NUMBERS),
        "Div": "of float32 or integers",
        "Mod": "of integers",
        **dict.fromkeys(("Sum", "Mean", "Clip", "Round"), _FLOAT),
        **dict.fromkeys(("Where", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"), _NUMBERS),
        **dict.fromkeys(("And", "Or", "Xor", "Not"), "of computed values"),
        "IsNaN": _NUMBERS,
        "IsInf": f"{_NUMBERS}, of both signs",
        "Cast": "to float32, int32, int64 or bool, from other types than float16",
        **dict.fromkeys(("Celu", "Mish", "Shrink", "Softsign"), _FLOAT),
        "Pow": "of float32",
    },
)
CONCAT = Operator(
    "concat",
    "concatenation",
    operands=None,
    layout=Layout.FOLLOWS,
    forms={"Concat": _MOVED},
)
CHANNELS = Operator("channels", "choice of channels", operands=None, layout=Layout.BLOCKED)
"""Some channels of feature maps, in any order: attribute channels, as in `schedules.llvm.maps.channels`."""
RELAYOUT = Operator("relayout", "change of layout", operands=1, layout=Layout.ANY)
DEPTH_TO_SPACE = Operator(
    "depth_to_space",
    "channels to pixels",
    operands=1,
    # Row-major, from whatever layout it finds.
    layout=Layout.ANY,
    forms={"DepthToSpace": _FLOAT},
)
COPY = Operator(
    "copy",
    "copy",
    operands=1,
    forms={
        **dict.fromkeys(("Transpose", "Expand", "SpaceToDepth"), _MOVED),
        **dict.fromkeys(("Slice", "Split", "Tile"), f"{_MOVED}, with constant parameters"),
    },
)
"""Through strides: attributes sizes, strides and offset, as in `schedules.llvm.memory_bound.copy`."""
PAD = Operator(
    "pad",
    "padding",
    operands=1,
    forms={"Pad": f"{_MOVED}, with constant parameters"},
)
REDUCE = Operator(
    "reduce",
    "reduction",
    operands=1,
    forms=dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceLogSumExp"), _REDUCTION),
)
ROW_NORM = Operator(
    "row_norm",
    "normalisation of rows",
    operands=1,
    takes_epilogue=True,
    forms=dict.fromkeys(("LayerNormalization", "RMSNormalization"), _FLOAT),
)
MAP_NORM = Operator(
    "map_norm",
    "normalisation of maps",
    operands=1,
    layout=Layout.FOLLOWS,
    takes_epilogue=True,
    forms={"InstanceNormalization": "in float32, with constant scale and bias"},
)
CHANNEL_NORM = Operator(
    "channel_norm",
    "normalisation of pixels",
    operands=1,
    layout=Layout.BLOCKED,
    takes_epilogue=True,
)
"""Over the channels of each pixel: attributes kind and epsilon."""
LRN = Operator(
    "lrn",
    "local response normalisation",
    operands=1,
    layout=Layout.BLOCKED,
    takes_epilogue=True,
    forms={"LRN": _FLOAT},
)
"""Over neighbouring channels of each pixel: attributes size, alpha, beta and bias, as ONNX's."""
SOFTMAX = Operator("softmax", "softmax", operands=1, forms={"Softmax": _FLOAT})
ATTENTION = Operator(
    "attention",
    "attention",
    # Q, K and V; the operands of what lies between the products follow.
    operands=3,
)
RESIZE2D = Operator(
    "resize2d",
    "resizing",
    # The map, then indices and weights of the rows and of the columns.
    operands=5,
    layout=Layout.BLOCKED,
    takes_epilogue=True,
    forms=dict.fromkeys(("Resize", "Upsample"), f"{_MAPS}, to a constant size"),
)
TOP_K = Operator(
    "top_k",
    "selection of the best",
    operands=1,
    forms={
        "TopK": "of numbers, with a constant count",
        **dict.fromkeys(("ArgMax", "ArgMin"), "of the first place; ArgMin of float32 or integers"),
    },
)
PICK = Operator(
    "pick",
    "choice by places",
    operands=2,
    forms={"GatherElements": "that chooses along one axis, in whole rows"},
)
TAKE = Operator(
    "take",
    "rows by places",
    operands=2,
    forms={
        **dict.fromkeys(("Gather", "GatherND"), "of numbers"),
        **dict.fromkeys(("Scatter", "ScatterElements", "ScatterND"), "of numbers, to constant places, without sums"),
    },
)
SUPPRESS = Operator(
    "suppress",
    "suppression of boxes",
    operands=2,
    forms={"NonMaxSuppression": "with constant limits"},
)
FIND = Operator(
    "find",
    "places of what is true",
    operands=1,
    forms={"NonZero": "of a computed value; Compress and Unique become it, too"},
)
RESHAPE = Operator(
    "reshape",
    "view",
    operands=1,
    kernel=False,
    forms=dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"), "of a computed value"),
)
BOUNDS = Operator("bounds", "check of indices", operands=1, kernel=False)
"""Copies indices that the next operator follows, and fails if one is out of range."""
LEFT_TO_TVM = Operator("onnx", "left to TVM's importer", operands=None, kernel=False)
"""Any operator that no template takes, and that TVM's own importer lowers."""

OPERATORS: Mapping[str, Operator] = {
    operator.name: operator
    for operator in (
        CONV2D,
        INTEGER_CONV2D,
        DEPTHWISE_CONV2D,
        INTEGER_DEPTHWISE_CONV2D,
        SEPARABLE_CONV2D,
        EXPANDED_CONV2D,
        CONV3D,
        TRANSPOSED_CONV2D,
        DENSE,
        INTEGER_DENSE,
        RECURRENCE,
        POOL2D,
        POINTWISE,
        CONCAT,
        CHANNELS,
        RELAYOUT,
        DEPTH_TO_SPACE,
        COPY,
        PAD,
        REDUCE,
        ROW_NORM,
        MAP_NORM,
        CHANNEL_NORM,
        LRN,
        SOFTMAX,
        ATTENTION,
        RESIZE2D,
        TOP_K,
        PICK,
        TAKE,
        SUPPRESS,
        FIND,
        RESHAPE,
        BOUNDS,
        LEFT_TO_TVM,
    )
}
"""All operators by name."""


def operator_of(name: str) -> Operator:
    """The facts of the operator `name`.

    Raises:
        ValueError: when the table has no such operator.
    """
    if name not in OPERATORS:
        raise ValueError(f"unknown operator {name!r}; expected one of {', '.join(OPERATORS)}")
    return OPERATORS[name]
