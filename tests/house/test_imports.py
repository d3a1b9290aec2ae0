"""Every module can be imported without any framework or other runtime installed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tvmopt
from tvmopt.benchmarks.runtimes.registry import RUNTIMES

OPTIONAL = {
    *("jinja2", "matplotlib", "mxnet", "onnxscript", "PIL", "psutil", "sklearn", "tensorflow"),
    *(module for runtime in RUNTIMES for module in runtime.modules if module not in ("onnx", "tvm")),
}

# A name that is None in sys.modules cannot be imported, as if it were not installed.
IMPORT_ALL = """
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys({optional!r}))
failed = []
for package in ("schedules", "pipeline", "benchmarks", "jobs", "cli"):
    path = importlib.import_module("tvmopt." + package).__path__
    for module in pkgutil.walk_packages(path, f"tvmopt.{{package}}."):
        if not module.name.endswith(".__main__"):
            try:
                importlib.import_module(module.name)
            except ImportError as error:
                failed.append(f"{{module.name}}: {{error}}")
print("\\n".join(failed))
"""


def test_every_module_imports_without_frameworks_and_runtimes(repository: Path) -> None:
    code = IMPORT_ALL.format(optional=OPTIONAL)
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_public_names_are_there() -> None:
    for name in tvmopt.__all__:
        assert getattr(tvmopt, name).__name__ == name


def test_type_checkers_see_the_same_names_as_the_interpreter() -> None:
    tree = ast.parse(Path(tvmopt.__file__).read_text())
    (guarded,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in guarded.body if isinstance(node, ast.ImportFrom)]
    assert {name.asname: node.module for node in imports for name in node.names} == tvmopt._HOMES


def test_unknown_public_name() -> None:
    with pytest.raises(AttributeError, match="module 'tvmopt' has no attribute 'tuen'"):
        getattr(tvmopt, "tuen")  # noqa: B009  # mypy would reject the plain form, as it should
