"""Checks and measurements; `nox -l` lists them.

Each session has its own environment, made once and reused. `.ci/run` instead runs them with ``nox --no-venv`` in one
environment that already has everything.
"""

import shutil
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "quick"]
nox.options.reuse_venv = "yes"

TWO_AT_ONCE = ("--numprocesses=2", "--dist=worksteal")
"""Two processes run the tests: most of them use one core. Neighbours stay together, so they share what is compiled."""


def install(session: nox.Session) -> None:
    """Install the project with every compatible extra, unless the session runs in nox's own environment."""
    if session.virtualenv.venv_backend != "none":
        session.install("-e", ".[all,dev]")


def assemble() -> Path:
    """Link the four folders into the layout of the installed package.

    Mypy and import-linter do not follow an editable installation's import finder.
    """
    root = Path(__file__).resolve().parent
    assembled = root / "build" / "assembled"
    shutil.rmtree(assembled, ignore_errors=True)
    (assembled / "tvmopt").mkdir(parents=True)
    for source in (*(root / "tvmopt").iterdir(), root / "benchmarks", root / "pipeline", root / "schedules"):
        (assembled / "tvmopt" / source.name).symlink_to(source)
    return assembled


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format, import layers, and the rules for every file."""
    install(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("pytest", "-q", "tests/house/test_files.py")
    session.chdir(assemble())
    session.run("lint-imports", "--no-cache", "--config", "../../setup.cfg")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict, over the whole package."""
    install(session)
    session.chdir(assemble())
    session.run("mypy", "--config-file", "../../setup.cfg", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """The whole test suite, and how much of the code its quick tests cover.

    Before Python 3.12, coverage costs the interpreter a third of its speed, so the slow tests run without it. Given
    arguments for pytest, the session runs only those tests, all without coverage.
    """
    install(session)
    if session.posargs:
        session.run("pytest", "--durations=15", *session.posargs)
        return
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "-m", "not slow", "--durations=15", *TWO_AT_ONCE)
    session.run("pytest", "-m", "slow", "--durations=15", *TWO_AT_ONCE)
    session.run("coverage", "combine", "--quiet")
    total = session.run("coverage", "report", "--format=total", silent=True)
    session.log(f"the quick tests cover {str(total).strip()} % of the lines; `coverage report` lists them by file")


@nox.session
def quick(session: nox.Session) -> None:
    """The tests that take seconds."""
    install(session)
    session.run("pytest", "-m", "not slow", "--durations=10", *(session.posargs or TWO_AT_ONCE))


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the README's numbers; after ``--``, the suite's arguments, or ``--literature`` and that command's."""
    install(session)
    if session.posargs[:1] == ["--literature"]:
        session.run("python", "-m", "tvmopt.benchmarks.suite.literature", *session.posargs[1:])
        return
    session.run("python", "-m", "tvmopt.benchmarks.suite", *session.posargs)
    if not session.posargs:
        session.run("python", "-m", "tvmopt.benchmarks.suite.tuners")
        session.run("python", "-m", "tvmopt.benchmarks.suite.transfer")
        session.run("python", "-m", "tvmopt.benchmarks.suite.kernels")


@nox.session
def conformance(session: nox.Session) -> None:
    """ONNX's own tests of its operators, beside ONNX Runtime: of all, or of those named after ``--``."""
    install(session)
    session.run("python", "-m", "tvmopt.benchmarks.conformance", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Random graphs, compiled, run and verified beside ONNX Runtime; ``-- --seeds N --from S`` says which.

    Before them, the readers of Caffe's and MXNet's files on many damaged and senseless ones.
    """
    install(session)
    session.run("pytest", "-q", "tests/fuzz/test_readers.py", env={"TVMOPT_FUZZ_EXAMPLES": "3000"})
    session.run("python", "-m", "tests.fuzz", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """MobileNetV2 tuned, compiled and compared."""
    install(session)
    session.run("tvmopt", "demo", *session.posargs)
