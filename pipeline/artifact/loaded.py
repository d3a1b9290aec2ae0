"""A compiled model, ready to run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.pipeline.artifact.bound import BoundModel
from tvmopt.pipeline.artifact.executor import Executor
from tvmopt.pipeline.artifact.format import LIBRARY, Array, ArtifactParts, Sized, read_parts
from tvmopt.pipeline.artifact.native_library import NativeLibrary
from tvmopt.pipeline.artifact.virtual_machine import VirtualMachine
from tvmopt.pipeline.errors import InputFileError, ModelInputError, RuntimeMissingError, UsageError
from tvmopt.pipeline.support.files import FULL, temporary_full
from tvmopt.pipeline.support.fit import check_arrays, check_inputs, cut_results, cuts_in, mismatch
from tvmopt.pipeline.types import Step

MOST_THREADS = 1024
"""More threads than any machine has cores for."""


class LoadedArtifact:
    """A compiled model, ready to run, by one thread at a time.

    Setting the inputs of a model that was compiled for several sizes also selects the size; at first it is the first.

    Args:
        path: the artifact, a tar.
        parts: what it is made of, if it is not written yet.

    Attributes:
        sizes: how many sizes of the inputs it was compiled for.
        manifest: the manifest of the selected size; ``inputs`` and ``outputs`` give names, shapes and dtypes (numpy's
            spelling).
        golden_inputs: golden inputs by name, in the model's shapes and dtypes.
        golden_outputs: expected outputs by name.
        steps: its kernel calls, in order; none for a GPU.
        executor: what runs it.
    """

    def __init__(self, path: Path, parts: ArtifactParts | None = None) -> None:
        self._path, self._parts = path, parts or read_parts(path)
        self.sizes = len(self._parts.sizes())
        check_machine(path, self._parts.manifest)
        self._threads = _threads(int(self._parts.manifest["target"]["threads"]))
        self._executors: dict[int, Executor] = {}
        self.select(0)

    def select(self, index: int) -> None:
        """Makes the size number `index` the one that runs; its library is loaded the first time.

        Args:
            index: below `sizes`.

        Raises:
            InputFileError: when the library is not what the manifest says.
        """
        size = self._parts.sizes()[index]
        self.manifest = size.manifest
        self.golden_inputs, self.golden_outputs = size.inputs, size.outputs
        self.steps = tuple(Step.from_json(step) for step in self.manifest["steps"])
        if index not in self._executors:
            try:
                self._executors[index] = self._load(size)
            except OSError as error:
                if error.errno in FULL:
                    raise temporary_full(error) from error
                raise InputFileError(f"{self._path}: {LIBRARY} is {error}") from error
        self.executor = self._executors[index]
        self._expected = tuple(
            (str(spec["name"]), tuple(spec["shape"]), np.dtype(spec["dtype"])) for spec in self.manifest["inputs"]
        )
        self._output_names = tuple(str(spec["name"]) for spec in self.manifest["outputs"])
        self._cuts = cuts_in(self.manifest)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the model once, and copies inputs in and outputs out.

        Args:
            inputs: an array for each input by name, of exactly its shape and dtype in ``manifest["inputs"]`` of one of
                the sizes.

        Returns:
            An array for each output by name, in the shapes and dtypes of ``manifest["outputs"]``. Of an output whose
            size is found at run time, the manifest lists the room and the count, which ``manifest["cuts"]`` names.

        Raises:
            ModelInputError: when names, shapes or dtypes are not the model's.
        """
        arrays = self._in_order(inputs)
        computed = self.executor.call(arrays, self._output_names)
        return cut_results(computed, self._cuts) if self._cuts else computed

    def bind(self, inputs: Mapping[str, Array]) -> BoundModel:
        """A model to call again and again with inputs that are written in place: it copies and checks nothing.

        It shares this one's weights and has its own memory, so each thread of a program can have one.

        Args:
            inputs: as in `run`; they select the size, and are copied to the bound model's.

        Returns:
            The bound model, with arrays of its own for inputs and outputs.

        Raises:
            ModelInputError: when names, shapes or dtypes are not the model's.
            RuntimeMissingError: when there are not as many threads, or not enough memory, for another one.
        """
        arrays = self._in_order(inputs)
        try:
            bound = self.executor.bind(arrays)
        except OSError as error:
            raise RuntimeMissingError(f"{self._path}: cannot be opened once more; {LIBRARY} is {error}") from error
        return BoundModel(bound, (tuple(name for name, _, _ in self._expected), self._output_names), self._cuts)

    def set_inputs(self, inputs: Mapping[str, Array]) -> None:
        """Selects the size that `inputs` have, and copies them to the device.

        Args:
            inputs: as in `run`.

        Raises:
            ModelInputError: when names, shapes or dtypes are not the model's in any size; says which there are.
        """
        arrays = self._in_order(inputs)  # may select another executor
        self.executor.set_inputs(arrays)

    def _in_order(self, inputs: Mapping[str, Array]) -> list[Array]:
        """The arrays of `inputs` in the model's order, once the size that they have is selected.

        The check that can say what is wrong takes longer than a small model; a short one comes first.
        """
        arrays = []
        if type(inputs) is dict and len(inputs) == len(self._expected):
            for name, shape, dtype in self._expected:
                array = inputs.get(name)
                if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != dtype:
                    break
                arrays.append(array)
            else:
                return arrays
        check_arrays(inputs)
        if self.sizes == 1:
            check_inputs(inputs, self.manifest["inputs"])
        else:
            self._select_fitting(inputs)
        return [inputs[name] for name, _, _ in self._expected]

    def run_only(self) -> None:
        """Runs the model on the inputs that were set; benchmarks time only this."""
        self.executor.run()

    def outputs(self) -> dict[str, Array]:
        """The outputs of the last run, by name."""
        computed = dict(zip(self._output_names, self.executor.outputs(), strict=True))
        return cut_results(computed, self._cuts) if self._cuts else computed

    def _select_fitting(self, inputs: Mapping[str, Array]) -> None:
        """Selects the size whose inputs are like `inputs`."""
        specs = [size.manifest["inputs"] for size in self._parts.sizes()]
        fitting = next((index for index, one in enumerate(specs) if not mismatch(inputs, one)), None)
        if fitting is None:
            listed = " or ".join(
                " ".join(f"{spec['name']}:{','.join(map(str, spec['shape']))}" for spec in one) for one in specs
            )
            given = " ".join(f"{name}:{','.join(map(str, array.shape))}" for name, array in inputs.items())
            reason = mismatch(inputs, specs[0])
            raise ModelInputError(
                f"inputs do not fit the model, which was compiled for {listed}; got {given or 'none'} ({reason})"
            )
        self.select(fitting)

    def _load(self, size: Sized) -> Executor:
        manifest, weights = self.manifest, self._parts.weights
        if weights is None:
            kernels = [step.kernel for step in self.steps]
            return VirtualMachine(
                size.library, kernels, manifest["target"]["isa"] == "cuda", manifest.get("checks", ())
            )
        return NativeLibrary(size.library, weights, (manifest["inputs"], manifest["outputs"]), self._threads)


def _threads(compiled_for: int) -> int:
    """The number of threads that ``TVM_NUM_THREADS`` says, which TVM reads too; sets it to `compiled_for` if unset.

    Raises:
        UsageError: it is no number of threads.
    """
    said = os.environ.get("TVM_NUM_THREADS", "").strip() or str(compiled_for)
    if not said.isdecimal() or not 0 < int(said) <= MOST_THREADS:
        raise UsageError(
            f"the variable TVM_NUM_THREADS must be a number of threads, such as {compiled_for}; got {said!r}"
        )
    os.environ["TVM_NUM_THREADS"] = said
    return int(said)


def load_artifact(path: Path) -> LoadedArtifact:
    """Loads an artifact; this needs neither a compiler nor a framework.

    The model runs on the number of threads that it was compiled for, unless ``TVM_NUM_THREADS`` says otherwise.

    Args:
        path: the tar that `compile_model` wrote. Its library becomes part of this process, so trust it as a program.

    Returns:
        The model, ready to run.

    Raises:
        InputFileError: when `path` is not an artifact.
        RuntimeMissingError: when it was compiled for another machine, or for a GPU and there is none.
        UsageError: when ``TVM_NUM_THREADS`` is no number of threads.
    """
    return LoadedArtifact(path)


def check_machine(path: Path, manifest: Mapping[str, Any]) -> None:
    """Refuses code that this machine cannot execute: an illegal instruction would end the process without a message.

    Raises:
        RuntimeMissingError: the artifact at `path` with this manifest is for another machine.
    """
    from tvmopt.schedules.target import parse_target

    target, host = manifest["target"], parse_target("llvm")
    if target["isa"] == "cuda":
        return
    order = ("sse2", "avx2", "avx512") if host.arch == "x86_64" else (host.isa,)
    same = target["arch"] == host.arch and target["isa"] in order
    # Feature names are comparable only if both lists were detected.
    lacking = sorted(set(target["features"]) - set(host.features)) if target["name"] == "llvm" else []
    if not same or order.index(target["isa"]) > order.index(host.isa) or lacking:
        raise RuntimeMissingError(
            f"{path} is compiled for {' '.join([target['arch'], target['isa'], *target['features']])}, this machine is "
            f"{' '.join([host.arch, host.isa, *host.features])}; run it there, or compile for this machine"
        )
