"""Bits of weights by the machine that is to run them."""

from __future__ import annotations

import json

import pytest

from tvmopt.pipeline.quantize.weight_bits import usual_weight_bits
from tvmopt.schedules.target import parse_target

VNNI = {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mattr": ["+avx512f", "+avx512bw", "+avx512vl", "+avx512vnni"]}


@pytest.mark.parametrize(
    ("target", "bits"),
    [("x86-64-v3", 7), ("x86-64-v4", 7), (json.dumps(VNNI), 8), ("aarch64", 8), ("aarch64-dotprod", 8), ("armv7", 8)],
    ids=["avx2", "avx512", "vnni", "neon", "dotprod", "armv7"],
)
def test_usual_bits(target: str, bits: int) -> None:
    assert usual_weight_bits(parse_target(target)) == bits
