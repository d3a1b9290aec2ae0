"""The config of each task, the golden pair, the linker, and the number of builds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from tests import tiny
from tvmopt.pipeline.artifact.format import read_parts
from tvmopt.pipeline.compiler import compile as compiling
from tvmopt.pipeline.compiler.build import kernel_library
from tvmopt.pipeline.compiler.compile import build_library, compile_model
from tvmopt.pipeline.compiler.kernels.forge import Forge
from tvmopt.pipeline.compiler.native import link
from tvmopt.pipeline.errors import BuildError, WrongResultError
from tvmopt.pipeline.graph.optimize import optimize
from tvmopt.pipeline.importers.golden import golden_pair
from tvmopt.pipeline.records.lookup import FirstMatch
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.support.cache import Cache
from tvmopt.pipeline.support.tvm import import_compiler
from tvmopt.pipeline.tasks.bind import bind
from tvmopt.pipeline.tasks.choose_configs import choose_configs
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import Target, parse_target


@pytest.fixture(scope="module")
def target() -> Target:
    return parse_target("llvm", 2)


def test_the_best_record_that_matches_exactly(target: Target, tmp_path: Path) -> None:
    first, second = tiny.tasks(target)
    config = tiny.another_config(first, target)
    default = template_for(first.workload, target).default(first.workload, target)
    store = RecordStore(tmp_path)
    store.append(tiny.record(first, target, default, latency_s=2e-6))
    store.append(tiny.record(first, target, config, latency_s=1e-6))
    chosen = choose_configs((first, second), target, store)
    assert [choice.origin for choice in chosen] == ["record", "default"]
    assert dict(chosen[0].config) == dict(config)
    assert chosen[0].latency_s == 1e-6
    assert chosen[1].latency_s is None


def test_records_that_do_not_match_are_left(target: Target, tmp_path: Path) -> None:
    task = tiny.tasks(target)[0]
    config = tiny.another_config(task, target)
    version = template_for(task.workload, target).version
    store = RecordStore(tmp_path)
    store.append(tiny.record(task, parse_target("llvm", 3), config))
    for change in (
        lambda record: replace(record, template_version=version + 1),
        lambda record: replace(record, template="another"),
        lambda record: replace(record, status="wrong", latency_s=(), error="relative error 1"),
        lambda record: replace(record, config={**config, next(iter(config)): 12345}),
    ):
        store.append(tiny.record(task, target, config, change=change))
    (choice,) = choose_configs((task,), target, store)
    assert choice.origin == "default"
    (choice,) = choose_configs((task,), target, None)
    assert choice.origin == "default"


def test_the_first_store_that_has_a_match_decides(target: Target, tmp_path: Path) -> None:
    task = tiny.tasks(target)[0]
    default = template_for(task.workload, target).default(task.workload, target)
    mine, shipped = RecordStore(tmp_path / "mine"), RecordStore(tmp_path / "shipped")
    shipped.append(tiny.record(task, target, default, latency_s=1e-9))
    both = FirstMatch((mine, shipped))
    assert choose_configs((task,), target, both)[0].latency_s == 1e-9
    mine.append(tiny.record(task, target, default, latency_s=1e-2))
    mine.append(tiny.record(task, target, tiny.another_config(task, target), latency_s=1e-3))
    assert choose_configs((task,), target, both)[0].latency_s == 1e-3


@pytest.mark.parametrize(("gain", "applies"), [(1.02, False), (1.2, True)])
def test_another_config_than_the_default_has_to_be_clearly_faster(
    target: Target, tmp_path: Path, gain: float, applies: bool
) -> None:
    task, store = tiny.tasks(target)[0], RecordStore(tmp_path)
    default = template_for(task.workload, target).default(task.workload, target)
    another = tiny.another_config(task, target)
    store.append(tiny.record(task, target, default, latency_s=1e-3))
    store.append(tiny.record(task, target, another, latency_s=1e-3 / gain))
    (choice,) = choose_configs((task,), target, store)
    assert choice.origin == "record"
    assert dict(choice.config) == dict(another if applies else default)


def test_related_records_choose_where_none_matches(target: Target, tmp_path: Path) -> None:
    first, second = tiny.tasks(target)
    faster = tiny.store_related(tmp_path, target)
    related = RecordStore(tmp_path)
    chosen = choose_configs((first, second), target, related)
    assert [choice.origin for choice in chosen] == ["transfer", "transfer"]
    assert all(choice.latency_s is None for choice in chosen)
    assert dict(chosen[0].config) == dict(faster[first.name])
    for choice in chosen:
        assert template_for(choice.task.workload, target).space(choice.task.workload, target).contains(choice.config)
    left = choose_configs((first, second), target, related, transfer=False)
    assert [choice.origin for choice in left] == ["default", "default"]


def test_a_record_takes_precedence_over_a_transfer(target: Target, tmp_path: Path) -> None:
    task = tiny.tasks(target)[0]
    tiny.store_related(tmp_path / "shipped", target)
    default = template_for(task.workload, target).default(task.workload, target)
    mine = RecordStore(tmp_path / "mine")
    mine.append(tiny.record(task, target, default))
    both = FirstMatch((mine, RecordStore(tmp_path / "shipped")))
    (choice,) = choose_configs((task,), target, both)
    assert choice.origin == "record"
    assert dict(choice.config) == dict(default)
    nothing = RecordStore(tmp_path / "nothing")
    (choice,) = choose_configs((task,), target, FirstMatch((nothing, *both.stores[1:])))
    assert choice.origin == "transfer"


def test_the_golden_pair_is_the_original_models() -> None:
    model = tiny.load(tiny.TWO_OUTPUTS)
    inputs, outputs = golden_pair(model)
    assert list(inputs) == ["x", "z"]
    session = onnxruntime.InferenceSession(model.original.SerializeToString(), providers=["CPUExecutionProvider"])
    for name, array in zip(["sum", "maps"], session.run(["sum", "maps"], inputs), strict=True):
        np.testing.assert_array_equal(outputs[name], array)


def test_the_report(target: Target, tmp_path: Path) -> None:
    model = tiny.load()
    report = compile_model(model, target, None, tmp_path / "out.tar")
    assert report.path == tmp_path / "out.tar"
    assert report.imported_layers == ()
    assert {choice.task.workload.op for choice in report.choices} == {"conv2d", "relayout"}
    # Beside inputs and outputs, only the ReLU's result needs memory, in blocks.
    assert sum(report.storage_bytes) >= 16 * 14 * 14 * 4
    on_gpu = compile_model(model, parse_target("cuda"), None, tmp_path / "cuda.tar")
    assert on_gpu.choices == ()
    assert len(on_gpu.imported_layers) == 3


def test_the_manifest_says_what_the_artifact_was_made_from(target: Target, tmp_path: Path) -> None:
    model = tiny.load()
    compile_model(model, target, None, tmp_path / "default.tar")
    tiny.store_records(tmp_path / "logs", target)
    compile_model(model, target, RecordStore(tmp_path / "logs"), tmp_path / "tuned.tar")
    default, tuned = (read_parts(tmp_path / name).manifest for name in ("default.tar", "tuned.tar"))
    assert default["model"] == {"name": "two", "source": "two.onnx", "sha256": model.sha256}
    assert default["versions"]["apache-tvm"] == version("apache-tvm")
    assert default["target"]["key"] == target.key
    assert default["target"]["tvm"] == dict(target.tvm)
    assert {task["task"] for task in default["tasks"]} >= {task.name for task in tiny.tasks(target)}
    changed = {key for key in default if default[key] != tuned[key]}
    assert {"records_sha256", "tasks", "library_sha256"} <= changed
    assert changed <= {"records_sha256", "tasks", "library_sha256", "memory"}


def test_builds_compile_shared_kernels_once(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []

    def count(functions: Mapping[str, Any], target: Target, *, checked: bool) -> Any:
        compiled.extend(functions)
        return kernel_library(functions, target, checked=checked)

    monkeypatch.setattr(link, "kernel_library", count)
    import_compiler()  # so that few kernels are made in this process
    bound, forge = bind(optimize(tiny.load(), target)), Forge(Cache(None))
    first, _ = tiny.tasks(target)
    default = build_library(bound, {}, "g++", forge)
    assert len(compiled) == len(set(compiled)) == len(default.steps)
    assert build_library(bound, {}, "g++", forge).content == default.content
    assert len(compiled) == len(default.steps)
    other = build_library(bound, {first.name: tiny.another_config(first, target)}, "g++", forge)
    assert compiled[len(default.steps) :] == [first.name.replace("-", "_")]
    assert other.content != default.content


def test_a_linker_that_fails_is_named(target: Target) -> None:
    with pytest.raises(BuildError, match="compiling the runtime with false failed"):
        build_library(bind(optimize(tiny.load(), target)), {}, "false", Forge(Cache(None)))


def test_an_artifact_with_wrong_outputs_is_not_written(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny.load()
    inputs, outputs = golden_pair(model)
    out = tmp_path / "out.tar"
    for factor, passes in ((1.01, False), (1.0001, True)):
        wrong = {name: array * np.float32(factor) for name, array in outputs.items()}
        monkeypatch.setattr(compiling, "golden_pair", lambda _, wrong=wrong: (inputs, wrong))
        if passes:
            compile_model(model, target, None, out)
        else:
            with pytest.raises(
                WrongResultError, match=r"^output '\w+' of the compiled model differs .* error 0\.0099,"
            ):
                compile_model(model, target, None, out)
        assert out.exists() == passes
