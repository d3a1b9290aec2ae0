from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

from tvmopt.schedules.registry import TEMPLATES
from tvmopt.schedules.target import ISAS, TARGETS, Target, host_isa, parse_target

NAMES = [name for name in TARGETS if not name.endswith("XX")]


@pytest.mark.parametrize("name", [*NAMES, "cuda:sm_90", "cuda:sm_100a"])
def test_listed_targets_can_be_parsed(name: str) -> None:
    target = parse_target(name)
    assert target.name == name
    assert target.isa in ISAS
    assert target.vector_bits == 32 * target.lanes("float32") == 32 * target.channel_block("float32")
    assert target.kind in TEMPLATES
    assert Target.from_json(json.loads(json.dumps(target.to_json()))) == target
    assert target.is_gpu == name.startswith("cuda")


@pytest.mark.parametrize("name", NAMES)
def test_tvm_takes_every_target(name: str) -> None:
    import tvm

    assert tvm.target.Target(dict(parse_target(name).tvm)).kind.name in ("llvm", "cuda")


@pytest.mark.parametrize(
    ("name", "isa", "arch", "lanes"),
    [
        ("x86-64-v3", "avx2", "x86_64", 8),
        ("x86-64-v4", "avx512", "x86_64", 16),
        ("aarch64", "neon", "aarch64", 4),
        ("armv7", "neon32", "armv7l", 4),
        ('{"kind": "llvm", "mtriple": "x86_64-linux-gnu"}', "sse2", "x86_64", 4),
        ('{"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "haswell"}', "avx2", "x86_64", 8),
        ('{"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "znver4"}', "avx512", "x86_64", 16),
        ('{"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mattr": ["+avx2", "+fma"]}', "avx2", "x86_64", 8),
        ('{"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72"}', "neon", "aarch64", 4),
    ],
)
def test_facts_derived_from_a_target(name: str, isa: str, arch: str, lanes: int) -> None:
    target = parse_target(name)
    assert (target.isa, target.arch, target.lanes("float32")) == (isa, arch, lanes)


def test_lanes_are_those_of_an_element_type() -> None:
    target = parse_target("x86-64-v3")
    assert [target.lanes(dtype) for dtype in ("uint8", "float16", "float32", "int32", "int64")] == [32, 16, 8, 8, 4]
    assert parse_target("cuda").lanes("float64") == 1
    # A block has as many channels as a register has room for their sums.
    assert [target.channel_block(dtype) for dtype in ("uint8", "float16", "float32", "float64")] == [8, 8, 8, 4]
    with pytest.raises(ValueError, match="unknown element type 'float31'"):
        target.lanes("float31")


def test_threads_are_part_of_a_target() -> None:
    target = parse_target("x86-64-v3", 3)
    assert target.threads == 3
    assert target.tvm["num-cores"] == 3
    assert target.key == "x86_64-avx2-3t"
    assert parse_target("cuda:sm_90").key == "cuda-sm_90"


def test_this_machine_runs_its_own_code() -> None:
    arch, isa = platform.machine(), host_isa()
    assert parse_target("llvm").runs_on(arch, isa)
    assert parse_target("llvm").arch == platform.machine()
    assert not parse_target("cuda").runs_on(arch, isa)
    assert not parse_target("armv7").runs_on(arch, isa)
    assert parse_target("x86-64-v3").runs_on("x86_64", "avx512")
    assert not parse_target("x86-64-v4").runs_on("x86_64", "avx2")
    assert not parse_target("aarch64").runs_on("aarch64", "neon32")


@pytest.mark.parametrize(
    ("text", "threads", "message"),
    [
        ("lvm", None, "unknown target 'lvm'"),
        ("cuda:90", None, "write cuda or cuda:sm_XX"),
        ("{kind", None, "not valid JSON"),
        ('{"kind": "c"}', None, "kind must be 'llvm' or 'cuda', got 'c'"),
        ('{"kind": "llvm", "mtriple": "riscv64-linux-gnu"}', None, "got 'riscv64-linux-gnu'"),
        ("llvm", 0, "at least 1, got 0"),
    ],
)
def test_unknown_targets_are_refused(text: str, threads: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        parse_target(text, threads)
    assert "\n" not in str(raised.value)


def test_importing_targets_does_not_import_tvm() -> None:
    names = ("dtypes", "expression", "operators", "target", "space", "workload", "registry")
    modules = ", ".join(f"tvmopt.schedules.{name}" for name in names)
    code = f"import sys, {modules}; sys.exit('tvm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
