"""A tensor of the largest size that a result may have, and how much of it the result is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counted:
    """A value whose size along one axis is found at run time.

    Attributes:
        room: the name of the tensor of the largest size; what is behind the value in it is made of valid data.
        shape: the room's.
        axis: along which the value is shorter.
        count: the name of the tensor ``(1)`` of int64 that says how long it is.
    """

    room: str
    shape: tuple[int, ...]
    axis: int
    count: str
