"""Every runner computes on other inputs than those that it was loaded with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tvmopt.benchmarks.machine.environment import usable_cores
from tvmopt.benchmarks.measurements.options import CompareOptions
from tvmopt.benchmarks.runtimes import registry
from tvmopt.benchmarks.runtimes.base import Runtime
from tvmopt.benchmarks.workers.prepare import prepare_runtime
from tvmopt.benchmarks.workers.prepared_model import PreparedModel, make_subject
from tvmopt.benchmarks.workers.supervisor import WorkerHandle
from tvmopt.benchmarks.workers.worker import output_key
from tvmopt.pipeline.support.npz import load_arrays, save_arrays
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.support.tolerances import COMPILED
from tvmopt.pipeline.types import ImportedModel

READY_S = 240.0


def of_their_own() -> list[Runtime]:
    """The runtimes, but of those that set inputs by the same method only the first."""
    methods: dict[object, Runtime] = {}
    for runtime in sorted(registry.RUNTIMES, key=lambda runtime: runtime.quantized):
        methods.setdefault(type(runtime.runner()).set_inputs, runtime)
    return list(methods.values())


@pytest.fixture(scope="module")
def subject(network: ImportedModel, tmp_path_factory: pytest.TempPathFactory) -> PreparedModel:
    """A small network in PyTorch."""
    return make_subject(network, 1, tmp_path_factory.mktemp("subject"), CompareOptions("net.py:build"), calibrate=False)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", of_their_own(), ids=lambda runtime: runtime.name)
def test_it_computes_on_other_inputs(runtime: Runtime, subject: PreparedModel, tmp_path: Path) -> None:
    missing = runtime.refusal("python") or runtime.missing()
    if missing:
        pytest.skip(missing)
    cores = tuple(usable_cores()[:1])
    assert prepare_runtime(subject, runtime, cores, [], READY_S).failure == ""
    job, (spec,) = subject.job(runtime, 1), subject.model.inputs
    given = np.random.default_rng(3).standard_normal((3, *spec.shape), np.float32)
    save_arrays(tmp_path / "inputs.npz", {spec.name: given})
    files = {"inputs": str(tmp_path / "inputs.npz"), "outputs": str(tmp_path / "outputs.npz")}
    with WorkerHandle(runtime.name, cores) as worker:
        worker.ask({"do": "load", "job": job.to_json(), "outputs": str(tmp_path / "first.npz")}, READY_S)
        worker.ask({"do": "infer", **files}, READY_S)
    made = load_arrays(tmp_path / "outputs.npz")
    for batch, one in enumerate(given):
        (expected,) = run_model(subject.model.original, {spec.name: one}).values()
        error = np.abs(made[output_key(batch, 0)] - expected).max()
        assert error < COMPILED.float32 * np.abs(expected).max()
