"""What the conversions share: their result, their errors, random inputs, and readable names."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow_to_onnx import UNSUPPORTED

_NUMBER = re.compile(r"__\d+")

SMALL = 8
"""Random 32-bit and 64-bit integers are below: they may be indices."""


class RefusedError(Exception):
    """The model is not taken; the message says why, and `code` is the script's exit code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Converted:
    """The result of a conversion.

    Attributes:
        model: the ONNX model.
        framework: what ran the model, with its version.
        inputs, outputs: what it ran on and computed, by the names of the ONNX model; empty where it did not run.
        values: the quantised values inside of it, by their names in the file.
        unrun: why it did not run.
        hybrid: whether the framework rounds what layers read, by its largest value, as the model does not say.
    """

    model: Any
    framework: str
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    values: dict[str, np.ndarray] = field(default_factory=dict)
    unrun: str = ""
    hybrid: bool = False

    def write(self, folder: Path) -> None:
        """Writes what `tensorflow_to_onnx` promises."""
        renumber(self.model, {*self.inputs, *self.outputs, *self.values})
        (folder / "model.onnx").write_bytes(self.model.SerializeToString())
        groups = {"input": self.inputs, "output": self.outputs, "value": self.values}
        arrays: dict[str, Any] = {
            f"{group}:{name}": array for group, named in groups.items() for name, array in named.items()
        }
        with (folder / "arrays.npz").open("wb") as file:
            np.savez(file, **arrays)
        facts = {"framework": self.framework, "unrun": " ".join(self.unrun.split())[:500], "hybrid": self.hybrid}
        (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def listed(names: list[str]) -> str:
    """The first of `names`, for a message."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (", ".join(map(repr, names[:5])) or "none") + more


def number_nodes(kind: Any) -> None:
    """Has nodes of tf2onnx's class `kind` hashed by the order in which they are made.

    By default their place in memory decides how a set of them is ordered, and so what the optimiser does first: the
    same file would give another model from run to run.
    """
    numbers = itertools.count()
    create = kind.__init__

    def create_numbered(self: Any, *args: Any, **options: Any) -> None:
        self.made = next(numbers)
        create(self, *args, **options)

    kind.__init__ = create_numbered
    kind.__hash__ = lambda self: self.made


def sizes(name: str, shape: list[int | None] | None, asked: Mapping[str, Any]) -> list[int] | None:
    """The shape of an input to run on: what the user asks for, else the file's with 1 for an open batch, else None."""
    given = asked["shapes"].get(name)
    if given:
        return list(given)
    if shape is None or any(size is None or size < 0 for size in shape[1:]):
        return None
    first = shape[:1]
    return [1 if size is None or size < 0 else size for size in first] + [int(size or 0) for size in shape[1:]]


def random_array(shape: list[int], dtype: Any, random: np.random.Generator) -> np.ndarray:
    """Standard normal floats, small integers, all values of 8-bit and 16-bit ones, booleans."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return random.standard_normal(shape).astype(kind)
    if kind.kind == "b":
        return random.integers(0, 2, shape).astype(kind)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        low, high = (limits.min, int(limits.max) + 1) if kind.itemsize <= 2 else (0, SMALL)
        return random.integers(low, high, shape).astype(kind)
    raise RefusedError(4, f"an input has elements of type {kind}: only numbers and booleans are supported")


def given_arrays(asked: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays to run on, by the inputs' names in the ONNX model; none where they are drawn."""
    if not asked.get("inputs"):
        return {}
    with np.load(asked["inputs"], allow_pickle=False) as arrays:
        return dict(arrays)


def check_converted(model: Any) -> None:
    """Refuses operators that tf2onnx passed on as they were, which ONNX does not define."""
    import onnx

    strange = {
        node.op_type.removeprefix("TFL_")
        for node in model.graph.node
        if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type)
    }
    if strange:
        more = f" and {len(strange) - 9} more" if len(strange) > 9 else ""
        named = ", ".join(map(repr, sorted(strange)[:9])) + more
        raise RefusedError(UNSUPPORTED, f"tf2onnx has no ONNX form of the operators {named}")


def rename(model: Any, names: Mapping[str, str]) -> None:
    """Gives inputs and outputs of an ONNX model other names, where no other value has them."""
    graph = model.graph
    values = [*graph.input, *graph.output, *graph.initializer]
    taken = {value.name for value in values} | {name for node in graph.node for name in (*node.input, *node.output)}
    final: dict[str, str] = {}
    for old, new in names.items():
        if old != new and new and new not in taken and old in taken:
            final[old] = new
            taken.add(new)
    nodes = [node.name for node in graph.node]
    _map_names(graph, lambda name: final.get(name, name))
    for node, name in zip(graph.node, nodes, strict=True):
        node.name = name


def _map_names(graph: Any, renamed: Callable[[str], str]) -> None:
    """Changes every name in a graph, and in those inside its nodes, which may read its values."""
    for node in graph.node:
        for edges in (node.input, node.output):
            edges[:] = [renamed(name) for name in edges]
        node.name = renamed(node.name)
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                _map_names(inner, renamed)
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = renamed(value.name)


def renumber(model: Any, kept: set[str]) -> None:
    """Numbers the names that tf2onnx made in the order of their use: its own numbers differ from run to run."""
    graph = model.graph
    kept |= {value.name for value in (*graph.input, *graph.output)}
    numbers: dict[str, str] = {}

    def renamed(name: str) -> str:
        if name in kept:
            return name
        return _NUMBER.sub(lambda found: numbers.setdefault(found[0], f"__n{len(numbers) + 1}"), name)

    _map_names(graph, renamed)
    del graph.value_info[:]
    used = {name: place for place, name in enumerate(reversed([name for node in graph.node for name in node.input]))}
    tensors = sorted(graph.initializer, key=lambda tensor: (-used.get(tensor.name, -1), tensor.name))
    del graph.initializer[:]
    graph.initializer.extend(tensors)


def graph_operators(graph_def: Any) -> Iterator[Any]:
    """Each node of a TensorFlow graph, its functions included."""
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def
