"""Calls NNCF, which quantises: no other module of the package knows it."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx

from tvmopt.pipeline.data.calibration import Feeds
from tvmopt.pipeline.errors import RuntimeMissingError, TvmoptError, UnsupportedModelError
from tvmopt.pipeline.support.messages import one_line

INSTALL = "quantising needs NNCF: pip install 'tvmopt[quantize]'"
"""What users without NNCF are told."""

_NO_TELEMETRY = "NNCF_CI"
"""The variable that keeps NNCF from telling its makers about its use; it looks when it is imported."""

_WARNING, _FATAL = 2, 4
"""Severities of onnxruntime's log; it writes from the first on, unless it is told otherwise."""

_RANKED = 64
"""On how many samples, those that suffered most, accuracy control compares layers with each other."""

Validate = Callable[[onnx.ModelProto, Sequence[int]], tuple[float, list[float]]]
"""The accuracy of a model on samples, by their numbers, larger being better; and a value for each sample, which tells
where the model is worst."""


@dataclass(frozen=True, slots=True)
class NncfOptions:
    """How to quantise.

    Attributes:
        feeds: inputs on which the ranges of values are found.
        narrow_weights: whether weights use 7 bits but where a convolution is depthwise.
        transformer: whether the model has attention, for which NNCF has rules of its own.
        in_float: names of nodes that stay in float.
    """

    feeds: Feeds
    narrow_weights: bool = False
    transformer: bool = False
    in_float: tuple[str, ...] = ()


def require_nncf() -> Any:
    """The module `nncf`.

    Raises:
        RuntimeMissingError: it is not installed.
    """
    os.environ.setdefault(_NO_TELEMETRY, "1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import nncf
    except ImportError as error:
        reason = "" if error.name == "nncf" else f" (importing it failed: {one_line(error)})"
        raise RuntimeMissingError(INSTALL + reason) from None
    return nncf


def quantized(model: onnx.ModelProto, how: NncfOptions) -> onnx.ModelProto:
    """`model` in QDQ form.

    Args:
        model: float32, with names of nodes and shapes of values; it is not changed.
        how: the data, and what to do.

    Raises:
        RuntimeMissingError: NNCF is not installed.
        UnsupportedModelError: NNCF fails.
        TvmoptError: what `how.feeds` raise.
    """
    nncf = require_nncf()
    with _quiet(), _explained():
        made: onnx.ModelProto = nncf.quantize(
            model, nncf.Dataset(how.feeds), advanced_parameters=_advanced(nncf, how), **_common(nncf, how)
        )
    return made


def quantized_within(
    model: onnx.ModelProto, how: NncfOptions, samples: int, validate: Validate, max_drop: float
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """As `quantized`, with layers taken back to float until accuracy is within `max_drop` of the original's.

    Args:
        model: as `quantized`.
        how: as `quantized`.
        samples: how many samples there are to validate on.
        validate: called with the number of each sample, or with few of them to compare layers.
        max_drop: by how much accuracy may be lower than the original's.

    Returns:
        The model, and the model before layers were taken back. Where all were taken back, accuracy may still be lower.

    Raises:
        TvmoptError: as `quantized`, and what `validate` raises.
    """
    nncf = require_nncf()
    from nncf.quantization.advanced_parameters import AdvancedAccuracyRestorerParameters

    failed: list[BaseException] = []

    def checked(candidate: onnx.ModelProto, numbers: Sequence[int]) -> tuple[float, list[float]]:
        try:
            return validate(candidate, [int(number) for number in numbers])
        except BaseException as error:  # NNCF hides the first one
            failed.append(error)
            raise

    with TemporaryDirectory(prefix="tvmopt-") as folder, _quiet(), _explained():
        try:
            made: onnx.ModelProto = nncf.quantize_with_accuracy_control(
                model,
                nncf.Dataset(how.feeds),
                nncf.Dataset(range(samples)),
                checked,
                max_drop=max_drop,
                drop_type=nncf.DropType.ABSOLUTE,
                advanced_quantization_parameters=_advanced(nncf, how),
                advanced_accuracy_restorer_parameters=AdvancedAccuracyRestorerParameters(
                    ranking_subset_size=max(1, min(_RANKED, samples - 1)),
                    num_ranking_workers=1,  # sessions use all cores themselves
                    intermediate_model_dir=folder,
                ),
                **_common(nncf, how),
            )
        except BaseException:
            if failed:
                raise failed[0] from None
            raise
        return made, onnx.load(Path(folder) / "intermediate_model.onnx")


def _common(nncf: Any, how: NncfOptions) -> dict[str, Any]:
    return {
        "target_device": nncf.TargetDevice.CPU,
        "subset_size": len(how.feeds),
        "model_type": nncf.ModelType.TRANSFORMER if how.transformer else None,
        "ignored_scope": nncf.IgnoredScope(names=list(how.in_float)) if how.in_float else None,
    }


def _advanced(nncf: Any, how: NncfOptions) -> Any:
    fix = nncf.OverflowFix.ENABLE if how.narrow_weights else nncf.OverflowFix.DISABLE
    return nncf.AdvancedQuantizationParameters(overflow_fix=fix)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps NNCF from printing: its log, its bars and its warnings. Other threads may print meanwhile."""
    import onnxruntime
    import rich

    logger, console = logging.getLogger("nncf"), rich.get_console()
    before = logger.level, console.quiet
    logger.setLevel(logging.CRITICAL)
    console.quiet = True
    onnxruntime.set_default_logger_severity(_FATAL)  # its sessions warn of weights that no node reads
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before[0])
        console.quiet = before[1]
        onnxruntime.set_default_logger_severity(_WARNING)


@contextmanager
def _explained() -> Iterator[None]:
    """Makes one line of what NNCF raises; our own errors pass."""
    try:
        yield
    except TvmoptError:
        raise
    except Exception as error:  # its errors have no common base class, and bugs in it show as any other
        raise UnsupportedModelError(f"NNCF cannot quantise the model: {one_line(error)}") from error
