"""What one kernel computes: operands with their layouts, the operator, its epilogue."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.dtypes import dtype_of
from tvmopt.schedules.expression import ACC, Expr, expression_from_json

Attr = int | float | str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """Shape, dtype and layout of one operand.

    Attributes:
        shape: logical shape; feature maps are NCHW.
        dtype: element type, as numpy spells it.
        block: channels kept together innermost: 1 is plain row-major order, 16 is NCHW16c. Only rank 4 is blocked.
        halo: rows and columns stored around each map (top, left, bottom, right), so that the consumer needs no
            padding.
        fill: the number in them: zero, or for quantised maps their zero point.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    block: int = 1
    halo: tuple[int, int, int, int] = (0, 0, 0, 0)
    fill: int = 0

    def __post_init__(self) -> None:
        if any(size < 0 for size in self.shape):
            raise ValueError(f"a tensor has no negative sizes, got {self.shape}")
        if (self.block != 1 or any(self.halo)) and len(self.shape) != 4:
            raise ValueError(f"only rank 4 has blocks and halos, got shape {self.shape}")

    @property
    def physical_shape(self) -> tuple[int, ...]:
        """The shape in memory: ``(N, ceil(C/block), top+H+bottom, left+W+right, block)`` when blocked."""
        if len(self.shape) != 4:
            return self.shape
        n, c, h, w = self.shape
        top, left, bottom, right = self.halo
        rows, columns = h + top + bottom, w + left + right
        if self.block == 1:
            return (n, c, rows, columns)
        return (n, -(-c // self.block), rows, columns, self.block)

    @property
    def plain(self) -> bool:
        """Whether memory holds just the logical elements in row-major order."""
        return self.block == 1 and not any(self.halo)

    @property
    def frame(self) -> tuple[int, tuple[int, int, int, int], int]:
        """Block, halo and what is in the halo: alike for tensors that may share memory."""
        return self.block, self.halo, self.fill if any(self.halo) else 0

    @property
    def elements(self) -> int:
        """How many logical elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes the logical elements take."""
        return self.elements * dtype_of(self.dtype).nbytes

    def turned(self) -> Tensor:
        """With rows and columns exchanged; the same memory if there is one row, without halos above and below it.

        Other ranks than 4 stay as they are.
        """
        if len(self.shape) != 4:
            return self
        n, c, h, w = self.shape
        top, left, bottom, right = self.halo
        return replace(self, shape=(n, c, w, h), halo=(left, top, right, bottom))

    def store(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The logical `array` in this tensor's memory layout: blocked, with the halo; absent channels as zeros."""
        if len(self.shape) != 4 or self.plain:
            return np.ascontiguousarray(array).reshape(self.physical_shape)
        top, left, bottom, right = self.halo
        framed = ((0, 0), (0, 0), (top, bottom), (left, right))
        padded = np.pad(array.reshape(self.shape), framed, constant_values=self.fill)
        padded = np.pad(padded, ((0, 0), (0, -self.shape[1] % self.block), (0, 0), (0, 0)))
        if self.block == 1:
            return padded
        n, _, rows, columns = padded.shape
        return np.ascontiguousarray(padded.reshape(n, -1, self.block, rows, columns).transpose(0, 1, 3, 4, 2))

    def restore(self, memory: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The logical array stored in `memory`; the inverse of `store`."""
        if len(self.shape) != 4:
            return memory.reshape(self.shape)
        memory = memory.reshape(self.physical_shape)
        if self.block > 1:
            n, _, rows, columns, _ = memory.shape
            memory = memory.transpose(0, 1, 4, 2, 3).reshape(n, -1, rows, columns)
        top, left, _, _ = self.halo
        _, channels, height, width = self.shape
        return np.ascontiguousarray(memory[:, :channels, top : top + height, left : left + width])

    def to_json(self) -> dict[str, Any]:
        """A JSON object; layout fields only where they differ from plain."""
        out: dict[str, Any] = {"shape": list(self.shape), "dtype": self.dtype}
        if self.block != 1:
            out["block"] = self.block
        if any(self.halo):
            out["halo"] = list(self.halo)
        if self.fill:
            out["fill"] = self.fill
        return out

    @staticmethod
    def from_json(data: dict[str, Any]) -> Tensor:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: when `data` is not what `to_json` writes.
        """
        top, left, bottom, right = (int(x) for x in data.get("halo", (0, 0, 0, 0)))
        shape = tuple(int(x) for x in data["shape"])
        block, fill = int(data.get("block", 1)), int(data.get("fill", 0))
        return Tensor(shape, str(data["dtype"]), block, (top, left, bottom, right), fill)


@dataclass(frozen=True, slots=True)
class Workload:
    """One operator at fixed shapes with its epilogue: the unit of tuning and of code generation.

    Attributes:
        op: the operator family (``conv2d``, ``depthwise_conv2d``, ``separable_conv2d``, ``dense``, ``pool2d``, …).
        inputs: the operator's own operands first (data, weight), then the epilogue's.
        output: the result.
        attrs: the operator's attributes, sorted by name.
        epilogue: what is stored, as an expression of the operator's result and further operands.
        inner: for an operator that is two in one, what the first passes to the second: an expression of the first
            one's result and further operands.
    """

    op: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    attrs: tuple[tuple[str, Attr], ...] = ()
    epilogue: Expr = ACC
    inner: Expr = ACC
    # Cached: templates look up facts of a workload for each of thousands of configs.
    _hash: int = field(default=0, init=False, repr=False, compare=False)

    def __hash__(self) -> int:
        if not self._hash:
            object.__setattr__(self, "_hash", hash(self._content()))
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process hashes strings differently, so the hash must not be pickled.
        return Workload, self._content()

    def _content(self) -> tuple[Any, ...]:
        return (self.op, self.inputs, self.output, self.attrs, self.epilogue, self.inner)

    def __post_init__(self) -> None:
        if list(self.attrs) != sorted(self.attrs, key=lambda item: item[0]):
            raise ValueError(f"attributes must be sorted by name, got {[name for name, _ in self.attrs]}")

    @property
    def dtypes(self) -> frozenset[str]:
        """The element types of all operands and of the result."""
        return frozenset(tensor.dtype for tensor in (*self.inputs, self.output))

    def attr(self, name: str) -> Any:
        """The attribute `name`.

        Raises:
            KeyError: when the workload has no such attribute.
        """
        for key, value in self.attrs:
            if key == name:
                return value
        raise KeyError(name)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back; `inner` only where there is one, as most operators have none."""
        out = {
            "op": self.op,
            "inputs": [tensor.to_json() for tensor in self.inputs],
            "output": self.output.to_json(),
            "attrs": {name: list(v) if isinstance(v, tuple) else v for name, v in self.attrs},
            "epilogue": self.epilogue.to_json(),
        }
        return out if self.inner == ACC else {**out, "inner": self.inner.to_json()}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Workload:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: when `data` is not what `to_json` writes.
        """
        attrs = {name: tuple(v) if isinstance(v, list) else v for name, v in data["attrs"].items()}
        return Workload(
            op=str(data["op"]),
            inputs=tuple(Tensor.from_json(tensor) for tensor in data["inputs"]),
            output=Tensor.from_json(data["output"]),
            attrs=tuple(sorted(attrs.items())),
            epilogue=expression_from_json(data["epilogue"]),
            inner=expression_from_json(data["inner"]) if "inner" in data else ACC,
        )

    @property
    def key(self) -> str:
        """A short stable name of this workload: operator, then 12 hex digits of its content's SHA-256."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return f"{self.op}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
