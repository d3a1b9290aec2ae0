"""The golden inputs and outputs of a model, with which a compiled model is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvmopt.pipeline.importers.load import example_inputs

if TYPE_CHECKING:
    import numpy as np

    from tvmopt.pipeline.types import ImportedModel


def golden_pair(model: ImportedModel) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Seeded random inputs, and onnxruntime's outputs for them from the model as its framework exported it."""
    from tvmopt.pipeline.support.onnxruntime import open_session

    inputs = example_inputs(model)
    names = [spec.name for spec in model.results]
    outputs = open_session(model.original, "ORT_ENABLE_ALL").run(names, dict(inputs))
    return inputs, dict(zip(names, outputs, strict=True))
