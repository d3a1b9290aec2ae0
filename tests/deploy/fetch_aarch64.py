"""Fetches TVM's runtime for 64-bit Arm, for the test under qemu: `python tests/deploy/fetch_aarch64.py`.

Two libraries, out of the wheels of the versions that are installed here, go to .cache/aarch64.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "aarch64"
LIBRARIES = {"apache-tvm": "tvm/lib/libtvm_runtime.so", "apache-tvm-ffi": "tvm_ffi/lib/libtvm_ffi.so"}


def main() -> None:
    """Downloads what is missing."""
    if all((FOLDER / Path(member).name).exists() for member in LIBRARIES.values()):
        return
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--platform", "manylinux_2_28_aarch64"]
    with tempfile.TemporaryDirectory() as folder:
        packages = [f"{name}=={version(name)}" for name in LIBRARIES]
        subprocess.run(
            [sys.executable, "-m", "pip", "download", *options, "--python-version", "3.11", "-d", folder, *packages],
            check=True,
        )
        FOLDER.mkdir(parents=True, exist_ok=True)
        for wheel in Path(folder).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                for member in set(LIBRARIES.values()) & set(archive.namelist()):
                    (FOLDER / Path(member).name).write_bytes(archive.read(member))


if __name__ == "__main__":
    main()
