"""Ctrl-C inside TVM: it always becomes KeyboardInterrupt, and the previous handler is restored."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tvmopt.pipeline.support.interrupts import ctrl_c_later, interruptible


@pytest.fixture(autouse=True)
def _handler_is_put_back() -> object:
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_within_a_call_of_tvms(repository: Path) -> None:
    """In a separate process, because a lost interrupt would end the test run."""
    code = """
import signal
from tvmopt.pipeline.support.interrupts import interruptible
from tvmopt.pipeline.support.tvm import import_runtime
ffi = import_runtime()

def press():
    signal.raise_signal(signal.SIGINT)

@ffi.convert
def work():
    try:
        press()
    except KeyboardInterrupt:
        raise RuntimeError from None  # as TVM's compiler makes of it

try:
    with interruptible():
        work()
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout == "interrupted\n"


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="a reason"), interruptible():
        raise RuntimeError("a reason")
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_waits_for_the_end_of_the_block() -> None:
    done = []

    def work() -> None:
        with ctrl_c_later():
            signal.raise_signal(signal.SIGINT)
            done.append("the rest")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["the rest"]


def test_in_another_thread_nothing_changes() -> None:
    seen = []

    def work() -> None:
        with ctrl_c_later(), interruptible():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
