"""The contract of devices: start programs, accept files, report facts, and handle programs that fail."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.pipeline.devices import puppet
from tests.pipeline.devices.elsewhere import ElsewhereDevice
from tvmopt.pipeline.devices.channel import Channel, WorkerLostError, first_ready
from tvmopt.pipeline.devices.device import Device
from tvmopt.pipeline.devices.facts import Facts
from tvmopt.pipeline.devices.local import LocalDevice
from tvmopt.pipeline.devices.program import Program
from tvmopt.pipeline.devices.registry import DEVICES, LOCAL
from tvmopt.pipeline.devices.run_once import run_once
from tvmopt.pipeline.errors import BuildError
from tvmopt.schedules.target import parse_target

LIMIT_S = 60.0

Start = Callable[..., Channel]


@pytest.fixture(params=[*(device.name for device in DEVICES), "elsewhere"])
def device(request: pytest.FixtureRequest, tmp_path: Path, repository: Path) -> Device:
    """Each registered device, and one that shares nothing with this process but the processor."""
    found = {device.name: device for device in DEVICES}
    return found.get(request.param) or ElsewhereDevice(tmp_path / "elsewhere", repository)


@pytest.fixture
def start(device: Device, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts the puppet with some arguments; ends it after the test."""
    monkeypatch.setenv("PYTHONPATH", str(repository))
    channels: list[Channel] = []

    def start_puppet(*arguments: str) -> Channel:
        channels.append(device.start(Program(puppet.__name__, arguments, 3, {"TVMOPT_TEST": "a b"})))
        return channels[-1]

    yield start_puppet
    for channel in channels:
        channel.close()


def test_names_are_unique() -> None:
    names = [device.name for device in DEVICES]
    assert len(set(names)) == len(names)
    assert isinstance(LOCAL, LocalDevice)
    assert LOCAL in DEVICES


def test_facts(device: Device) -> None:
    facts = device.facts()
    assert Facts.from_json(json.loads(json.dumps(facts.to_json(), allow_nan=False))) == facts
    assert facts == device.facts()
    assert facts.cpu
    assert facts.features
    assert 1 <= facts.cores <= facts.threads
    assert len(set(facts.usable_cores)) == len(facts.usable_cores) <= facts.threads
    assert list(facts.caches) == sorted(facts.caches, key=lambda cache: cache.level)
    assert facts.memory_bytes > 2**28
    assert facts.frequency_hz is None or facts.frequency_hz > 10**8
    assert facts.os
    assert facts.kernel
    assert not facts.can_run(parse_target("cuda"))


def test_this_machine_is_known_and_runs_its_own_code() -> None:
    facts = LOCAL.facts()
    assert facts.can_run(parse_target("llvm"))
    assert facts.threads == psutil.cpu_count()
    assert facts.cores == psutil.cpu_count(logical=False)
    assert facts.memory_bytes == psutil.virtual_memory().total
    assert sorted(facts.usable_cores) == sorted(os.sched_getaffinity(0))


@pytest.mark.parametrize("change", [{"cpu": ""}, {"isa": "mmx"}, {"cores": 0}, {"usable_cores": []}])
def test_impossible_facts(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="at least 1|a machine has"):
        Facts.from_json({**LOCAL.facts().to_json(), **change})


def test_a_program_echoes(start: Start) -> None:
    channel = start()
    assert channel.ask({"do": "echo", "word": "Wörter\n"}, LIMIT_S)["echo"]["word"] == "Wörter\n"
    long = "x" * (1 << 20)  # longer than any pipe holds
    assert channel.ask({"do": "echo", "word": long}, LIMIT_S)["echo"]["word"] == long


def test_arguments_and_environment_arrive(start: Start) -> None:
    told = start("a b", "$HOME", "'").ask({"do": "environment"}, LIMIT_S)
    assert told["arguments"] == ["a b", "$HOME", "'"]
    variables = told["variables"]
    assert (variables["TVM_NUM_THREADS"], variables["OMP_NUM_THREADS"], variables["TVMOPT_TEST"]) == ("3", "1", "a b")
    assert "TVM_USE_RUNTIME_LIB" not in variables


def test_a_sent_file_arrives_whole(device: Device, start: Start, tmp_path: Path) -> None:
    file = tmp_path / "some file.bin"
    file.write_bytes(os.urandom(3 << 20))
    told = start().ask({"do": "digest", "path": device.send(file)}, LIMIT_S)
    assert told["digest"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_output_before_the_greeting_is_ignored(start: Start) -> None:
    assert start("--garbage").ask({"do": "echo", "word": 1}, LIMIT_S)["echo"]["word"] == 1


def test_what_libraries_print_is_no_answer(start: Start) -> None:
    assert "echo" in start().ask({"do": "print"}, LIMIT_S)


def test_an_invalid_answer_is_reported(start: Start) -> None:
    with pytest.raises(WorkerLostError, match="^the worker wrote 'no JSON' in place of an answer$") as caught:
        start("--nonsense").ask({"do": "echo"}, LIMIT_S)
    assert caught.value.status == "crash"


def test_a_program_that_never_greets_is_reported_with_its_last_line(start: Start) -> None:
    channel = start("--silent")
    with pytest.raises(WorkerLostError, match="^the worker ended with code 3: a login script's last line$"):
        channel.receive(LIMIT_S)


def test_a_program_that_is_not_there(device: Device) -> None:
    with (
        device.start(Program("tvmopt.no_such_program")) as channel,
        pytest.raises(WorkerLostError, match="ended with code 1: .*No module named tvmopt.no_such_program"),
    ):
        channel.receive(LIMIT_S)


def test_no_answer_in_time_is_a_timeout_and_the_program_is_gone(start: Start) -> None:
    channel = start()
    pids = [channel.pid, channel.ask({"do": "spawn"}, LIMIT_S)["pid"]]
    channel.send({"do": "sleep", "seconds": 600})
    began = time.monotonic()
    with pytest.raises(WorkerLostError, match=r"^no answer within 0.3 s$") as caught:
        channel.receive(0.3)
    assert caught.value.status == "timeout"
    assert 0.3 <= time.monotonic() - began < 10
    assert all(map(gone, pids))
    assert not channel.alive
    with pytest.raises(WorkerLostError, match="no answer within"):
        channel.send({"do": "echo"})


def test_a_program_that_takes_nothing_does_not_hold_the_sender(start: Start) -> None:
    channel = start()
    channel.send({"do": "sleep", "seconds": 600})
    channel.send({"do": "echo", "word": "x" * (1 << 22)})
    with pytest.raises(WorkerLostError, match="no answer within"):
        channel.receive(0.2)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGILL])
def test_a_crash_says_the_signal(start: Start, number: signal.Signals) -> None:
    with pytest.raises(WorkerLostError, match=f"^the worker was ended by {number.name}$") as caught:
        start().ask({"do": "kill", "signal": int(number)}, LIMIT_S)
    assert (caught.value.status, caught.value.signal, caught.value.code) == ("crash", number.name, None)


def test_an_exit_says_the_code_and_the_last_line(start: Start) -> None:
    with pytest.raises(WorkerLostError, match="^the worker ended with code 7: the last word$") as caught:
        start().ask({"do": "exit", "code": 7}, LIMIT_S)
    assert (caught.value.status, caught.value.signal, caught.value.code) == ("crash", "", 7)


def test_a_suspended_program_answers_after_it_is_resumed(start: Start) -> None:
    channel = start()
    channel.ask({"do": "echo"}, LIMIT_S)
    channel.suspend()
    channel.suspend()
    assert psutil.Process(channel.pid).status() == psutil.STATUS_STOPPED
    channel.resume()
    assert "echo" in channel.ask({"do": "echo"}, LIMIT_S)
    channel.suspend()
    assert "echo" in channel.ask({"do": "echo"}, LIMIT_S)
    channel.suspend()
    channel.close()
    assert gone(channel.pid)


def test_the_first_that_answers_is_found(start: Start) -> None:
    channels = [start(), start()]
    for channel in channels:
        channel.ask({"do": "echo"}, LIMIT_S)
    channels[0].send({"do": "sleep", "seconds": 600})
    channels[1].send({"do": "echo"})
    assert first_ready(channels, LIMIT_S) is channels[1]
    channels[1].receive(LIMIT_S)
    assert first_ready(channels, 0.1) is None
    os.kill(channels[1].pid, signal.SIGKILL)
    assert first_ready(channels, LIMIT_S) is channels[1]


def test_answers_that_nobody_waited_for_are_ignored(start: Start) -> None:
    channel = start()
    for word in range(3):
        channel.send({"do": "echo", "word": word})
    assert channel.receive(LIMIT_S)["echo"]["word"] == 2


def test_a_result_of_a_program_that_is_run_for_it(
    device: Device, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(repository))
    once = Program(puppet.__name__, ("--once",), 5)
    assert run_once(device, once, LIMIT_S, "counting") == {"threads": "5"}
    with pytest.raises(BuildError, match="^counting failed: the worker ended with code 3: a login script's last line$"):
        run_once(device, Program(puppet.__name__, ("--silent",)), LIMIT_S, "counting")
    with pytest.raises(BuildError, match=r"^counting failed: no answer within 0.1 s$"):
        run_once(device, Program(puppet.__name__), 0.1, "counting")


@pytest.mark.parametrize("state", ["idle", "suspended", "hanging"])
def test_no_program_outlives_a_killed_parent(device: Device, repository: Path, tmp_path: Path, state: str) -> None:
    code = f"""
import sys
from pathlib import Path
from tests.pipeline.devices.elsewhere import ElsewhereDevice
from tvmopt.pipeline.devices.program import Program
from tvmopt.pipeline.devices.registry import DEVICES
found = {{device.name: device for device in DEVICES}}
device = found.get({device.name!r}) or ElsewhereDevice(Path({str(tmp_path)!r}) / "other", Path({str(repository)!r}))
channel = device.start(Program({puppet.__name__!r}))
print(channel.pid, channel.ask({{"do": "echo"}}, 60)["pid"], flush=True)
if {state!r} == "suspended":
    channel.suspend()
if {state!r} == "hanging":
    channel.send({{"do": "sleep", "seconds": 600}})
print(flush=True)
sys.stdin.read()
"""
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        pids = list(map(int, parent.stdout.readline().split()))
        parent.stdout.readline()
        assert all(map(psutil.pid_exists, pids))
        parent.kill()
    assert all(map(gone, pids))


def gone(pid: int) -> bool:
    """Whether process `pid` ends soon; a zombie counts as ended."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False
