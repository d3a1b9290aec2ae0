"""NNCF's post-training quantisation, of models in ONNX and in OpenVINO's form.

Its defaults for CNNs: performance preset, fast bias correction. The overflow fix makes weights of 7 bits, except those
of depthwise convolutions.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tvmopt.benchmarks.quantized.quantize_once import Feed, Quantizer, Samples

IN_WORDS = "NNCF post-training, performance preset, fast bias correction; as a transformer where there is attention"
PACKAGES = ("nncf", "onnx", "openvino")


def quantize(model: Any, feeds: Sequence[Feed], bits: int, transformer: bool) -> Any:
    """The model quantised, in the form that it has.

    Args:
        model: in OpenVINO's form.
        feeds: what to calibrate on.
        bits: of weights: 7 or 8.
        transformer: whether it has attention, which NNCF then leaves in a precision that serves it.
    """
    import nncf

    logging.getLogger("nncf").setLevel(logging.ERROR)
    fix = nncf.OverflowFix.DISABLE if bits == 8 else nncf.OverflowFix.ENABLE
    return nncf.quantize(
        model,
        nncf.Dataset(feeds),
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(feeds),
        model_type=nncf.ModelType.TRANSFORMER if transformer else None,
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
    )


def onnx_quantizer(bits: int) -> Quantizer:
    """NNCF on the ONNX model itself, as `tvmopt quantize` calls it: the network in QDQ form that we compile."""

    def make(source: Path, feeds: Sequence[Feed], path: Path) -> None:
        import onnx

        from tvmopt.pipeline.quantize.float_form import float_form, has_attention
        from tvmopt.pipeline.quantize.through_nncf import NncfOptions, quantized
        from tvmopt.pipeline.quantize.weight_bits import FULL

        original = float_form(onnx.load(source))
        how = NncfOptions(Samples(feeds), bits < FULL, has_attention(original))
        onnx.save(quantized(original, how), path)

    return Quantizer("nncf-onnx", PACKAGES, (f"{bits} bits", "as tvmopt quantize"), make)
