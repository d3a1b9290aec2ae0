"""Traces the calls of a program and gives each moment to one stage and one function.

A deterministic profiler on `sys.setprofile`, as the standard library's `profile` is. It differs in one thing: once a
call begins a stage, all that it calls belongs to it, so the inside of a library is not told apart.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from types import CodeType, FrameType
from typing import Any

from tvmopt.benchmarks.profiling.program.stages import INFERRING, PREPARING, Rules, identify, of_library, prepares


@dataclass(slots=True)
class Spent:
    """The time of one function in one stage.

    Attributes:
        seconds: its time; in the program's own work, without the functions that it calls.
        calls: how often it was called.
    """

    seconds: float = 0.0
    calls: int = 0


Times = dict[tuple[str, str], Spent]
"""By stage and function."""


@dataclass(slots=True)
class _Open:
    """A call that has not returned: its stage and function, and the time of what it has called."""

    key: tuple[str, str]
    start: float
    inner: float = 0.0


@dataclass(slots=True)
class Tracer:
    """Traces one call at a time, in this thread only.

    Attributes:
        rules: what begins which stage.
        times: what was traced so far.
    """

    rules: Rules
    times: Times = field(default_factory=lambda: defaultdict(Spent))
    _stack: list[_Open] = field(default_factory=list)
    _inside: int = 0  # how deep below the call that began a stage
    _codes: dict[CodeType, tuple[str | None, str]] = field(default_factory=dict)

    def run(self, function: Callable[[], Any]) -> Any:
        """Calls `function` and adds to `times`; exceptions pass through."""
        self._stack, self._inside = [], 0
        sys.setprofile(self._event)
        try:
            return function()
        finally:
            sys.setprofile(None)
            while self._stack:
                self._close()

    def _event(self, frame: FrameType, event: str, argument: Any) -> None:
        if self._inside:
            if event in ("call", "c_call"):
                self._inside += 1
                return
            self._inside -= 1
            if self._inside:
                return
            self._close()
        elif event == "call":
            self._begin(*self._of_frame(frame))
        elif event == "c_call":
            if argument is sys.setprofile:
                return
            module, name = identify(argument)
            self._begin(of_library(module, name), f"{module}.{name}" if module else name)
        elif self._stack:
            self._close()

    def _begin(self, stage: str | None, name: str) -> None:
        self._stack.append(_Open((stage or PREPARING, name), perf_counter()))
        self._inside = 1 if stage is not None else 0

    def _close(self) -> None:
        call = self._stack.pop()
        took = perf_counter() - call.start
        spent = self.times[call.key]
        spent.seconds += took - call.inner
        spent.calls += 1
        if self._stack:
            self._stack[-1].inner += took

    def _of_frame(self, frame: FrameType) -> tuple[str | None, str]:
        code = frame.f_code
        known = self._codes.get(code)
        if known is None:
            module = str(frame.f_globals.get("__name__", ""))
            stage = self.rules.of_function(code.co_filename, module, code.co_qualname)
            if code.co_filename == str(self.rules.file):  # it runs under a name that says nothing to its user
                module = self.rules.file.stem
            known = self._codes[code] = stage, f"{module}.{code.co_qualname}"
        stage, name = known
        if stage == INFERRING and name.startswith("torch."):
            kind = type(frame.f_locals.get("self"))
            return (None if prepares(kind) else stage), f"{kind.__module__}.{kind.__qualname__}"
        return stage, name
