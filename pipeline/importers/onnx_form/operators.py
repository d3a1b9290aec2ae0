"""Which ONNX operators are supported, and an error that lists all unsupported ones at once."""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.recurrent import RECURRENT_OPERATORS, why_not_recurrent

GRAPH_OPERATORS = RECURRENT_OPERATORS | {"BitCast"}
"""Operators that our own passes and schedules support although TVM has no converter for them."""

WRITTEN_OUT = frozenset(
    {
        *("BatchNormalization", "CastLike", "Col2Im", "ConvInteger", "CumProd", "DeformConv", "Det", "LpNormalization"),
        *("Attention", "RotaryEmbedding"),
        *("If", "Loop", "Scan"),
        *("QLinearConv", "QLinearMatMul", "ReverseSequence", "TensorScatter", "TfIdfVectorizer"),
    }
)
"""Operators, or features of them, that are not supported themselves: `rewrites` or `loops` writes them in others."""

STANDARD_DOMAINS = ("", "ai.onnx")
"""The two spellings of ONNX's own domain."""

MICROSOFT = "com.microsoft"
"""The domain of onnxruntime's own operators."""

PLAIN_FORMS = ("BiasGelu", "FastGelu", "FusedMatMul", "Gelu", "QuickGelu", "SkipLayerNormalization")
"""Operators of it that `plain_forms.floats` writes with ONNX's."""

QUANTIZED_FORMS = frozenset(
    {
        *("QGemm", "QLinearAdd", "QLinearMul", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", "QLinearWhere"),
        *("QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearConcat"),
        *("MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QuantizeLinear", "DequantizeLinear"),
    }
)
"""Operators of it that `plain_forms.quantized` writes in QDQ form."""

FOREIGN_DOMAIN = "foreign"
"""The domain to which `with_foreign_domain` moves operators of ONNX's own domain that ONNX does not define."""

_LISTED = 20
"""How many unsupported operators an error lists before it only counts the rest."""


@dataclass(frozen=True, slots=True)
class UnsupportedOperator:
    """An unsupported operator.

    Attributes:
        operator: its name, with the unsupported feature if there is one (``BatchNormalization in training mode``).
        domain: its domain; empty for ONNX's own.
        count: how many nodes have it.
        first: the name of the first such node.
    """

    operator: str
    domain: str
    count: int
    first: str

    def __str__(self) -> str:
        domain = f" of domain {self.domain!r}" if self.domain else ""
        return f"{self.operator}{domain} ({self.count}x, first at {self.first!r})"


@functools.cache
def supported_operators() -> frozenset[str]:
    """Names of the operators of ONNX's own domain that can be compiled.

    Those for which TVM's ONNX importer has a converter, and `GRAPH_OPERATORS`. The converters' names are read from
    TVM's source because importing TVM takes seconds.

    Raises:
        RuntimeError: TVM is not installed, or keeps its converters elsewhere than this version of tvmopt expects.
    """
    return (frozenset(_converter_names()) & standard_operators()) | GRAPH_OPERATORS


@functools.cache
def standard_operators() -> frozenset[str]:
    """Operators that some version of ONNX defines in its own domain."""
    return frozenset(schema.name for schema in onnx.defs.get_all_schemas_with_history() if not schema.domain)


def _converter_names() -> Iterator[str]:
    """Keys of the dictionary that `_get_convert_map` in TVM's ONNX front end returns."""
    package = importlib.util.find_spec("tvm")
    if package is None or package.origin is None:
        raise RuntimeError("TVM is not installed: pip install apache-tvm")
    path = Path(package.origin).parent / "relax" / "frontend" / "onnx" / "onnx_frontend.py"
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.FunctionDef) and node.name == "_get_convert_map":
            returned = node.body[-1]
            if isinstance(returned, ast.Return) and isinstance(returned.value, ast.Dict):
                yield from (str(key.value) for key in returned.value.keys if isinstance(key, ast.Constant))
                return
    raise RuntimeError(f"no map of converters in {path}: this version of TVM is not the one that was tested")


def standard_opset(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that `model` is written in."""
    return max((entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS), default=1)


def check_known(model: onnx.ModelProto) -> None:
    """Refuses a model with operators that ONNX does not define: no optimisation can remove them.

    Raises:
        UnsupportedModelError: one line that lists every unsupported operator, whether ONNX defines it or not.
    """
    if unknown_operators(model):
        found = find_unsupported(model, WRITTEN_OUT)
        raise _refusal(tuple(item for item in found if not _has_form(item.domain, item.operator)))


def unknown_operators(model: onnx.ModelProto) -> tuple[UnsupportedOperator, ...]:
    """The operators of `model` that ONNX does not define, and that `plain_forms` cannot write with others."""
    return tuple(
        item
        for item in find_unsupported(model, WRITTEN_OUT)
        if (item.domain or item.operator not in standard_operators()) and not _has_form(item.domain, item.operator)
    )


def has_plain_form(node: onnx.NodeProto) -> bool:
    """Whether ONNX does not define the operator of `node`, but `plain_forms.floats` writes it with others."""
    return node.domain == MICROSOFT and node.op_type in PLAIN_FORMS


def _has_form(domain: str, operator: str) -> bool:
    return domain == MICROSOFT and operator in (*PLAIN_FORMS, *QUANTIZED_FORMS)


def check_operators(model: onnx.ModelProto, besides: Collection[str] = ()) -> None:
    """Refuses a model with operators that cannot be compiled.

    Args:
        model: what to check.
        besides: operators that count as supported.

    Raises:
        UnsupportedModelError: one line with each such operator, how often it occurs and where first.
    """
    found = find_unsupported(model, besides)
    if found:
        raise _refusal(found)


def with_foreign_domain(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model`, or a copy in which operators that ONNX does not define are in `FOREIGN_DOMAIN`.

    ONNX's checker and its shape inference skip operators of unknown domains.
    """
    known = standard_operators()
    if all(node.domain not in STANDARD_DOMAINS or node.op_type in known for node in all_nodes(model.graph.node)):
        return model
    moved = onnx.ModelProto()
    moved.CopyFrom(model)
    moved.opset_import.append(onnx.helper.make_opsetid(FOREIGN_DOMAIN, 1))
    for node in all_nodes(moved.graph.node):
        if node.domain in STANDARD_DOMAINS and node.op_type not in known:
            node.domain = FOREIGN_DOMAIN
    return moved


def _refusal(found: tuple[UnsupportedOperator, ...]) -> UnsupportedModelError:
    listed = ", ".join(str(item) for item in found[:_LISTED])
    rest = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return UnsupportedModelError(f"the model has operators that cannot be compiled: {listed}{rest}")


def find_unsupported(model: onnx.ModelProto, besides: Collection[str] = ()) -> tuple[UnsupportedOperator, ...]:
    """The unsupported operators of `model`, its subgraphs and functions, in order of appearance.

    Args:
        model: what to search.
        besides: operators that count as supported.
    """
    functions = {(function.domain, function.name) for function in model.functions}
    counts: dict[tuple[str, str], int] = {}
    first: dict[tuple[str, str], str] = {}
    nodes: Iterable[onnx.NodeProto] = all_nodes(model.graph.node)
    for function in model.functions:
        nodes = [*nodes, *all_nodes(function.node)]
    for node in nodes:
        key = _why_unsupported(node)
        if key is None or (node.domain, node.op_type) in functions or (key[1] == "" and node.op_type in besides):
            continue
        counts[key] = counts.get(key, 0) + 1
        first.setdefault(key, node.name or (node.output[0] if node.output else "?"))
    return tuple(UnsupportedOperator(*key, count=count, first=first[key]) for key, count in counts.items())


def all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Each node, then those of its subgraphs."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from all_nodes(graph.node)


def names_read(node: onnx.NodeProto) -> set[str]:
    """The values that `node` and its subgraphs read."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                names |= names_read(inner)
            names |= {output.name for output in graph.output}
    return names


def _why_unsupported(node: onnx.NodeProto) -> tuple[str, str] | None:
    """The operator and domain to list for `node`; None when it is supported."""
    if node.domain not in STANDARD_DOMAINS:
        return node.op_type, node.domain
    if node.op_type not in supported_operators():
        return node.op_type, ""
    if node.op_type == "BatchNormalization" and any(a.name == "training_mode" and a.i for a in node.attribute):
        return "BatchNormalization in training mode", ""
    if node.op_type in RECURRENT_OPERATORS:
        refused = why_not_recurrent(node)
        return (refused, "") if refused else None
    return None
