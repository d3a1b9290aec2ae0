"""Memory of a command on a model with many weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.importers.caffe.files import input_text, layer_text, save_caffe

WIDTH = 2896
LAYERS = 4


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dense layers of 134 MB. OpenCV, which checks the import, copies widths that are no multiple of 16 once more."""
    folder = tmp_path_factory.mktemp("large")
    text, arrays, last = input_text(1, WIDTH), {}, "data"
    random = np.random.default_rng(0)
    for place in range(LAYERS):
        text += layer_text(
            "InnerProduct", f"d{place}", last, f"d{place}", f"inner_product_param {{ num_output: {WIDTH} }}"
        )
        text += layer_text("ReLU", f"r{place}", f"d{place}", f"d{place}")
        weights = random.standard_normal((WIDTH, WIDTH), np.float32) / np.float32(WIDTH**0.5)
        arrays[f"d{place}"], last = [weights, np.zeros(WIDTH, np.float32)], f"d{place}"
    return save_caffe(folder, text, arrays)


MEASURED = """import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_bytes(*command: str) -> int:
    """The most memory that a process of `command`, or one that it starts, takes.

    A small process starts it: what the starting process holds at that moment would count as the command's.
    """
    whole = [sys.executable, "-c", MEASURED, sys.executable, "-m", "tvmopt", *command]
    made = subprocess.run(whole, env={**os.environ, "TVMOPT_CACHE": "off"}, stdout=subprocess.PIPE, check=True)
    code, peak = map(int, made.stdout.split())
    assert code == 0
    return peak * 1024


def test_compiling_has_weights_in_memory_twice_at_most(network: Path, tmp_path: Path) -> None:
    """Once as they are stored and once as the kernels read them, beside what the command takes without any."""
    nbytes = network.with_suffix(".caffemodel").stat().st_size
    peak = peak_bytes("compile", str(network), "--threads", "1", "--target", "x86-64-v3", "-o", str(tmp_path / "x.tar"))
    assert peak < 200e6 + 2 * nbytes


def test_converting_has_weights_in_memory_once(network: Path, tmp_path: Path) -> None:
    """Beside them, one layer's, and OpenCV's two copies in another process."""
    nbytes = network.with_suffix(".caffemodel").stat().st_size
    assert peak_bytes("convert", str(network), "-o", str(tmp_path / "x.onnx")) < 200e6 + 2 * nbytes
