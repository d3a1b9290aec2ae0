"""A program for the contract test: it obeys commands to behave well or badly."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tvmopt.pipeline.devices.serve import Server


def answer(command: dict[str, Any]) -> dict[str, Any]:
    """The answer that `command` requests under ``do``."""
    what = command["do"]
    if what == "digest":
        return {"digest": hashlib.sha256(Path(command["path"]).read_bytes()).hexdigest()}
    if what == "environment":
        return {"variables": dict(os.environ), "arguments": sys.argv[1:]}
    if what == "spawn":
        return {"pid": subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL).pid}
    if what == "print":
        sys.stdout.write("printed by Python\n")
        sys.stdout.flush()
        os.write(1, b'{"serial": 1}\n')
    if what == "kill":
        os.kill(os.getpid(), command["signal"])
    if what == "exit":
        sys.stderr.write("the last word\n")
        sys.stderr.flush()
        os._exit(command["code"])
    if what == "sleep":
        time.sleep(command["seconds"])
    return {"echo": command, "pid": os.getpid()}


if __name__ == "__main__":
    if "--garbage" in sys.argv:
        os.write(1, b'Welcome!\n{"serial": 1}\nno newline at the end of this: ')
    if "--silent" in sys.argv:
        os.write(1, b"a login script's last line\n")
        sys.exit(3)
    server = Server()
    if "--once" in sys.argv:
        server.give({"threads": os.environ["TVM_NUM_THREADS"]})
    elif "--nonsense" in sys.argv:
        os.write(server._answers.fileno(), b"no JSON\n")
        time.sleep(600)
    else:
        server.serve(answer)
