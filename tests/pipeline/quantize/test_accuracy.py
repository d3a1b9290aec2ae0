"""Accuracy where a metric has no value for some samples, or for all."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.quantize.networks import classifier, imported_classifier
from tvmopt.cli.views.quantize import accuracy_lines
from tvmopt.pipeline.data.labelled.sample_set import LabelledSet
from tvmopt.pipeline.data.metrics.metric import Difference, Score, Signature
from tvmopt.pipeline.data.metrics.own import OwnMetric
from tvmopt.pipeline.data.preprocessing import Preprocessing
from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.quantize.accuracy import Accuracy, Examiner, LabelledTest

LABELS = (0, 1, 2, 0)


def examiner(metric: Any) -> Examiner:
    model = imported_classifier()
    inputs = np.random.default_rng(0).standard_normal((4, *model.inputs[0].shape[1:])).astype(np.float32)
    samples = LabelledSet(
        "test", Path("set"), "classes", list("abcd"), inputs.__getitem__, LABELS.__getitem__, LABELS, pictures=False
    )
    judge = OwnMetric("m.py:spread", metric).fit(samples, Signature(model.inputs[0], model.results))
    preprocessing = Preprocessing("as it is", "", inputs.shape[1:], lambda sample: sample)
    test = LabelledTest(samples, preprocessing, model.inputs[0], ("y",), judge, "spread")
    return Examiner(test, model.original, lambda *_: None)


def spread(_outputs: np.ndarray, labels: Sequence[int]) -> float:
    """Nothing where there is one class only, as for an area under a curve."""
    return float(np.std(labels)) if len(set(labels)) > 1 else math.nan


def test_layers_are_compared_where_the_metric_has_no_value_for_a_sample() -> None:
    found = examiner(spread)
    original = found._original
    value, _ = found.validate(original, range(4))
    assert value == pytest.approx(np.std(LABELS))
    assert found.validate(original, [1])[0] == 0
    other = classifier()
    assert found.validate(other, [1])[0] == pytest.approx(0.25 / 4)  # equal outputs: only the nearness
    assert found.validate(other, [0, 1])[0] == pytest.approx(0.5 + 0.25 / 4)


def test_a_metric_without_a_value_for_all_samples_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examiner(spread)
    monkeypatch.setattr(Examiner, "_value", lambda *_: math.nan)
    with pytest.raises(InputFileError, match="set: spread says nothing about these samples"):
        found.validate(found._original, range(4))


def test_numbers_that_json_lacks() -> None:
    nothing = Score(math.nan, (math.nan, math.nan))
    found = Accuracy("map", {"map": nothing}, {"map": nothing}, Difference(math.nan, (math.nan, math.nan)), 3)
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["difference"] == document["before"]["map"] == {"value": None, "interval": [None, None]}


def test_a_metric_of_ones_own_is_shown_in_its_unit() -> None:
    score = Score(12.5, (11.25, 13.0))
    found = Accuracy("spread", {"spread": score}, {"spread": score}, Difference(-0.5, (-1, 0)), 3, percent=False)
    lines = list(accuracy_lines(found))
    assert lines[1] == "  spread: 12.5 (11.25 to 13) before, 12.5 (11.25 to 13) after"
    assert lines[2] == "  change of spread: -0.5 (-1 to +0)"
    assert list(accuracy_lines(replace(found, percent=True)))[2] == "  change of spread: -50.00% (-100.00% to +0.00%)"
