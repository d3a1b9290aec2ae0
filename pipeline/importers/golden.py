"""The golden inputs and outputs of a model, with which a compiled model is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvmopt.pipeline.importers.load import example_inputs

if TYPE_CHECKING:
    import numpy as np

    from tvmopt.pipeline.types import ImportedModel


def golden_pair(model: ImportedModel) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Seeded random inputs, and onnxruntime's outputs for them from the model as its framework exported it.

    A quantised model runs as it is written, in floats: on processors that add products of bytes in 16 bits, what
    onnxruntime's optimisations make of it saturates.
    """
    from tvmopt.pipeline.support.onnxruntime import open_session

    inputs = example_inputs(model)
    names = [spec.name for spec in model.results]
    is_quantized = any(node.op_type == "QuantizeLinear" for node in model.original.graph.node)
    level = "ORT_DISABLE_ALL" if is_quantized else "ORT_ENABLE_ALL"
    outputs = open_session(model.original, level).run(names, dict(inputs))
    return inputs, dict(zip(names, outputs, strict=True))
