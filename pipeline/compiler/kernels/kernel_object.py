"""The machine code of one kernel, with what its callers need to know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Argument = tuple[tuple[int, ...], str]
"""Shape in memory and dtype of a tensor that a kernel is called with."""


@dataclass(frozen=True, slots=True)
class KernelObject:
    """A compiled kernel.

    Attributes:
        symbol: its name.
        content: the object file.
        tasks: number of tasks of its parallel loops (`schedules.llvm.parts.emit.parallel_tasks`).
        arguments: the tensors that it is called with, inputs first.
    """

    symbol: str
    content: bytes
    tasks: int
    arguments: tuple[Argument, ...]

    def facts(self) -> dict[str, Any]:
        """Everything but the content, as a JSON object; `of` reads it back."""
        arguments = [[list(shape), dtype] for shape, dtype in self.arguments]
        return {"symbol": self.symbol, "tasks": self.tasks, "arguments": arguments, "nbytes": len(self.content)}

    @staticmethod
    def of(facts: Mapping[str, Any], content: bytes) -> KernelObject:
        """The inverse of `facts`."""
        arguments = tuple((tuple(shape), dtype) for shape, dtype in facts["arguments"])
        return KernelObject(facts["symbol"], content, facts["tasks"], arguments)

    def to_bytes(self) -> bytes:
        """The kernel as one block; `from_bytes` reads it back."""
        return join(self.facts(), self.content)

    @staticmethod
    def from_bytes(block: bytes) -> KernelObject:
        """The inverse of `to_bytes`."""
        return KernelObject.of(*split(block))


def join(facts: Mapping[str, Any], content: bytes) -> bytes:
    """A JSON object and bytes in one block."""
    return json.dumps(facts, sort_keys=True).encode() + b"\n" + content


def split(block: bytes) -> tuple[dict[str, Any], bytes]:
    """The inverse of `join`."""
    facts, _, content = block.partition(b"\n")
    return json.loads(facts), content
