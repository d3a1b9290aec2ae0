"""The program that builds candidates: keeps TVM loaded, and returns a shared library for each config.

Runs as ``python -m tvmopt.pipeline.tuning.measure.build_worker`` at the other end of a `pipeline.devices.channel`.
Commands: ``target``, ``build``. It never runs a kernel.
"""

from __future__ import annotations

import time
from typing import Any

from tvmopt.pipeline.compiler.native.link import compile_kernel, link_kernel
from tvmopt.pipeline.compiler.native.linker import linker_of
from tvmopt.pipeline.devices.serve import Server
from tvmopt.pipeline.support.tvm import import_compiler
from tvmopt.pipeline.tuning.measure.built_kernel import Argument, BuiltKernel
from tvmopt.schedules.registry import kernel_for
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

NAME = "kernel"


class BuildWorker:
    """Answers commands, one at a time."""

    def __init__(self) -> None:
        self.target: Target | None = None

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """The answer to one command; failures of a candidate are answers, not exceptions."""
        if command["command"] == "target":
            self.target = Target.from_json(command["target"])
            import_compiler()  # now, so that no candidate waits for it
            return {"status": "ok"}
        return self._build(Workload.from_json(command["workload"]), command["config"])

    def _build(self, workload: Workload, config: Config) -> dict[str, Any]:
        assert self.target is not None
        began = time.perf_counter()
        try:
            kernel = build_kernel(workload, self.target, config)
        except Exception as error:  # noqa: BLE001  # whatever TVM raises means that this candidate cannot be built
            message = str(error).strip().splitlines()
            cost = time.perf_counter() - began
            return {"status": "compile_error", "error": message[-1] if message else repr(error), "cost_s": cost}
        return {"status": "ok", "error": "", "kernel": kernel.to_json(), "cost_s": time.perf_counter() - began}


def build_kernel(workload: Workload, target: Target, config: Config) -> BuiltKernel:
    """The kernel of `workload` under `config`.

    Raises:
        LookupError: when no template takes the workload.
        RuntimeMissingError: when there is no linker for the target.
        BuildError: when linking fails. TVM's own exceptions pass through.
    """
    from tvmopt.schedules.llvm.parts.emit import parallel_tasks

    bound = kernel_for(workload, target)
    function = bound.build(config)
    # With checks: a candidate that takes other shapes must not write where it pleases.
    library = link_kernel(compile_kernel(NAME, function, target, checked=True), linker_of(target))
    packed = bound.packed_shapes(config)
    shapes = [packed.get(place, tensor.physical_shape) for place, tensor in enumerate(workload.inputs)]
    tensors = (*workload.inputs, workload.output)
    arguments = tuple(
        Argument(tuple(shape), tensor.dtype)
        for shape, tensor in zip((*shapes, workload.output.physical_shape), tensors, strict=True)
    )
    return BuiltKernel(workload, config, library, NAME, arguments, parallel_tasks(function))


def main() -> None:
    """Answers commands until the input ends."""
    Server().serve(BuildWorker().answer)


if __name__ == "__main__":
    main()
