"""The fingerprint of this machine, and the rules that decide whether two machines are comparable."""

from __future__ import annotations

import getpass
import json
import os
import platform
import socket
from importlib import metadata
from pathlib import Path

import numpy as np
import psutil
import pytest

from tvmopt.benchmarks.machine.environment import (
    MACHINE_FIELDS,
    OWN_PACKAGES,
    SOFTWARE_FIELDS,
    choose_cores,
    differing_fields,
    has_int8_dot_product,
    read_environment,
    usable_cores,
)
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.errors import UsageError


def test_facts_of_this_machine() -> None:
    environment = read_environment()
    assert environment["cpu"] not in ("", "unknown")
    assert environment["architecture"] == platform.machine()
    assert environment["threads"] == psutil.cpu_count()
    assert environment["python"] == platform.python_version()
    assert environment["packages"]["numpy"] == np.__version__
    assert set(MACHINE_FIELDS) | set(SOFTWARE_FIELDS) <= set(environment)
    json.dumps(environment, allow_nan=False)


def test_it_contains_neither_host_nor_user_name() -> None:
    words = json.dumps(read_environment()).replace('"', " ").split()
    assert socket.gethostname() not in words
    assert getpass.getuser() not in words
    assert str(Path.cwd()) not in words


def test_usable_cores_are_those_of_the_affinity() -> None:
    cores = usable_cores()
    assert sorted(cores) == sorted(os.sched_getaffinity(0))


def test_cores_are_chosen_from_the_usable_ones() -> None:
    cores = usable_cores()
    assert choose_cores(0) == choose_cores(len(cores)) == tuple(cores)
    assert choose_cores(1) == tuple(cores[:1])
    with pytest.raises(UsageError, match=f"threads must be at most {len(cores)}, .*; got {len(cores) + 1}"):
        choose_cores(len(cores) + 1)


def test_versions_are_those_of_our_own_packages_and_of_the_ones_asked_for() -> None:
    assert set(read_environment()["packages"]) <= set(OWN_PACKAGES)
    packages = read_environment(["rich", "numpy", "no-such-distribution"])["packages"]
    assert packages["rich"] == metadata.version("rich")
    assert set(packages) - {"rich"} <= set(OWN_PACKAGES)


def test_int8_saturates_only_on_x86_without_vnni() -> None:
    vnni = {"avx512_vnni", "avx_vnni", "amx_int8"} & set(LOCAL.facts().features)
    assert has_int8_dot_product() == (bool(vnni) or platform.machine() != "x86_64")


def test_differences() -> None:
    environment = read_environment()
    other = environment | {"cores": environment["cores"] + 1, "kernel": "another"}
    assert differing_fields(environment, environment, MACHINE_FIELDS) == []
    assert differing_fields(environment, other, MACHINE_FIELDS) == ["cores"]
    assert differing_fields(environment, other, SOFTWARE_FIELDS) == ["kernel"]
