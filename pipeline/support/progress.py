"""Progress of a job: the events that it reports, and the listener that receives them and may ask for a stop.

Other packages add their own events: trials of a search (`pipeline.tuning.progress`), rows of a comparison
(`benchmarks.comparison.cell`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tvmopt.pipeline.errors import CancelledError


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a job; ``str(event)`` says it in one line."""


@dataclass(frozen=True, slots=True)
class StepBegan(Event):
    """A step of a job begins.

    Attributes:
        text: what is being done.
        number: which step it is, from 1.
        of: how many steps there are; None where that is not known.
    """

    text: str
    number: int
    of: int | None = None

    def __str__(self) -> str:
        return f"[{self.number}/{self.of}] {self.text}" if self.of else self.text


@dataclass(frozen=True, slots=True)
class StepEnded(Event):
    """A step of a job is done; no such event follows a step that failed or was cancelled.

    Attributes:
        text, number, of: as of its `StepBegan`.
        seconds: how long it took.
    """

    text: str
    number: int
    of: int | None
    seconds: float

    def __str__(self) -> str:
        return f"{self.text}: done in {self.seconds:.1f} s"


@dataclass(frozen=True, slots=True)
class PartDone(Event):
    """A part of a step is done, such as one sample of many.

    Attributes:
        text: what the parts are.
        done: how many are done.
        of: how many there are; None where that is not known.
    """

    text: str
    done: int
    of: int | None = None

    def __str__(self) -> str:
        return f"{self.text}: {self.done} of {self.of}" if self.of else f"{self.text}: {self.done}"


class Listener:
    """Receives a job's progress, and may ask the job to stop.

    The job calls `tell` in its own thread: a slow listener slows the job, and one that keeps a core busy spoils the
    measurements. `cancel` may be called from any thread. The job then stops at its next safe point: workers end,
    records of finished trials stay, no file is left half-written, and the job raises `CancelledError`. A listener stays
    cancelled, so each job needs a new one.

    Args:
        hear: called with each event, such as `print`; subclasses override `tell` instead.
    """

    _cancelled = False
    _hear: Callable[[Event], None] | None = None

    def __init__(self, hear: Callable[[Event], None] | None = None) -> None:
        self._hear = hear

    def tell(self, event: Event) -> None:
        """Receives an event.

        Args:
            event: what has just happened.
        """
        if self._hear is not None:
            self._hear(event)

    def cancel(self) -> None:
        """Asks the job to stop at its next safe point."""
        self._cancelled = True

    @property
    def cancelled(self) -> bool:
        """Whether the job was asked to stop."""
        return self._cancelled

    def check(self) -> None:
        """Marks a safe point of a job.

        Raises:
            CancelledError: when the job was asked to stop.
        """
        if self._cancelled:
            raise CancelledError


class Inside(Listener):
    """The listener of a job that is one step of another: passes on all events but steps, and stops with the other.

    Args:
        outer: the other job's listener.
    """

    def __init__(self, outer: Listener) -> None:
        super().__init__()
        self._outer = outer

    def tell(self, event: Event) -> None:
        """Passes on every event that is not a step."""
        if not isinstance(event, (StepBegan, StepEnded)):
            self._outer.tell(event)

    def check(self) -> None:
        """Marks a safe point of both jobs.

        Raises:
            CancelledError: when either was asked to stop.
        """
        super().check()
        self._outer.check()


class Steps:
    """Counts the steps of a job and reports each to a listener; the beginning of a step is a safe point.

    A context manager: the last step ends with the block.

    Args:
        listener: receives the steps; None when nobody listens.
        of: how many steps there are; None where that is not known (yet: the attribute may be set later).
    """

    def __init__(self, listener: Listener | None = None, of: int | None = None) -> None:
        self.listener = listener or Listener()
        self.of = of
        self._number = 0
        self._text: str | None = None
        self._began_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.end()

    def begin(self, text: str) -> None:
        """Ends the current step, if any, and begins the next.

        Raises:
            CancelledError: when the listener asked for a stop.
        """
        self.end()
        self.listener.check()
        self._number += 1
        self._text, self._began_s = text, time.monotonic()
        self.listener.tell(StepBegan(text, self._number, self.of))

    def end(self) -> None:
        """Ends the step, if one is under way."""
        if self._text is not None:
            text, self._text = self._text, None
            self.listener.tell(StepEnded(text, self._number, self.of, time.monotonic() - self._began_s))
