"""Importing TVM's runtime alone, without its compiler and without PyTorch."""

from __future__ import annotations

import os
import sys
from typing import Any


def import_runtime() -> Any:
    """The module `tvm` with its runtime; what is loaded already stays as it is.

    TVM's own import also imports PyTorch where that is installed, for exchanging tensors: a second and 250 MB that a
    deployed model has no use for. So PyTorch is hidden meanwhile; importing it afterwards works as ever.
    """
    if "tvm" in sys.modules:
        import tvm

        return tvm
    os.environ.setdefault("TVM_USE_RUNTIME_LIB", "1")
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # type: ignore[assignment]  # the documented way to make an import fail
    try:
        import tvm
        import tvm.runtime.vm
    finally:
        if hidden:
            del sys.modules["torch"]
    return tvm
