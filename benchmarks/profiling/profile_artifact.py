"""Profiles an existing artifact, without the model that it was compiled from."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvmopt.benchmarks.machine.environment import choose_cores
from tvmopt.benchmarks.machine.roofline import measure_roofline
from tvmopt.benchmarks.measurements.layer_profile import LayerProfile
from tvmopt.benchmarks.measurements.layer_table import LayerTable, NoProfile
from tvmopt.benchmarks.measurements.options import MeasureOptions
from tvmopt.benchmarks.profiling.profile_model import ProfileOptions, open_document
from tvmopt.benchmarks.profiling.profile_runtimes import profile_job
from tvmopt.benchmarks.runtimes.base import Job
from tvmopt.benchmarks.runtimes.tvmopt.profiler import layers_of
from tvmopt.benchmarks.runtimes.tvmopt.untuned import ARTIFACT
from tvmopt.pipeline.errors import BuildError, UsageError
from tvmopt.pipeline.inspection.costs import LayerCost
from tvmopt.pipeline.support.fit import listed_results
from tvmopt.pipeline.support.npz import save_arrays
from tvmopt.pipeline.support.progress import Listener, Steps
from tvmopt.pipeline.types import Step, TensorSpec
from tvmopt.schedules.operators import INTEGERS, OPERATORS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tvmopt.pipeline.artifact.format import ArtifactParts


def profile_artifact(options: ProfileOptions, listener: Listener | None = None) -> dict[str, Any]:
    """Profiles an artifact on its golden inputs; costs are those of its kernels.

    Args:
        options: `model` is the artifact's path; `threads` defaults to the number that it was compiled for; `runtimes`,
            `input_shapes` and `logs` are ignored.
        listener: receives progress; may request a stop.

    Returns:
        A document as described in `benchmarks.profiling.profile_model`, with each kernel's costs at its first layer.

    Raises:
        UsageError: it was compiled for a GPU, or there are more threads than cores.
        InputFileError, RuntimeMissingError: it cannot be read, or cannot run here.
        BuildError: running it failed.
        CancelledError: the listener requested a stop.
    """
    from tvmopt.pipeline.artifact.format import read_parts
    from tvmopt.pipeline.artifact.loaded import check_machine

    path = Path(options.model)
    parts = read_parts(path)
    target = parts.manifest["target"]
    if target["isa"] == "cuda":
        raise UsageError(f"{path} is compiled for a GPU, but only CPU code can be profiled; compile with --target llvm")
    check_machine(path, parts.manifest)
    cores = choose_cores(options.threads or int(target["threads"]))
    document = open_document()
    with Steps(listener, 2) as steps:
        steps.begin("the machine's roofline")
        roofline = measure_roofline(len(cores))
        steps.begin(f"{path.name}: layer by layer")
        profile = _profile(path, parts, cores, options.seconds)
    costs = _costs(parts.manifest)
    shape = parts.manifest["inputs"][0]["shape"] if parts.manifest["inputs"] else []
    batch = max(1, shape[0]) if shape else 1
    table = LayerTable(batch, len(cores), tuple(costs), costs, roofline, {"tvmopt": profile})
    facts = parts.manifest["model"]
    model = {"name": str(facts["name"]), "spec": path.name, "kind": "artifact", "sha256": str(facts["sha256"])}
    notes = {"tvmopt": f"profiled in the first of its {len(parts.sizes())} sizes"} if len(parts.sizes()) > 1 else {}
    return document | {"model": model, "notes": notes} | table.to_json()


def _profile(path: Path, parts: ArtifactParts, cores: Sequence[int], seconds: float) -> LayerProfile:
    with tempfile.TemporaryDirectory(prefix="tvmopt-profile-") as name:
        folder = Path(name)
        (folder / ARTIFACT).symlink_to(path.resolve())
        save_arrays(folder / "inputs.npz", parts.inputs)
        outputs = tuple(str(spec["name"]) for spec in listed_results(parts.manifest))
        job = Job("", str(folder / "inputs.npz"), outputs, 1, len(cores), name)
        profile = profile_job("tvmopt", job, cores, replace(MeasureOptions(), profile_s=seconds))
    if isinstance(profile, NoProfile):
        raise BuildError(f"{path}: {profile.message}")
    return profile


def _costs(manifest: Mapping[str, Any]) -> dict[str, LayerCost]:
    """Costs by layer, in order: a kernel's costs at its first layer, none at its others."""
    costs: dict[str, LayerCost] = {}
    steps = [Step.from_json(step) for step in manifest["steps"]]
    for step, layers in zip(steps, layers_of(steps, manifest), strict=True):
        for index, layer in enumerate(layers):
            first = index == 0
            outputs = tuple(TensorSpec(name, tensor.shape, tensor.dtype) for name, tensor in step.outputs)
            operations, nbytes = (step.flops, step.nbytes) if first else (0, 0)
            counts = (0, operations) if OPERATORS.get(step.operator) in INTEGERS else (operations, 0)
            kept = costs.get(layer)
            if kept is None or kept.operations + kept.read_bytes < operations + nbytes:
                costs[layer] = LayerCost(layer, step.operator, (), outputs if first else (), *counts, 0, nbytes, 0)
    return costs
