"""Checks and measurements; `nox -l` lists them.

Each session has an environment of its own, made once and used again. In an environment that has everything already,
``nox --no-venv`` runs them there: that is what `.ci/run` does.
"""

import nox

nox.options.sessions = ["lint", "types", "quick"]
nox.options.reuse_venv = "yes"


def install(session: nox.Session) -> None:
    """Install the project with all that works together, unless the session runs where nox does."""
    if session.virtualenv.venv_backend != "none":
        session.install("-e", ".[all,dev]")


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format, import layers, and what every file must keep to."""
    install(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-cache")
    session.run("pytest", "-q", "tests/house/test_files.py")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict, over the four packages."""
    install(session)
    session.run("mypy", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """The whole test suite."""
    install(session)
    session.run("pytest", "--durations=15", *session.posargs)


@nox.session
def quick(session: nox.Session) -> None:
    """The tests that take seconds."""
    install(session)
    session.run("pytest", "-m", "not slow", "--durations=10", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """What the README's numbers come from; give the suite's arguments after ``--``."""
    install(session)
    session.run("python", "-m", "benchmarks.suite", *session.posargs)
    if not session.posargs:
        session.run("python", "-m", "benchmarks.tuners")
        session.run("python", "-m", "benchmarks.transfer")
        session.run("python", "-m", "benchmarks.kernels")


@nox.session
def demo(session: nox.Session) -> None:
    """MobileNetV2 tuned, compiled and compared."""
    install(session)
    session.run("tvmopt", "demo", *session.posargs)
