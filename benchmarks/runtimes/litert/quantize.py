"""Quantises a LiteRT model; run by a Python that has ai-edge-quantizer but not this project.

Arguments: the model (``.tflite``), an ``.npz`` with stacked samples for each input in order, the model to write.
"""

from __future__ import annotations

import sys


def quantize(model: str, calibration: str, made: str) -> None:
    """Quantises weights and activations to 8 bits, activations by the range that the samples have."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer, recipe

    key, signature = next(iter(Interpreter(model).get_signature_list().items()))
    names = sorted(signature["inputs"], key=lambda name: int(name.rpartition("_")[2]))
    with np.load(calibration) as arrays:
        stacks = [arrays[name] for name in arrays.files]
    samples = [dict(zip(names, arrays, strict=True)) for arrays in zip(*stacks, strict=True)]
    made_by = quantizer.Quantizer(model, recipe.static_wi8_ai8())
    for border in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):  # these stay floats
        made_by.update_quantization_recipe(".*", border, algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE)
    ranges = made_by.calibrate({key: samples}, num_threads=1)
    made_by.quantize(ranges).export_model(made)


if __name__ == "__main__":
    quantize(*sys.argv[1:4])
