"""Reads MXNet's `-symbol.json`: the nodes that the outputs need."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvmopt.pipeline.errors import InputFileError

_MOST_BYTES = 1 << 26
_WITH_LABEL = ("SoftmaxOutput", "Softmax", "LinearRegressionOutput", "LogisticRegressionOutput", "MAERegressionOutput")
"""Operators whose second operand is the label of a training."""

Entry = tuple[int, int]
"""The number of a node, and which of its outputs."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the symbol.

    Attributes:
        name: the user's name.
        operator: MXNet's name of what it computes; ``null`` for inputs and parameters.
        attributes: as text.
        inputs: what it reads.
    """

    name: str
    operator: str
    attributes: Mapping[str, str]
    inputs: tuple[Entry, ...]

    def value(self, name: str, default: Any = None) -> Any:
        """An attribute as a number, tuple, truth value or text; `default` where it is absent or ``None``."""
        text = self.attributes.get(name)
        if text is None or text == "None":
            return default
        try:
            found = ast.literal_eval(text) if len(text) < _MOST_TEXT else text
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            found = {"true": True, "false": False}.get(text.lower(), text)
        if isinstance(default, bool):
            return bool(found)
        wanted = (int, float) if isinstance(default, (int, float)) else (tuple, list, int) if default == () else None
        if wanted is not None and not isinstance(found, wanted):
            raise InputFileError(f"layer {self.name!r} ({self.operator}): {name} is {text[:40]!r}")
        return found

    def sizes(self, name: str) -> tuple[int, ...]:
        """An attribute that is a tuple of whole numbers; empty where it is absent."""
        found = self.value(name, ())
        found = (found,) if isinstance(found, int) else tuple(found)
        if not all(isinstance(size, int) and abs(size) < 1 << 40 for size in found):
            raise InputFileError(f"layer {self.name!r} ({self.operator}): {name} is {str(found)[:40]}")
        return found


_MOST_TEXT = 4096


@dataclass(frozen=True, slots=True)
class Symbol:
    """A network: its nodes, each behind those that it reads, which of them are needed, and its outputs."""

    nodes: Sequence[Node]
    needed: frozenset[int]
    heads: Sequence[Entry]


def read_symbol(path: Path) -> Symbol:
    """The symbol in the file at `path`.

    Raises:
        InputFileError: it is no symbol, or its nodes do not stand behind those that they read.
    """
    try:
        nbytes = path.stat().st_size
        if nbytes > _MOST_BYTES:
            raise InputFileError(f"{path.name!r} has {nbytes} bytes: the symbol of a network was expected")
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputFileError(f"{path.name!r} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputFileError(f"{path.name!r} ({nbytes} bytes) is not JSON, or is cut short: {error}") from error
    try:
        nodes = [_node(item) for item in document["nodes"]]
        heads = [(int(head[0]), int(head[1])) for head in document["heads"]]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputFileError(
            f"{path.name!r} is no symbol of MXNet: it lacks nodes or heads of the known form"
        ) from error
    for place, node in enumerate(nodes):
        if any(not 0 <= number < place for number, _ in node.inputs):
            raise InputFileError(
                f"node {node.name!r} reads a node that does not stand before it: the graph has a circle"
            )
    if not heads or any(not 0 <= number < len(nodes) for number, _ in heads):
        raise InputFileError(f"{path.name!r} has no outputs, or outputs of nodes that are not there")
    return Symbol(nodes, _needed(nodes, heads), heads)


def _node(item: Any) -> Node:
    attributes: dict[str, str] = {}
    for key in ("param", "attr", "attrs"):
        attributes |= {str(name): str(value) for name, value in (item.get(key) or {}).items()}
    inputs = tuple((int(entry[0]), int(entry[1])) for entry in item["inputs"])
    operator = str(item["op"])
    return Node(str(item["name"]), operator, attributes, inputs[:1] if operator in _WITH_LABEL else inputs)


def _needed(nodes: Sequence[Node], heads: Sequence[Entry]) -> frozenset[int]:
    needed = {number for number, _ in heads}
    for place in reversed(range(len(nodes))):
        if place in needed:
            needed |= {number for number, _ in nodes[place].inputs}
    return frozenset(needed)
