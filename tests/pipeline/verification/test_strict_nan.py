"""With `strict_nan`, a NaN or infinity touches what it does in onnxruntime, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.artifact.loaded import load_artifact
from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.pipeline.graph.optimize import optimize
from tvmopt.pipeline.records.lookup import FirstMatch
from tvmopt.pipeline.records.record import Record, target_facts
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.support.numeric_error import numeric_error
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.support.tolerances import COMPILED
from tvmopt.pipeline.tasks.bind import bind
from tvmopt.pipeline.tasks.choose_configs import choose_configs
from tvmopt.pipeline.tasks.extract import extract_tasks
from tvmopt.pipeline.types import ImportedModel
from tvmopt.pipeline.verification.verify import verify
from tvmopt.schedules.registry import kernel_for
from tvmopt.schedules.target import parse_target

USUAL = parse_target("llvm", 2)
STRICT = replace(USUAL, strict_nan=True)
SHAPE = (1, 32, 13, 12)


@pytest.fixture
def model(model_from: Any, weights: Any) -> ImportedModel:
    """A convolution that Winograd's algorithm suits, then a transposed one to one channel; one in groups."""
    nodes = [
        ("Conv", "x v", "c", {"pads": [1] * 4}),
        ("Relu", "c", "r"),
        ("ConvTranspose", "r w", "t", {"strides": [2, 2]}),
        ("Conv", "x g", "s", {"group": 16}),
        ("Neg", "s", "n"),
    ]
    constants = {"v": weights(32, 32, 3, 3) / 17, "w": weights(32, 1, 3, 3) / 17, "g": weights(16, 2, 3, 3)}
    made: ImportedModel = model_from(
        {"nodes": nodes, "inputs": {"x": SHAPE}, "outputs": "r t n", "constants": constants}
    )
    return made


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_where_it_belongs(model: ImportedModel, tmp_path: Path, value: float) -> None:
    compiled = {}
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    x[0, 3, 5, 7] = value
    for target in (USUAL, STRICT):
        path = tmp_path / f"{target.strict_nan}.tar"
        report = compile_model(model, target, None, path)
        artifact = load_artifact(path)
        compiled[target.strict_nan] = artifact.run({"x": x})
        assert ("winograd" in {choice.algorithm for choice in report.choices}) is not target.strict_nan
        assert artifact.manifest["target"].get("strict_nan", False) is target.strict_nan
    for name, wanted in run_model(model.original, {"x": x}).items():
        assert COMPILED.allows(numeric_error(wanted, compiled[True][name]), wanted.dtype)
        spared = np.isfinite(wanted).sum() - np.isfinite(compiled[False][name]).sum()
        # Groups that share a vector spread nothing; without the others the test would show nothing.
        assert spared == 0 if name == "n" else spared > 0


def test_verify_knows_the_layers_of_a_strict_artifact(model: ImportedModel, tmp_path: Path) -> None:
    compile_model(model, STRICT, None, tmp_path / "a.tar")
    found = verify(model, load_artifact(tmp_path / "a.tar"), {"x": np.ones(SHAPE, np.float32)})
    assert found.first_wrong is None
    assert found.covered == found.layers
    assert {layer for entry in found.uncompared for layer in entry.step.layers} == {"Conv3"}  # its groups


def test_records_of_other_algorithms_still_count(model: ImportedModel, tmp_path: Path) -> None:
    """Both kinds of target share records; where NaN is strict, the fastest of those that are allowed is taken."""
    task = next(task for task in extract_tasks(bind(optimize(model, USUAL))) if task.workload.op == "conv2d")
    kernel = kernel_for(task.workload, USUAL)
    strict = kernel_for(task.workload, STRICT)
    configs = list(kernel.space)
    direct = next(config for config in configs[3:] if strict.space.contains(config))
    winograd = next(config for config in configs if kernel.algorithm(config)[0] == "winograd")
    assert not strict.space.contains(winograd)
    store = RecordStore(tmp_path, "model")
    slow = ((kernel.default, 1e-3), (strict.default, 1e-3))
    for config, latency_s in (*slow, (direct, 2e-6), (winograd, 1e-6)):
        store.append(
            Record(
                task.workload,
                USUAL.key,
                target_facts(USUAL),
                kernel.template.name,
                kernel.template.version,
                config,
                "ok",
                (latency_s,) * 5,
                "",
                "2026-01-01T00:00:00+00:00",
                "0.27",
                "some processor",
            )
        )
    for target, wanted in ((USUAL, winograd), (STRICT, direct)):
        (choice,) = choose_configs((task,), target, FirstMatch((RecordStore(tmp_path),)), transfer=False)
        assert (choice.origin, dict(choice.config)) == ("record", dict(wanted))
