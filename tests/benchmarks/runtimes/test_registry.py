"""The list of runtimes."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from tvmopt.benchmarks.runtimes import registry
from tvmopt.benchmarks.runtimes.base import Runtime
from tvmopt.benchmarks.runtimes.onnxruntime.runner import RunOnnxruntime
from tvmopt.benchmarks.runtimes.pytorch.compiled import find_compiler
from tvmopt.pipeline.errors import UsageError
from tvmopt.pipeline.importers.registry import IMPORTERS


def test_names_are_those_of_the_command_line() -> None:
    names = [runtime.name for runtime in registry.RUNTIMES]
    assert names == [
        *("pytorch", "pytorch-compile", "onnxruntime", "openvino", "ncnn", "mnn", "litert"),
        *("onnxruntime-int8", "openvino-int8", "tvmopt-untuned", "tvmopt"),
    ]


def test_selection_keeps_the_lists_order() -> None:
    assert [runtime.name for runtime in registry.select_runtimes(["tvmopt", "pytorch"])] == ["pytorch", "tvmopt"]
    assert registry.select_runtimes([]) == registry.RUNTIMES


def test_unknown_name() -> None:
    with pytest.raises(UsageError, match="unknown runtime 'openvin'; did you mean openvino"):
        registry.select_runtimes(["onnxruntime", "openvin"])


def test_missing_module_says_how_to_install() -> None:
    runtime = Runtime(
        "other", "Other", "FP32", "", ("other",), ("no_such_module",), "pip install other", RunOnnxruntime
    )
    assert runtime.missing() == "no_such_module not installed: pip install other"
    assert runtime.versions() == {}


@pytest.mark.parametrize("runtime", registry.RUNTIMES, ids=lambda runtime: runtime.name)
def test_every_runtime_says_what_it_is(runtime: Runtime) -> None:
    assert runtime.about.endswith(".")
    assert runtime.install.startswith("pip install")
    assert runtime.prepared in ("never", "per batch", "per threads")


def test_every_importers_original_runtime_is_there_and_takes_its_models() -> None:
    for importer in IMPORTERS:
        if importer.original_runtime:
            assert registry.find_runtime(importer.original_runtime).refusal(importer.kind) is None


def test_kinds_of_models_are_those_of_the_importers() -> None:
    known = {importer.kind for importer in IMPORTERS}
    for runtime in registry.RUNTIMES:
        assert set(runtime.kinds or ()) <= known
        for importer in IMPORTERS:
            taken = runtime.kinds is None or importer.kind in runtime.kinds
            refusal = f"not applicable: the model is {importer.title}"
            assert runtime.refusal(importer.kind) == (None if taken else refusal)


def test_litert_says_where_its_converter_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("ai-edge-litert is not installed")
    monkeypatch.setenv("TVMOPT_LITERT_PYTHON", "/no/such/python")
    missing = registry.find_runtime("litert").missing()
    assert missing is not None
    assert missing.startswith("TVMOPT_LITERT_PYTHON=/no/such/python is no Python: ")
    monkeypatch.delenv("TVMOPT_LITERT_PYTHON")
    missing = registry.find_runtime("litert").missing()
    assert missing is None or missing.startswith("litert-torch, its converter, not installed: ")
    monkeypatch.setenv("TVMOPT_LITERT_PYTHON", sys.executable)
    assert registry.find_runtime("litert").missing() is None


def test_torch_compile_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert find_compiler() is None
    missing = registry.find_runtime("pytorch-compile").missing()
    assert missing is not None
    assert "needs a C++ compiler" in missing or "not installed" in missing
