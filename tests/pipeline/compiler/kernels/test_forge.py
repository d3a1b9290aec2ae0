"""Kernels made side by side, one by one, or found in the cache: always the same artifact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from tvmopt.pipeline.artifact.loaded import load_artifact
from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.pipeline.compiler.kernels import forge as forging
from tvmopt.pipeline.compiler.kernels.forge import Forge
from tvmopt.pipeline.compiler.kernels.job import Job, kernel_job
from tvmopt.pipeline.compiler.kernels.kernel_object import KernelObject
from tvmopt.pipeline.errors import BuildError
from tvmopt.pipeline.support.cache import Cache
from tvmopt.pipeline.types import ImportedModel
from tvmopt.schedules.registry import kernel_for
from tvmopt.schedules.target import Target, parse_target


@pytest.fixture(scope="module")
def target() -> Target:
    return parse_target("llvm", 2)


@pytest.fixture
def mixed(onnx_model: Any, imported: Callable[..., ImportedModel]) -> ImportedModel:
    """Templates' kernels, equal and different layers that TVM lowers, and a view."""
    model = onnx_model(
        ("Conv", "x w", "c", {"pads": [1, 1, 1, 1]}),
        ("Det", "c", "d"),
        ("Cos", "c", "e"),
        ("Cos", "e", "f"),
        ("Flatten", "f", "g"),
        ("MatMul", "g k", "y"),
        inputs={"x": (1, 3, 5, 5)},
        outputs="y d",
        w=np.linspace(-1, 1, 4 * 3 * 3 * 3).reshape(4, 3, 3, 3).astype(np.float32),
        k=np.linspace(-1, 1, 100 * 7).reshape(100, 7).astype(np.float32),
    )
    return imported(model)


def built(model: ImportedModel, target: Target, out: Path, forge: Forge) -> bytes:
    with forge:
        compile_model(model, target, None, out, forge=forge)
    return out.read_bytes()


def test_side_by_side_one_by_one_or_from_the_cache(mixed: ImportedModel, target: Target, tmp_path: Path) -> None:
    def alone(width: int) -> Forge:
        forge = Forge(Cache(None), width)
        forge.start()  # rather than make few kernels in this process
        return forge

    cache = tmp_path / "cache"
    serial = built(mixed, target, tmp_path / "serial.tar", alone(1))
    assert built(mixed, target, tmp_path / "parallel.tar", alone(3)) == serial
    assert built(mixed, target, tmp_path / "first.tar", Forge(Cache(cache))) == serial
    assert built(mixed, target, tmp_path / "second.tar", Forge(Cache(cache))) == serial
    for entry in cache.glob("*/??/*"):
        entry.write_bytes(entry.read_bytes()[:-1] + b"?")
    assert built(mixed, target, tmp_path / "damaged.tar", Forge(Cache(cache))) == serial
    artifact = load_artifact(tmp_path / "parallel.tar")
    for name, made in zip(("y", "d"), artifact.run(artifact.golden_inputs).values(), strict=True):
        np.testing.assert_allclose(made, artifact.golden_outputs[name], rtol=1e-3, atol=1e-4)


def test_nothing_is_made_that_the_cache_has(mixed: ImportedModel, target: Target, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    built(mixed, target, tmp_path / "first.tar", Forge(Cache(cache)))

    class Idle(Forge):
        def _carried_out(self, jobs: Any) -> Any:
            assert not jobs
            return []

    built(mixed, target, tmp_path / "second.tar", Idle(Cache(cache)))


def test_another_config_is_another_kernel(target: Target) -> None:
    task, _ = tiny.tasks(target)
    kernel = kernel_for(task.workload, target)
    first, second = (kernel_job(kernel, dict(c), "a") for c in (kernel.default, tiny.another_config(task, target)))
    again = kernel_job(kernel, kernel.default, "b")
    elsewhere = kernel_job(kernel_for(task.workload, parse_target("llvm", 3)), kernel.default, "a")
    assert first.key == again.key
    assert len({first.key, second.key, elsewhere.key}) == 3
    with Forge(Cache(None)) as forge:
        made = forge.make([first, second, again])
    assert len(made) == 2
    one, other = (KernelObject.from_bytes(made[job.key]) for job in (first, second))
    assert one.symbol == other.symbol == kernel.symbol
    assert one.content != other.content
    assert one.arguments[-1] == (task.workload.output.physical_shape, "float32")


@pytest.mark.parametrize("width", [1, 2])
def test_the_first_failure_is_reported_with_its_layer(target: Target, width: int) -> None:
    task, _ = tiny.tasks(target)
    good = kernel_job(kernel_for(task.workload, target), kernel_for(task.workload, target).default, "good")
    bad = [Job("kernel", f"{name}", {**good.command, "config": {"no": 1}}, name) for name in ("second", "third")]
    with Forge(Cache(None), width) as forge:
        forge.start()
        with pytest.raises(BuildError, match="layer 'second'"):
            forge.make([good, *bad])
        assert len(forge.make([good])) == 1


@pytest.mark.parametrize("width", [1, 2])
def test_what_is_made_before_a_failure_is_kept(target: Target, width: int, tmp_path: Path) -> None:
    task, _ = tiny.tasks(target)
    good = kernel_job(kernel_for(task.workload, target), kernel_for(task.workload, target).default, "good")
    bad = Job("kernel", "key", {**good.command, "config": {"no": 1}}, "bad")
    for order in ([good, bad], [bad, good]):
        cache = Cache(tmp_path / f"{order[0].layer}")
        with Forge(cache, width) as forge:
            forge.start()
            with pytest.raises(BuildError, match="layer 'bad'"):
                forge.make(order)
        assert cache.get(good.kind, good.key) is not None
        assert cache.get(bad.kind, bad.key) is None


def test_what_was_made_is_kept_when_the_worker_is_killed(target: Target, tmp_path: Path) -> None:
    task, other = tiny.tasks(target)
    jobs = [
        kernel_job(kernel_for(one.workload, target), kernel_for(one.workload, target).default, "a")
        for one in (task, other)
    ]
    cache = Cache(tmp_path)
    with Forge(cache, 1) as forge:
        forge.start()
        worker = forge._worker
        assert worker is not None
        receive, answered = worker.receive, []

        def until_first(limit_s: float) -> dict[str, Any]:
            if answered:
                worker.close()
            answered.append(receive(limit_s))
            return answered[-1]

        worker.receive = until_first  # type: ignore[method-assign]
        with pytest.raises(BuildError, match="the program that makes kernels failed"):
            forge.make(jobs)
    kept = [cache.get(job.kind, job.key) is not None for job in jobs]
    assert kept == [True, False]


def test_a_worker_that_ends(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forging, "_MODULE", "tvmopt.pipeline.no_such_module")
    task, _ = tiny.tasks(target)
    job = kernel_job(kernel_for(task.workload, target), kernel_for(task.workload, target).default, "layer")
    with Forge(Cache(None)) as forge:
        forge.start()
        with pytest.raises(BuildError, match="the program that makes kernels failed: .*no_such_module"):
            forge.make([job])
