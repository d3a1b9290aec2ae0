from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.workload import Tensor, Workload

BLOCKED = Tensor((2, 21, 3, 5), block=16, halo=(1, 2, 0, 3))


@pytest.mark.parametrize(
    ("tensor", "shape"),
    [
        (Tensor(()), ()),
        (Tensor((3, 4)), (3, 4)),
        (Tensor((2, 21, 3, 5)), (2, 21, 3, 5)),
        (Tensor((2, 21, 3, 5), halo=(1, 1, 0, 2)), (2, 21, 4, 8)),
        (Tensor((2, 21, 3, 5), block=16), (2, 2, 3, 5, 16)),
        (BLOCKED, (2, 2, 4, 10, 16)),
    ],
)
def test_store_lays_out_and_restore_takes_back(tensor: Tensor, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).standard_normal(tensor.shape, np.float32)
    memory = tensor.store(array)
    assert memory.shape == tensor.physical_shape == shape
    assert memory.flags.c_contiguous
    assert np.array_equal(tensor.restore(memory), array)
    assert np.count_nonzero(memory) == array.size
    assert tensor.plain == (memory.size == array.size and tensor.block == 1)


def test_element_addresses() -> None:
    array = np.arange(2 * 21 * 3 * 5, dtype=np.float32).reshape(2, 21, 3, 5)
    memory = BLOCKED.store(array)
    assert memory[1, 1, 2 + 1, 4 + 2, 20 - 16] == array[1, 20, 2, 4]
    assert not memory[:, 1, :, :, 21 - 16 :].any()
    assert not memory[:, :, 0].any()


def test_sizes() -> None:
    assert BLOCKED.elements == 2 * 21 * 3 * 5
    assert BLOCKED.nbytes == 4 * BLOCKED.elements
    assert Tensor((2, 3), "int64").nbytes == 48


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (3, -1)}, r"no negative sizes, got \(3, -1\)"),
        ({"shape": (3, 4), "block": 8}, r"only rank 4 .* got shape \(3, 4\)"),
        ({"shape": (3,), "halo": (1, 0, 0, 0)}, "only rank 4"),
    ],
)
def test_impossible_tensors_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tensor(**arguments)  # type: ignore[arg-type]  # the point of the test


def workload(**attrs: object) -> Workload:
    names = tuple(sorted(attrs.items()))
    return Workload("conv2d", (BLOCKED, Tensor((4, 21, 3, 3))), BLOCKED, names, call("relu", ACC))  # type: ignore[arg-type]


def test_json_goes_both_ways() -> None:
    one = workload(strides=(1, 2), groups=1, kind="max", alpha=0.5)
    again = Workload.from_json(json.loads(json.dumps(one.to_json())))
    assert again == one
    assert again.key == one.key
    assert again.attr("strides") == (1, 2)
    assert hash(again) == hash(one)


def test_keys_tell_workloads_apart() -> None:
    keys = {
        workload(groups=1).key,
        workload(groups=2).key,
        Workload("conv2d", (BLOCKED,), BLOCKED).key,
        Workload("conv2d", (BLOCKED,), BLOCKED, epilogue=call("relu", ACC)).key,
        Workload("conv2d", (BLOCKED,), BLOCKED, inner=call("relu", ACC)).key,
        Workload("pool2d", (BLOCKED,), BLOCKED).key,
        Workload("conv2d", (Tensor(BLOCKED.shape),), BLOCKED).key,
    }
    assert len(keys) == 7
    assert all(len(key.rsplit("-", 1)[1]) == 12 for key in keys)


def test_keys_stay_what_they_are() -> None:
    """Records are filed under them; a change would orphan every log."""
    relu = Workload("pointwise", (Tensor((2, 3)),), Tensor((2, 3)), (), call("relu", Arg(0)))
    assert relu.key == "pointwise-86c5926a0a4d"


def test_hashes_are_made_anew_elsewhere() -> None:
    """String hashes differ in each process, and a workload caches its hash."""
    given = workload(groups=1)
    code = f"import pickle; one = pickle.loads(bytes.fromhex('{pickle.dumps((given, hash(given))).hex()}'))"
    code += "; print(hash(one[0]) != one[1], one[0] in {type(one[0]).from_json(one[0].to_json())})"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_only_pairs_of_operators_write_an_inner_expression() -> None:
    plain = Workload("conv2d", (BLOCKED,), BLOCKED)
    assert "inner" not in plain.to_json()
    two = Workload("separable_conv2d", (BLOCKED,), BLOCKED, inner=call("add", ACC, Arg(3)))
    assert Workload.from_json(json.loads(json.dumps(two.to_json()))) == two


def test_attributes_are_sorted_and_known() -> None:
    with pytest.raises(ValueError, match="sorted by name"):
        Workload("pool2d", (BLOCKED,), BLOCKED, (("strides", 1), ("kernel", 2)))
    with pytest.raises(KeyError, match="dilations"):
        workload(groups=1).attr("dilations")
