"""Operations of recurrent layers."""

from __future__ import annotations

from tvmopt.pipeline.inspection.costs.types import Operation, elements

_GATES = {
    "LSTM": 18,  # three sigmoids of four, two tangents, four operations that combine them
    "GRU": 14,  # two sigmoids of four, a tangent, five operations that combine them
    "RNN": 1,  # a tangent
}
"""Operations for each hidden unit in each step, besides the products, with the usual activations."""


def recurrent(operation: Operation) -> int:
    """Each step multiplies the input with W, the state with R, in every direction.

    The sequence is (length, batch, size), or batch first; W is (directions, gates·hidden, size) and R (directions,
    gates·hidden, hidden).
    """
    sequence, weight, recurrence = (operation.input(i) for i in range(3))
    steps = elements(sequence) // sequence.shape[-1]
    directions, hidden = recurrence.shape[0], recurrence.shape[-1]
    products = 2 * steps * (elements(weight) + elements(recurrence))
    return products + _GATES[operation.operator] * steps * directions * hidden
