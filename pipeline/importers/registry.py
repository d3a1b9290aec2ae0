"""All importers. A new format needs a folder with an ``importer.py`` beside this file, and a line here."""

from __future__ import annotations

from pathlib import Path

from tvmopt.pipeline.importers.base import Importer
from tvmopt.pipeline.importers.caffe import importer as caffe
from tvmopt.pipeline.importers.mxnet import importer as mxnet
from tvmopt.pipeline.importers.onnx import importer as onnx
from tvmopt.pipeline.importers.pytorch import importer as pytorch
from tvmopt.pipeline.importers.tensorflow import importer as tensorflow

IMPORTERS: tuple[Importer, ...] = (
    onnx.IMPORTER,
    pytorch.PT2_IMPORTER,
    pytorch.PYTHON_IMPORTER,
    caffe.IMPORTER,
    mxnet.IMPORTER,
    tensorflow.TENSORFLOW_IMPORTER,
    tensorflow.KERAS_IMPORTER,
    tensorflow.TFLITE_IMPORTER,
)
"""In the order of help texts and tables."""


def find_importer(kind: str) -> Importer:
    """The importer of models of `kind`.

    Raises:
        ValueError: there is none.
    """
    for importer in IMPORTERS:
        if importer.kind == kind:
            return importer
    raise ValueError(f"no importer takes models of kind {kind!r} (known: {', '.join(i.kind for i in IMPORTERS)})")


def importer_of(path: Path) -> Importer | None:
    """The importer that takes files named like `path`; None when no importer does."""
    return next((importer for importer in IMPORTERS if importer.suffix_of(path)), None)


def listed_forms() -> str:
    """The forms of MODEL, as errors and help texts list them: ``file.onnx, file.pt2 or path/file.py:factory``."""
    *forms, last = (importer.form for importer in IMPORTERS)
    return f"{', '.join(forms)} or {last}" if forms else last


def refusal_of(suffix: str) -> str | None:
    """Why files with `suffix` are not read, and what to give instead; None when no importer knows them."""
    return next((importer.refused[suffix] for importer in IMPORTERS if suffix in importer.refused), None)
