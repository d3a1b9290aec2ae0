from __future__ import annotations

import numpy as np
import pytest

from tvmopt.pipeline.errors import ModelInputError
from tvmopt.pipeline.support.fit import check_inputs


def test_the_mismatched_input_is_named() -> None:
    specs = [{"name": "a", "shape": [], "dtype": "int64"}, {"name": "b", "shape": [2], "dtype": "bool"}]
    right = {"a": np.array(1), "b": np.array([True, False])}
    check_inputs(right, specs)
    for change, says in (
        ({"a": np.array([1])}, "'a' has shape 1, the model's is scalar"),
        ({"b": np.array([1, 0])}, "'b' has dtype int64, the model's is bool"),
        ({"c": np.array(1)}, "unknown 'c' .the model has 'a', 'b'."),
    ):
        with pytest.raises(ModelInputError, match=says):
            check_inputs({**right, **change}, specs)
    with pytest.raises(ModelInputError, match="missing 'a', 'b'"):
        check_inputs({}, specs)
