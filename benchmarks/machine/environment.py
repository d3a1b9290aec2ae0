"""The fingerprint of a machine: the facts that a measurement depends on, and none that identify its owner."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.errors import UsageError
from tvmopt.pipeline.quantize.weight_bits import adds_four

ISA_FLAGS = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl"),
    *("avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimdhp", "asimddp", "fphp", "i8mm", "bf16", "sve", "sve2"),
)
"""CPU flags that decide which kernels a runtime picks."""

OWN_PACKAGES = (
    *("tvmopt", "apache-tvm", "apache-tvm-ffi", "onnx", "onnxruntime"),
    *("numpy", "scipy", "scikit-learn", "xgboost-cpu"),
)
"""Distributions that our own numbers depend on, whichever runtimes are measured; their versions are recorded."""

MACHINE_FIELDS = ("cpu", "architecture", "isa", "cores", "threads", "caches_bytes", "memory_gib")
"""Fields in which two files' environments must agree for their latencies to be comparable."""

SOFTWARE_FIELDS = ("os", "kernel", "governor", "python", "packages")
"""Fields that may differ between comparable files; reports mention the difference."""


def read_environment(packages: Iterable[str] = ()) -> dict[str, Any]:
    """This machine's facts, as a JSON object with the fields below.

    ``cpu`` (model name), ``architecture``, ``isa`` (its `ISA_FLAGS`), ``cores`` (physical) and
    ``threads`` (logical) of the machine, ``usable_cores`` (numbers that this process may run on), ``caches_bytes``
    (by level), ``memory_gib``, ``hypervisor``, ``os``, ``kernel``, ``governor`` (``null`` where it cannot be read),
    ``load_average`` (1, 5, 15 minutes, at the time of the call), ``python``, ``packages`` (name to version).

    Args:
        packages: distributions whose versions to record besides `OWN_PACKAGES`, if installed.
    """
    facts = LOCAL.facts()
    return {
        "cpu": facts.cpu,
        "architecture": facts.architecture,
        "isa": [flag for flag in ISA_FLAGS if flag in facts.features],
        "cores": facts.cores,
        "threads": facts.threads,
        "usable_cores": usable_cores(),
        "caches_bytes": {f"L{cache.level}": cache.size_bytes for cache in facts.caches},
        "memory_gib": round(facts.memory_bytes / 2**30),
        "hypervisor": "hypervisor" in facts.features,
        "os": facts.os,
        "kernel": facts.kernel,
        "governor": facts.governor,
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "packages": package_versions(dict.fromkeys((*OWN_PACKAGES, *packages))),
    }


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of the named distributions that are installed."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def has_int8_dot_product() -> bool:
    """Whether 8-bit products are summed in 32 bits, so that full-range INT8 weights cannot saturate.

    On x86 without VNNI, ``vpmaddubsw`` sums pairs of products in 16 bits and saturates. Arm has no such instruction.
    """
    facts = LOCAL.facts()
    return adds_four(facts.architecture, facts.features)


def usable_cores() -> list[int]:
    """Numbers of the logical cores that this process may run on; the first ones are on distinct physical cores."""
    return list(LOCAL.facts().usable_cores)


def choose_cores(threads: int) -> tuple[int, ...]:
    """The first `threads` of the `usable_cores`, or all of them for 0.

    Raises:
        UsageError: when there are fewer cores than threads.
    """
    cores = usable_cores()
    if threads > len(cores):
        raise UsageError(f"threads must be at most {len(cores)}, the cores this process may use; got {threads}")
    return tuple(cores[: threads or len(cores)])


def differing_fields(first: Mapping[str, Any], second: Mapping[str, Any], fields: Iterable[str]) -> list[str]:
    """The `fields` in which two environments differ."""
    return [field for field in fields if first.get(field) != second.get(field)]
