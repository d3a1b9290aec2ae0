"""ncnn on the CPU in FP32, its model converted from ONNX by pnnx, the converter of the same project.

Set up like the project's own benchmark (benchmark/benchncnn.cpp): light mode, packing layouts, Winograd and sgemm
convolutions, pool allocators. Options that compute or store numbers in 16 bits are off.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.benchmarks.runtimes.base import Choice, Job, Runtime

_PARAM, _BIN, _SCRIPT, _NOTES = "model.ncnn.param", "model.ncnn.bin", "model_ncnn.py", "notes.json"
_NO_BATCH = 233
"""pnnx's batch axis for a tensor without a batch dimension."""

_TYPES = {"float32": "f32", "float64": "f64", "float16": "f16", "int64": "i64", "int32": "i32", "int8": "i8"}
_OFF = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage")
_SWITCHES = {
    "use_winograd_convolution": Choice(
        name="Winograd convolutions", about="for those of 3×3 with stride 1", default="on", others=("off",)
    ),
    "use_sgemm_convolution": Choice(
        name="sgemm convolutions", about="convolutions as products of matrices", default="on", others=("off",)
    ),
    "use_packing_layout": Choice(
        name="packing layout", about="channels in groups as wide as a vector", default="on", others=("off",)
    ),
}
"""Options that a search may turn off, by their name in ncnn."""

_BLOCKTIME = Choice(
    name="OpenMP block time",
    about="milliseconds that its threads spin after a parallel loop",
    default="20",
    others=("0", "200"),
)


class RunNcnn:
    """Converts an ONNX file and runs the result with ncnn."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self._ncnn: Any = None
        self._net: Any = None
        self._allocators: tuple[Any, ...] = ()
        self._axes: list[int] = []
        self._inputs: list[Any] = []
        self._results: list[Any] = []
        self._names: list[str] = []
        self._shapes: list[tuple[int, ...]] = []

    def open_library(self) -> None:
        """Imports ncnn."""
        import ncnn

        self._ncnn = ncnn

    def prepare(self, job: Job) -> None:
        """Converts the model into the job's folder, weights in 32 bits.

        Raises:
            RuntimeError: when pnnx cannot convert it.
        """
        folder = Path(job.folder)
        # pnnx writes its files beside the model that it reads.
        model = folder / "model.onnx"
        model.unlink(missing_ok=True)
        model.symlink_to(job.onnx)
        shapes = ",".join(
            f"[{','.join(map(str, array.shape))}]{_TYPES[str(array.dtype)]}" for array in job.load_inputs().values()
        )
        command = [_find_converter(), model.name, f"inputshape={shapes}", "fp16=0"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode or not (folder / _BIN).is_file():
            last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            raise RuntimeError(f"pnnx ended with {done.returncode}: {last}")
        notes = {"batch_axes": _batch_axes((folder / _SCRIPT).read_text()), "shapes": _output_shapes(job.onnx)}
        (folder / _NOTES).write_text(json.dumps(notes))

    def load(self, job: Job) -> None:
        """Loads the converted model and sets its inputs."""
        folder, ncnn = Path(job.folder), self._ncnn
        notes = json.loads((folder / _NOTES).read_text())
        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads = job.threads
        options.lightmode = True
        for name, choice in _SWITCHES.items():
            setattr(options, name, choice.of(job) == "on")
        options.openmp_blocktime = int(_BLOCKTIME.of(job))
        for name in _OFF:
            setattr(options, name, False)
        self._allocators = (ncnn.UnlockedPoolAllocator(), ncnn.PoolAllocator())
        options.blob_allocator, options.workspace_allocator = self._allocators
        if self._net.load_param(str(folder / _PARAM)) or self._net.load_model(str(folder / _BIN)):
            raise RuntimeError("ncnn cannot load the converted model: it has layers that this build lacks")
        self._axes = notes["batch_axes"]
        self.set_inputs(job.load_inputs())
        self._shapes = [tuple(shape) for shape in notes["shapes"]]
        self._names = [f"out{index}" for index in range(len(self._shapes))]
        self.settings |= {
            "threads": str(options.num_threads),
            **{choice.name: choice.of(job) for choice in (*_SWITCHES.values(), _BLOCKTIME)},
            "on": "light mode, pool allocators",
            "off": "fp16 and bf16 storage and arithmetic, Vulkan",
            "conversion": "pnnx from ONNX, weights in fp32",
        }

    def set_inputs(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Copies other inputs."""
        self._inputs = [self._mat(array, axis) for array, axis in zip(inputs.values(), self._axes, strict=True)]

    def run(self) -> None:
        """One inference."""
        extractor = self._net.create_extractor()
        for index, mat in enumerate(self._inputs):
            extractor.input(f"in{index}", mat)
        self._results = [extractor.extract(name) for name in self._names]

    def read_outputs(self) -> list[np.ndarray]:
        """The last run's outputs, with the batch dimension that ncnn omits."""
        if any(status for status, _ in self._results):
            raise RuntimeError(f"ncnn could not compute every output: {[status for status, _ in self._results]}")
        mats = (mat for _, mat in self._results)
        return [_array(mat).reshape(shape) for mat, shape in zip(mats, self._shapes, strict=True)]

    def _mat(self, array: np.ndarray, axis: int) -> Any:
        # The clone owns its memory; a Mat made from an array does not.
        return self._ncnn.Mat(np.asarray(array, order="C"), batch_index=axis).clone()


def _array(mat: Any) -> np.ndarray:
    return np.array(mat.numpy(batch_index=0) if mat.n > 1 else mat)


def _find_converter() -> str:
    """The program in the package pnnx, found without importing the package, which would import PyTorch."""
    spec = importlib.util.find_spec("pnnx")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "pnnx")


def _batch_axes(script: str) -> list[int]:
    """The batch axis of each input, in order, from the example script that pnnx writes beside the model."""
    found = re.findall(r'ex\.input\("in(\d+)",.*?(?:batch_index=(\d+))?\)\.clone\(\)', script)
    return [int(axis) if axis else _NO_BATCH for _, axis in sorted(found, key=lambda pair: int(pair[0]))]


def _output_shapes(model: str) -> list[list[int]]:
    import onnx

    outputs = onnx.load(model, load_external_data=False).graph.output
    return [[dimension.dim_value for dimension in output.type.tensor_type.shape.dim] for output in outputs]


RUNTIME = Runtime(
    name="ncnn",
    title="ncnn",
    variant="FP32",
    about="ncnn set up like its own benchmark, with 16-bit storage and arithmetic off; converted from ONNX by pnnx.",
    packages=("ncnn", "pnnx"),
    modules=("ncnn", "pnnx"),
    extra="ncnn",
    runner=RunNcnn,
    unprofiled="the wheel's Python interface does not report layer times",
    peer=True,
    choices=(*_SWITCHES.values(), _BLOCKTIME),
    prepared="per batch",
)
