"""All metrics, and which one suits a set."""

from __future__ import annotations

from pathlib import Path

from tvmopt.pipeline.data.labelled.open_set import open_labelled
from tvmopt.pipeline.data.labelled.sample_set import Kind, LabelledSet
from tvmopt.pipeline.data.metrics.boxes import MeanAveragePrecision
from tvmopt.pipeline.data.metrics.classes import TopMetric
from tvmopt.pipeline.data.metrics.masks import MeanIou
from tvmopt.pipeline.data.metrics.metric import Metric
from tvmopt.pipeline.data.metrics.own import OwnMetric
from tvmopt.pipeline.data.user_function import load_function, names_function
from tvmopt.pipeline.errors import UsageError, did_you_mean

METRICS: tuple[Metric, ...] = (TopMetric(1), TopMetric(5), MeanAveragePrecision(), MeanIou())
"""Those with a name; the first that a set has labels for is its default."""

_LABELS: dict[Kind, str] = {"classes": "a class for each sample", "boxes": "boxes", "masks": "masks"}


def find_metric(name: str) -> Metric:
    """The metric called `name`, or the user's function that it names.

    Raises:
        UsageError: there is none; suggests the nearest names.
        InputFileError: the user's file or function cannot be used.
    """
    if names_function(name):
        return OwnMetric(name, load_function(name, "--metric"))
    found = next((metric for metric in METRICS if metric.name == name), None)
    if found is None:
        raise UsageError(did_you_mean("metric", name, (*(metric.name for metric in METRICS), "path.py:function")))
    return found


def open_for(path: Path, name: str | None) -> tuple[LabelledSet, Metric]:
    """The labelled set at `path`, and the metric called `name`, or the one that suits the set.

    Raises:
        UsageError: there is no such metric, or the set has no labels for it.
        InputFileError: the set or the user's function cannot be used.
        RuntimeMissingError: pictures are read by Pillow, which is not installed.
    """
    metric = None if name is None else find_metric(name)
    samples = open_labelled(path, metric.needs if metric else None)
    if metric is None:
        return samples, next(known for known in METRICS if known.needs == samples.kind)
    if metric.needs not in (None, samples.kind):
        fitting = ", ".join(known.name for known in METRICS if known.needs == samples.kind)
        raise UsageError(
            f"{metric.name} needs {_LABELS[metric.needs]}; {path} has {_LABELS[samples.kind]}: take {fitting}"
        )
    return samples, metric
