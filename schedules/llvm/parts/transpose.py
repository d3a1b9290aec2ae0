"""Square tiles of a matrix, transposed in registers.

Step by step, rows `distance` apart exchange the halves of each group of ``2 × distance`` elements; each step is one
shuffle for each row. Source: the usual network, as in J. O. Eklundh, A fast computer method for matrix transposing,
IEEE Trans. Computers C-21, 1972.
"""

from __future__ import annotations

from collections.abc import Sequence

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Expr, Stmt

tirx = lazily("tvm.tirx")


def transposed(rows: Sequence[Expr], dtype: str = "float32") -> tuple[list[Stmt], list[Expr]]:
    """Statements that transpose a tile, and its columns as vectors.

    Args:
        rows: as many vectors as each has elements, a power of two.
        dtype: their element type.
    """
    lanes, statements = len(rows), list[Stmt]()

    def bound(value: Expr, name: str) -> Expr:
        variable = tirx.Var(name, f"{dtype}x{lanes}")
        statements.append(tirx.Bind(variable, value))
        return variable

    held = [bound(row, "row") for row in rows]
    distance = 1
    while distance < lanes:
        upper = [lane - distance + lanes if lane & distance else lane for lane in range(lanes)]
        lower = [lane + lanes if lane & distance else lane + distance for lane in range(lanes)]
        mixed = list(held)
        for first in range(lanes):
            if not first & distance:
                second = first | distance
                pair = [held[first], held[second]]
                mixed[first] = bound(emit.shuffled(pair, upper), "mixed")
                mixed[second] = bound(emit.shuffled(pair, lower), "mixed")
        held, distance = mixed, 2 * distance
    return statements, held
