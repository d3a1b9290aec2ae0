"""Checks the import of a Caffe network against OpenCV, where it is installed, in a process of its own.

Caffe itself has had no release since 2017 that installs today.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from tvmopt.pipeline.devices.environments.run_script import ScriptError
from tvmopt.pipeline.importers.base import OnnxForm, UncheckedError
from tvmopt.pipeline.importers.caffe.opencv_names import OpencvNames, opencv_names
from tvmopt.pipeline.importers.caffe.pair import Pair
from tvmopt.pipeline.importers.check.independent import Arrays, check_independently, run_reader

_FIRST_WITHOUT_CAFFE = 5
"""The first release of OpenCV that reads no Caffe files."""


def check_against_opencv(form: OnnxForm) -> str:
    """Checks that the ONNX form computes what OpenCV makes of the same files.

    Args:
        form: the import; its program is the network's `Pair`.

    Returns:
        What it was checked against: OpenCV, its version, and the layers that it computes otherwise than Caffe. Empty
        where it is not installed.

    Raises:
        WrongResultError: a value differs; names the first layer that does.
        UncheckedError: OpenCV does not run the network, or computes all of it otherwise.
    """
    version = _version()
    if version is None:
        return ""
    opencv = opencv_names(form.program.network)
    if not opencv.comparable:
        unlike = ", ".join(opencv.unlike)
        raise UncheckedError(f"OpenCV {version} computes all that could be compared otherwise: {unlike}")
    reader = f"OpenCV {version}"
    try:
        check_independently(
            form.model, lambda inputs, names: _run(form.program, opencv, inputs, names), opencv.comparable, reader
        )
    except ScriptError as error:
        raise UncheckedError(f"{reader} does not run it: {error}") from error
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
    script = Path(__file__).with_name("run_opencv.py")
    arrays = run_reader(sys.executable, script, (pair.network, pair.weights), inputs, makers).values()
    return {blob: opencv.as_ours(blob, array) for blob, array in zip(makers, arrays, strict=True)}
