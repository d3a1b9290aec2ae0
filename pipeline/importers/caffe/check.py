"""Checks the import of a Caffe network against OpenCV, where it is installed, in a process of its own.

Caffe itself has had no release since 2017 that installs today.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from tvmopt.pipeline.environments.run_script import Call, ScriptError, run_script
from tvmopt.pipeline.importers.base import OnnxForm
from tvmopt.pipeline.importers.caffe.opencv_names import OpencvNames, opencv_names
from tvmopt.pipeline.importers.caffe.pair import Pair
from tvmopt.pipeline.importers.check.independent import Arrays, check_independently
from tvmopt.pipeline.support.npz import load_arrays, save_arrays

_FIRST_WITHOUT_CAFFE = 5
"""The first release of OpenCV that reads no Caffe files."""


def check_against_opencv(form: OnnxForm) -> str:
    """Checks that the ONNX form computes what OpenCV makes of the same files.

    Args:
        form: the import; its program is the network's `Pair`.

    Returns:
        What it was checked against: OpenCV, its version, and the layers that it computes otherwise than Caffe. Empty
        where it is not installed or cannot run the network.

    Raises:
        WrongResultError: a value differs; names the first layer that does.
    """
    version = _version()
    if version is None:
        return ""
    opencv = opencv_names(form.program.network)
    if not opencv.comparable:
        return ""
    reader = f"OpenCV {version}"
    try:
        check_independently(
            form.model, lambda inputs, names: _run(form.program, opencv, inputs, names), opencv.comparable, reader
        )
    except ScriptError:
        return ""
    return f"{reader}, but for {', '.join(opencv.unlike)}" if opencv.unlike else reader


def _version() -> str | None:
    """The version of OpenCV, without importing it; None where none is installed that reads Caffe files."""
    if importlib.util.find_spec("cv2") is None:
        return None
    for package in ("opencv-python-headless", "opencv-python", "opencv-contrib-python"):
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
        return version if int(version.split(".")[0]) < _FIRST_WITHOUT_CAFFE else None
    return None


def _run(pair: Pair, opencv: OpencvNames, inputs: Arrays, names: Sequence[str]) -> Arrays:
    """OpenCV's values of those of `names` that are blobs."""
    makers = {name: opencv.makers[name] for name in names if name in opencv.makers}
    with tempfile.TemporaryDirectory(prefix="tvmopt-opencv-") as folder:
        taken, given = Path(folder) / "inputs.npz", Path(folder) / "outputs.npz"
        save_arrays(taken, inputs)
        files = (pair.network.absolute(), pair.weights.absolute(), taken, json.dumps(makers), given)
        script = Path(__file__).with_name("run_opencv.py")
        run_script(sys.executable, Call(script, [str(file) for file in files], Path(folder)))
        arrays = load_arrays(given).values()
    return {blob: opencv.as_ours(blob, array) for blob, array in zip(makers, arrays, strict=True)}
