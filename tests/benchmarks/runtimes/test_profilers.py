"""Every runtime's profiler on a small network, in a worker: kernels, times, and the layers that they cover."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from tvmopt.benchmarks.machine.environment import usable_cores
from tvmopt.benchmarks.measurements.layer_profile import LayerProfile
from tvmopt.benchmarks.runtimes.base import Job
from tvmopt.benchmarks.runtimes.registry import RUNTIMES, find_runtime
from tvmopt.benchmarks.workers.supervisor import WorkerHandle
from tvmopt.pipeline.types import ImportedModel

pytestmark = pytest.mark.slow  # a process or two for each test

SECONDS = 0.3
READY_S = 120.0

Profile = Callable[[str], LayerProfile]

JOBS: dict[str, Job] = {}
# There are no records of this network.
PROFILED = [
    runtime.name
    for runtime in RUNTIMES
    if runtime.profiler and not runtime.uses_records and not runtime.refusal("python")
]
BLOCK = {"block.conv/Conv", "block.last/Conv", "block.down/Conv", "block/Add"}


@functools.cache
def profiled(name: str, folder: str) -> LayerProfile:
    """The runtime's profile of the job recorded for `folder`; computed once."""
    job = JOBS[folder]
    missing = find_runtime(name).missing()
    if missing:
        pytest.skip(missing)
    with WorkerHandle(name, usable_cores()[:1]) as worker:
        if find_runtime(name).prepared != "never":
            assert worker.ask({"do": "prepare", "job": job.to_json()}, READY_S)["missing"] == ""
        reply = worker.ask({"do": "profile", "job": job.to_json(), "seconds": SECONDS}, READY_S)
    return LayerProfile.from_json(reply["profile"])


@pytest.fixture(name="profile")
def _profile(job: Job) -> Profile:
    JOBS[job.folder] = job
    return lambda name: profiled(name, job.folder)


def kernels_of(profile: LayerProfile, layer: str) -> list[str]:
    return [kernel.kind for kernel in profile.kernels if layer in kernel.layers]


@pytest.mark.parametrize("name", [name for name in PROFILED if not find_runtime(name).quantized])
def test_kernels_cover_all_layers(name: str, profile: Profile, network: ImportedModel) -> None:
    found = profile(name)
    layers = {node.name for node in network.original.graph.node}
    covered = [layer for kernel in found.kernels for layer in kernel.layers]
    assert set(covered) <= layers
    assert set(covered) >= BLOCK
    assert found.mapped >= 0.98
    assert all(kernel.seconds >= 0 for kernel in found.kernels)
    assert found.kernels_s > 0
    assert found.whole_s > 0
    # If kernels were timed twice, or together with the gaps between them, they would not add up. Other programs that
    # run here must not matter.
    assert 0.2 < found.sum_over_whole < 5


def test_tvmopt_reports_algorithm_and_config(profile: Profile) -> None:
    found = profile("tvmopt-untuned")
    (stem,) = (kernel for kernel in found.kernels if kernel.layers[0] == "stem/Conv" and kernel.kind == "conv2d direct")
    assert stem.detail.startswith("default: ")
    assert " columns " in stem.detail
    assert "sigmoid" in stem.layers


def test_pytorch_functions_are_those_of_their_modules(profile: Profile) -> None:
    found = profile("pytorch")
    assert [(kernel.name, kernel.kind, kernel.layers) for kernel in found.kernels[:9]] == [
        ("stem", "aten::conv2d", ("stem/Conv",)),
        ("forward", "aten::sigmoid", ("sigmoid",)),
        ("block.conv", "aten::conv2d", ("block.conv/Conv",)),
        ("block.norm", "aten::batch_norm", ("block.conv/Conv",)),
        ("block.relu", "aten::relu", ("block.relu/Relu",)),
        ("block.last", "aten::conv2d", ("block.last/Conv",)),
        ("block.down", "aten::conv2d", ("block.down/Conv",)),
        ("block", "aten::add", ("block/Add",)),
        ("block.relu", "aten::relu", ("block.relu/Relu_1",)),
    ]


def test_pytorch_operators_are_counted_without_those_inside_them(profile: Profile) -> None:
    found = profile("pytorch")
    operators = {operator.name: operator for operator in found.operators}
    assert operators["aten::conv2d"].calls == 4
    assert operators["aten::sigmoid"].calls == 1
    assert operators["aten::addmm"].calls == 1  # inside of linear
    # What computes takes longer than what only calls it.
    assert "conv" in found.operators[0].name
    assert found.operators[0].calls == 4
    assert found.operators[0].seconds > operators["aten::conv2d"].seconds
    times = [operator.seconds for operator in found.operators]
    assert times == sorted(times, reverse=True)
    # Without those inside, nothing counts twice.
    assert 0.2 < sum(times) / found.kernels_s < 2


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "tvmopt-untuned"])
def test_operators_of_other_runtimes_are_their_kernels_by_kind(name: str, profile: Profile) -> None:
    found = profile(name)
    assert not found.inner
    assert sum(operator.calls for operator in found.operators) == len(found.kernels)
    assert sum(operator.seconds for operator in found.operators) == pytest.approx(found.kernels_s)
    assert {operator.name for operator in found.operators} == {kernel.kind or kernel.name for kernel in found.kernels}


def test_onnxruntime_names_what_it_fused(profile: Profile) -> None:
    found = profile("onnxruntime")
    assert kernels_of(found, "block.relu/Relu") == kernels_of(found, "block.conv/Conv") == ["Conv"]
    assert "Gemm" in kernels_of(found, "head/Gemm")[0]


def test_openvino_reports_kernel_and_precision(profile: Profile) -> None:
    found = profile("openvino")
    convolutions = [kernel for kernel in found.kernels if kernel.kind == "Convolution"]
    assert len(convolutions) == 4
    assert all(kernel.detail.endswith("f32") for kernel in convolutions)
    (fused,) = (kernel for kernel in convolutions if "block/Add" in kernel.layers)
    assert "block.relu/Relu_1" in fused.layers


@pytest.mark.parametrize("name", [name for name in PROFILED if find_runtime(name).quantized])
@pytest.mark.slow
def test_quantised_kernels_are_mapped_too(name: str, profile: Profile) -> None:
    found = profile(name)
    assert {layer for kernel in found.kernels for layer in kernel.layers} >= BLOCK
    assert found.mapped >= 0.98
