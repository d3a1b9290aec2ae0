"""Handles Ctrl-C while TVM works: it would abort the process during TVM's import, and be lost in its compiler."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tvmopt.pipeline.errors import CancelledError


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Raises KeyboardInterrupt for Ctrl-C in TVM's compiler, which raises a RuntimeError without a message instead."""
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
    """Wraps a whole job: Ctrl-C raises the same CancelledError as a stop by the job's listener."""
    try:
        yield
    except KeyboardInterrupt:
        raise CancelledError from None


@contextlib.contextmanager
def ctrl_c_later() -> Iterator[None]:
    """Delays the KeyboardInterrupt of a Ctrl-C until the block has ended."""
    pressed: list[int] = []
    with _on_ctrl_c(lambda number, _frame: pressed.append(number)):
        yield
    if pressed:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _on_ctrl_c(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Lets `handler` handle Ctrl-C; does nothing outside the main thread, as other threads never get it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
