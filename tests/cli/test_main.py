"""The command group: help without imports, unknown commands, and the exit code for each kind of end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tests.conftest import RunTvmopt
from tvmopt import __version__
from tvmopt.cli import COMMANDS, compare, demo, main, run, tune
from tvmopt.cli import compile as compiling
from tvmopt.pipeline import errors

HEAVY = ("jinja2", "matplotlib", "numpy", "onnx", "onnxruntime", "openvino", "rich", "torch", "tvm", "xgboost")


def loaded_by(statement: str, repository: Path) -> set[str]:
    """Which of `HEAVY` a new interpreter has loaded after `statement`."""
    code = f"{statement}\nimport sys\nprint('loaded:', *(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


def end_with(error: BaseException | None) -> click.Group:
    """A group whose one command, ``act``, raises `error`."""

    @click.command()
    @click.option("--count", type=int)
    def act(count: int | None) -> None:
        click.echo(f"count is {count}")
        if error is not None:
            raise error

    return click.Group("tvmopt", commands={"act": act})


def test_help_loads_nothing_heavy(repository: Path) -> None:
    assert loaded_by("from tvmopt.cli import main; main(['--help'])", repository) == set()


def test_help_lists_every_command_and_exit_code(run_tvmopt: RunTvmopt) -> None:
    done = run_tvmopt("--help")
    assert done.returncode == 0
    for name, summary in COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert summary in done.stdout
    for code, meaning in errors.EXIT_CODES.items():
        assert f"  {code} " in done.stdout
        assert meaning in done.stdout


def test_help_is_shown_when_nothing_is_asked(run_tvmopt: RunTvmopt) -> None:
    done = run_tvmopt()
    assert done.returncode == 2
    assert "Commands:" in done.stderr


def test_help_of_every_command(repository: Path) -> None:
    """Importing a command and showing its help loads neither a framework nor TVM."""
    calls = [f"assert main([{name!r}, '--help']) == 0" for name in COMMANDS]
    loaded = loaded_by("\n".join(["from tvmopt.cli import main", *calls]), repository)
    assert loaded <= {"numpy", "rich"}


def test_runtimes_are_listed_without_loading_any(repository: Path) -> None:
    assert loaded_by("from tvmopt.cli import main; assert main(['runtimes']) == 0", repository) <= {"numpy"}


def test_version(run_tvmopt: RunTvmopt) -> None:
    assert run_tvmopt("--version").stdout.split()[-1] == __version__


@pytest.mark.parametrize(("given", "nearest"), [("tuen", "tune"), ("comple", "compile"), ("target", "targets")])
def test_unknown_command_names_the_nearest(given: str, nearest: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([given]) == errors.UsageError.exit_code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"tvmopt: error: unknown command {given!r}; did you mean {nearest}")
    assert err.count("\n") == 1


def test_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["act", "--count", "3"], end_with(None)) == 0
    assert capsys.readouterr().out == "count is 3\n"


ERRORS = [kind for kind in errors.TvmoptError.__subclasses__() if kind is not errors.CancelledError]


@pytest.mark.parametrize("kind", [errors.TvmoptError, *ERRORS])
def test_user_errors_print_one_line(kind: type[errors.TvmoptError], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["act"], end_with(kind("weights.onnx ends early\nat byte 17"))) == kind.exit_code
    assert capsys.readouterr().err == "tvmopt: error: weights.onnx ends early at byte 17\n"
    assert kind.exit_code in errors.EXIT_CODES


@pytest.mark.parametrize("arguments", [["--count", "many"], ["--cuont", "3"], ["surplus"]])
def test_wrong_options_are_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["act", *arguments], end_with(None)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tvmopt: error: ")
    assert arguments[-1] in err or arguments[0] in err
    assert err.endswith("(see tvmopt act --help)\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), click.Abort(), errors.CancelledError()])
def test_interrupt_says_that_what_was_done_is_kept(stop: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["act"], end_with(stop)) == 130
    assert capsys.readouterr().err.strip() == "tvmopt: stopped with Ctrl-C; what was done is kept"


def test_interrupt_of_executed_text_is_an_exit_code(repository: Path, tmp_path: Path) -> None:
    """Python itself would end with a signal, after we handled the exception."""
    (tmp_path / "stopped.py").write_text(
        "import sys\nimport click\nfrom tvmopt.cli import main\n"
        "@click.command()\ndef act(): exec('raise KeyboardInterrupt')\n"
        "sys.exit(main(['act'], click.Group('tvmopt', commands={'act': act})))\n"
    )
    command = [sys.executable, "-m", "stopped"]
    path = os.pathsep.join([str(tmp_path), str(repository)])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
    assert done.stderr.strip() == "tvmopt: stopped with Ctrl-C; what was done is kept"


@pytest.mark.parametrize("bug", [ZeroDivisionError("bug"), EOFError("worker"), AssertionError("bug")])
def test_bugs_keep_their_traceback(bug: Exception) -> None:
    with pytest.raises(type(bug), match=str(bug)):
        main(["act"], end_with(bug))


def test_reader_that_goes_away_is_no_error(repository: Path) -> None:
    """``tvmopt targets | true`` is quiet."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; sys.stdin.read(); from tvmopt.cli import main; sys.exit(main(['targets']))",
        ],
        cwd=repository,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.close()  # it starts to write only now
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_another_broken_pipe_is_a_bug(repository: Path) -> None:
    code = """
import click
from tvmopt.cli import main

@click.command()
def act():
    raise BrokenPipeError("the worker is gone")

main(["act"], click.Group("tvmopt", commands={"act": act}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("BrokenPipeError: the worker is gone\n")


def test_steps_of_the_demo_are_parsed_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got: dict[str, dict[str, Any]] = {}
    steps = {"tune": tune.command, "compile": compiling.command, "run": run.command, "compare": compare.command}

    def follow(name: str, command: click.Command) -> None:
        monkeypatch.setattr(command, "callback", lambda **parameters: got.update({name: parameters}))

    for name, command in steps.items():
        follow(name, command)
    folder = tmp_path / "a demo"
    done = CliRunner().invoke(demo.command, ["-o", str(folder), "--trials", "3", "--time-limit", "90s"])
    assert done.exit_code == 0, done.output
    assert list(got) == list(steps)
    assert (got["tune"]["trials"], got["tune"]["time_limit"]) == (3, 90.0)
    assert got["run"]["check"]
    assert got["run"]["repeat"] == 50
    assert got["compare"]["json_file"] == folder / "mobilenet_v2.json"
    for name in ("tune", "compile"):
        assert (got[name]["logs"], got[name]["input_shape"]) == (folder / "tuning_logs", {})
    assert f"$ tvmopt run '{folder}/mobilenet_v2.tar' --check --repeat 50" in done.output
