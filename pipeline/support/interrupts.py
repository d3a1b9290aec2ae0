"""Ctrl-C while TVM works: it would abort the process in the middle of TVM's import, and be lost within its compiler."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tvmopt.pipeline.errors import CancelledError


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """A block that calls TVM's compiler: out of it a Ctrl-C would come as a RuntimeError without a message."""
    pressed: list[int] = []

    def interrupt(number: int, _frame: Any) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    try:
        with _on_ctrl_c(interrupt):
            yield
    except RuntimeError:
        if pressed:
            raise KeyboardInterrupt from None
        raise


@contextlib.contextmanager
def ctrl_c_cancels() -> Iterator[None]:
    """A job's whole flow: Ctrl-C in it comes out as the CancelledError that a listener's stop would cause."""
    try:
        yield
    except KeyboardInterrupt:
        raise CancelledError from None


@contextlib.contextmanager
def ctrl_c_later() -> Iterator[None]:
    """Raises KeyboardInterrupt for a Ctrl-C only when the block has ended."""
    pressed: list[int] = []
    with _on_ctrl_c(lambda number, _frame: pressed.append(number)):
        yield
    if pressed:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _on_ctrl_c(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Has `handler` take Ctrl-C; in other threads than the main one, which never get it, does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
