"""The tables of one program as C++, and its weights as one block of bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.artifact.native_library import ALIGNMENT, reserve, take
from tvmopt.pipeline.compiler.arena import Arena
from tvmopt.pipeline.compiler.program import CONSTANT, Later, Program, View, made
from tvmopt.pipeline.support.memory import let_go
from tvmopt.schedules.dtypes import dtype_of

_THREADS = 2
"""How many constants are made and stored side by side; numpy copies without Python's lock."""

_CODES = {"int": 0, "uint": 1, "float": 2, "bool": 6}
"""DLPack's codes for kinds of elements."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The constants of a program in a block of bytes, which other programs may share.

    Attributes:
        offsets: where each constant buffer begins, in bytes, by its number.
        nbytes: bytes of the whole block.
        arrays: the array of each constant buffer, by its number.
    """

    offsets: dict[int, int]
    nbytes: int
    arrays: dict[int, npt.NDArray[Any] | Later]


def lay_out_weights(*programs: Program) -> tuple[Weights, ...]:
    """Lays out in one block the constants that calls read or that are outputs, in the order of first use.

    Args:
        programs: a constant of a later program that equals one of an earlier program is stored once.

    Returns:
        The weights of each program.
    """
    laid: list[tuple[dict[int, int], dict[int, npt.NDArray[Any] | Later]]] = []
    known: dict[bytes, int] = {}
    end = 0
    for program in programs:
        offsets: dict[int, int] = {}
        added: dict[bytes, int] = {}
        for view in program.views():
            if program.places[view.buffer] != CONSTANT or view.buffer in offsets:
                continue
            array = program.constants[view.buffer]
            digest = hashlib.sha256(_bytes_of(array).data).digest() if len(programs) > 1 else b""
            if digest in known:
                offsets[view.buffer] = known[digest]
                continue
            offsets[view.buffer] = added[digest] = end
            end += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        known |= added
        laid.append((offsets, {number: program.constants[number] for number in offsets}))
    return tuple(Weights(offsets, end, arrays) for offsets, arrays in laid)


def weights_block(weights: Sequence[Weights]) -> npt.NDArray[np.uint8]:
    """The block of bytes of what `lay_out_weights` returned, where a library can read it; gaps are zeros.

    Its memory is taken constant by constant, while that of the files from which they come is let go of.
    """
    block = reserve(weights[0].nbytes, taken=False)

    def store(offset: int, array: npt.NDArray[Any] | Later) -> None:
        memory = _bytes_of(array)
        assert memory.nbytes == array.nbytes
        place = block[offset : offset + memory.nbytes]
        take(place)
        place[:] = memory
        let_go(memory)

    places = [(one.offsets[number], array) for one in weights for number, array in one.arrays.items()]
    # The largest first: while it is in memory in both orders, the block is still empty.
    places.sort(key=lambda place: -place[1].nbytes)
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(lambda place: store(*place), places):  # raises what a thread raised
            pass
    return block


def _bytes_of(array: npt.NDArray[Any] | Later) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(made(array)).reshape(-1).view(np.uint8)


def write_tables(program: Program, arena: Arena, weights: Weights) -> str:
    """The source of ``tables.cc`` for `program`."""
    shapes = _Shapes()
    tensors = [_tensor(view, arena, weights, shapes) for call in program.calls for view in call.arguments]
    inputs = [_tensor(view, arena, weights, shapes) for view in program.inputs]
    outputs = [_tensor(view, arena, weights, shapes) for view in program.outputs]
    calls, first = [], 0
    for call in program.calls:
        calls.append(f'{{"{call.kernel}", {_symbol(call.kernel)}, {first}, {len(call.arguments)}, {call.tasks}}}')
        first += len(call.arguments)
    kernels = sorted({_symbol(call.kernel) for call in program.calls})
    counts = {
        "kTensorCount": len(tensors),
        "kCallCount": len(calls),
        "kInputCount": len(inputs),
        "kOutputCount": len(outputs),
    }
    lines = [
        "// Generated; see tables.h.",
        '#include "tables.h"',
        'extern "C" {',
        *(f"int {name}(void*, const TVMFFIAny*, int32_t, TVMFFIAny*);" for name in kernels),
        '}  // extern "C"',
        "namespace tvmopt {",
        _array("Tensor", "kTensors", tensors),
        _array("Tensor", "kInputs", inputs),
        _array("Tensor", "kOutputs", outputs),
        _array("Call", "kCalls", calls),
        _array("int64_t", "kShapes", map(str, shapes.sizes)),
        _array("tvmopt_spec", "kInputSpecs", [_spec(view, shapes) for view in program.inputs]),
        _array("tvmopt_spec", "kOutputSpecs", [_spec(view, shapes) for view in program.outputs]),
        *(f"const int32_t {name} = {count};" for name, count in counts.items()),
        f"const int64_t kArenaBytes = {arena.nbytes}, kWeightsBytes = {weights.nbytes};",
        "}  // namespace tvmopt",
    ]
    return "\n".join(lines) + "\n"


class _Shapes:
    """All shapes in one flat list, equal ones stored once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self._known: dict[tuple[int, ...], int] = {}

    def place(self, shape: tuple[int, ...]) -> int:
        if shape not in self._known:
            self._known[shape] = len(self.sizes)
            self.sizes += shape
        return self._known[shape]


def _tensor(view: View, arena: Arena, weights: Weights, shapes: _Shapes) -> str:
    constant = view.buffer in weights.offsets
    base = weights.offsets[view.buffer] if constant else arena.offsets[view.buffer]
    assert base is not None
    kind = view.dtype.rstrip("0123456789")
    dtype = f"{{{_CODES[kind]}, {8 * dtype_of(view.dtype).nbytes}, 1}}"
    place = shapes.place(view.shape)
    return f"{{{str(constant).lower()}, {base + view.offset}, {len(view.shape)}, {place}, {dtype}}}"


def _spec(view: View, shapes: _Shapes) -> str:
    return f'{{"{view.dtype}", {len(view.shape)}, kShapes + {shapes.place(view.shape)}, {view.nbytes}}}'


def _symbol(kernel: str) -> str:
    return f"__tvm_ffi_{kernel}"


def _array(kind: str, name: str, items: Iterable[str] | Sequence[str]) -> str:
    # Never empty: C++ has no arrays without elements.
    listed = list(items) or ["{}"]
    return f"const {kind} {name}[] = {{{', '.join(listed)}}};"
