"""The program's end of a channel: receives commands and sends answers, in a program that a device started."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

from tvmopt.pipeline.devices.channel import GREETING

_PR_SET_PDEATHSIG = 1


class Server:
    """This process's end of its channel; create it first of all, before anything can print."""

    def __init__(self) -> None:
        if sys.platform == "linux":
            # The kernel ends this process when its parent ends, even while it hangs or is suspended.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        # Libraries may print; that must not reach the channel.
        os.dup2(2, 1)
        self._write(GREETING)

    def serve(self, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Answers commands, one at a time, until the input ends."""
        for line in sys.stdin:
            command = json.loads(line)
            self._write(json.dumps({**answer(command), "serial": command["serial"]}))

    def serve_each(self, answers: Callable[[dict[str, Any]], Iterable[dict[str, Any]]]) -> None:
        """As `serve`, with several answers to a command, each sent as soon as it is there."""
        for line in sys.stdin:
            command = json.loads(line)
            for one in answers(command):
                self._write(json.dumps({**one, "serial": command["serial"]}))

    def give(self, result: Any) -> None:
        """Sends a result without a command, in a program that is run only for this result."""
        self._write(json.dumps({"result": result, "serial": 0}))

    def _write(self, line: str) -> None:
        self._answers.write(line + "\n")
        self._answers.flush()
