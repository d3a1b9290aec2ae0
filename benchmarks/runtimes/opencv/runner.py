"""OpenCV's DNN module on the CPU in FP32, from the ONNX form, or from a Caffe network's own files.

Set up as its documentation advises: OpenCV's own backend with the target CPU, layers fused and convolutions by Winograd
(both its defaults), OpenCV's threads. Releases from 5.0 on read no Caffe files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.benchmarks.runtimes.base import Choice, Job, Runtime, refuse_values

_WINOGRAD = Choice(name="Winograd convolutions", about="for those of 3×3 with stride 1", default="on", others=("off",))
_FUSION = Choice(name="fusion", about="of a layer with those behind it", default="on", others=("off",))

CAFFE = "caffe"
"""The kind of models of which it reads the source."""


class RunOpencv:
    """Runs an ONNX file, or a Caffe network's files, with OpenCV."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self._cv2: Any = None
        self._net: Any = None
        self._names: list[str] = []
        self._outputs: tuple[str, ...] = ()
        self._caffe: Any = None
        self._shapes: list[tuple[int, ...]] = []
        self._results: list[np.ndarray] = []

    def open_library(self) -> None:
        """Imports OpenCV."""
        import cv2

        self._cv2 = cv2

    def prepare(self, job: Job) -> None:
        """Does nothing: the model is read when it is loaded."""

    def load(self, job: Job) -> None:
        """Reads the model and sets its inputs."""
        dnn = self._cv2.dnn
        self._cv2.setNumThreads(job.threads)
        self._read(job)
        self._net.setPreferableBackend(dnn.DNN_BACKEND_OPENCV)
        self._net.setPreferableTarget(dnn.DNN_TARGET_CPU)
        self._net.enableWinograd(_WINOGRAD.of(job) == "on")
        self._net.enableFusion(_FUSION.of(job) == "on")
        self.set_inputs(job.load_inputs())
        self._outputs, self._shapes = job.outputs, _output_shapes(job.onnx)
        self.settings |= {
            "backend": "OpenCV, CPU",
            "precision": "fp32",
            "threads": str(self._cv2.getNumThreads()),
            "fusion": _FUSION.of(job),
            "Winograd": _WINOGRAD.of(job),
            "outputs": "copied by each run: its interface has no other way",
        }

    def set_inputs(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Sets other inputs."""
        for name, array in inputs.items():
            self._net.setInput(np.asarray(array, order="C"), name)

    def run(self) -> None:
        """One inference on the inputs."""
        self._results = self._net.forward(self._names)

    def read_outputs(self) -> list[np.ndarray]:
        """The last run's outputs in the shapes of the ONNX form, where OpenCV gives some more dimensions."""
        outputs = []
        for name, result, shape in zip(self._outputs, self._results, self._shapes, strict=True):
            array = np.array(result) if self._caffe is None else self._caffe.as_ours(name, result)
            outputs.append(array.reshape(shape) if array.size == np.prod(shape, dtype=int) else array)
        return outputs

    def _read(self, job: Job) -> None:
        dnn = self._cv2.dnn
        wrong = _computed_otherwise(job)
        if job.source.get("kind") != CAFFE or wrong:
            self._net, self._names = dnn.readNetFromONNX(job.onnx), list(job.outputs)
            why = f", since it computes {wrong} of the Caffe network's own files otherwise" if wrong else ""
            self.settings["read from"] = f"the ONNX form{why}"
            return
        from tvmopt.pipeline.importers.caffe.opencv_names import opencv_names
        from tvmopt.pipeline.importers.caffe.pair import find_pair
        from tvmopt.pipeline.importers.caffe.run_opencv import forward_names

        refuse_values(job)
        pair = find_pair(Path(job.source["path"]))
        self._net, self._caffe = dnn.readNetFromCaffe(str(pair.network), str(pair.weights)), opencv_names(pair.network)
        self._names = forward_names(self._net, {name: self._caffe.makers[name] for name in job.outputs})
        self.settings["read from"] = "the Caffe network's own files"


def _computed_otherwise(job: Job) -> str:
    """The types of layers of a Caffe network of which OpenCV computes other values; it sorts detections otherwise."""
    if job.source.get("kind") != CAFFE:
        return ""
    from tvmopt.pipeline.importers.caffe.opencv_names import opencv_names
    from tvmopt.pipeline.importers.caffe.pair import find_pair

    unlike = opencv_names(find_pair(Path(job.source["path"])).network).unlike
    return ", ".join(kind for kind in unlike if kind != "DetectionOutput")


def _output_shapes(path: str) -> list[tuple[int, ...]]:
    """The shapes of the outputs of the ONNX file at `path`, which are all static."""
    import onnx

    outputs = onnx.load(path, load_external_data=False).graph.output
    return [tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in outputs]


RUNTIME = Runtime(
    name="opencv",
    title="OpenCV",
    variant="FP32",
    about="OpenCV's DNN module on the CPU in FP32; reads the ONNX form, or a Caffe network's own files.",
    packages=("opencv-python-headless",),
    modules=("cv2",),
    extra="opencv",
    runner=RunOpencv,
    unprofiled="its layers' times do not say which layers were fused into them",
    peer=True,
    choices=(_WINOGRAD, _FUSION),
)
