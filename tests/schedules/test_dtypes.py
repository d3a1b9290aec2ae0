from __future__ import annotations

import numpy as np
import pytest

from tvmopt.schedules.dtypes import DTYPES, dtype_of

NUMPY_KINDS = {"float": "f", "int": "i", "uint": "u", "bool": "b"}


@pytest.mark.parametrize("name", [name for name in DTYPES if name != "bfloat16"])
def test_facts_are_numpys(name: str) -> None:
    dtype = dtype_of(name)
    assert dtype.name == name
    assert np.dtype(name).itemsize == dtype.nbytes
    assert np.dtype(name).kind == NUMPY_KINDS[dtype.kind]


@pytest.mark.parametrize("name", DTYPES)
def test_sums_fit_what_they_are_held_in(name: str) -> None:
    dtype, sums = dtype_of(name), dtype_of(dtype_of(name).accumulator)
    assert sums.accumulator == sums.name
    assert sums.nbytes >= max(4, dtype.nbytes)
    assert (sums.kind == "float") == (dtype.kind == "float")


def test_unknown_types_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown element type 'float31'; expected one of float32, "):
        dtype_of("float31")
