"""Writes small MXNet networks."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

KINDS = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6}


def node(
    operator: str, name: str, inputs: Sequence[int | tuple[int, int]] = (), **attributes: object
) -> dict[str, Any]:
    """A node of a symbol; `inputs` are numbers of nodes, with an output's number where it is not the first."""
    entries = [[one, 0, 0] if isinstance(one, int) else [*one, 0] for one in inputs]
    return {
        "op": operator,
        "name": name,
        "attrs": {key: str(value) for key, value in attributes.items()},
        "inputs": entries,
    }


def array_bytes(array: np.ndarray, version: int = 2) -> bytes:
    """An array as versions 1, 2 and 3 of the format write it; 0 is the oldest."""
    width = "I" if version == 0 else "q"
    magic = b"" if version == 0 else struct.pack("<I", 0xF993FAC7 + version)
    storage = struct.pack("<i", 0) if version >= 2 else b""
    shape = struct.pack(f"<i{array.ndim}{width}", array.ndim, *array.shape)
    return magic + storage + shape + struct.pack("<iii", 1, 0, KINDS[array.dtype.name]) + array.tobytes()


def params_bytes(arrays: Mapping[str, np.ndarray], version: int = 2) -> bytes:
    """A file of parameters."""
    content = struct.pack("<QQQ", 0x112, 0, len(arrays)) + b"".join(
        array_bytes(one, version) for one in arrays.values()
    )
    content += struct.pack("<Q", len(arrays))
    return content + b"".join(struct.pack("<Q", len(name)) + name.encode() for name in arrays)


def save_mxnet(
    folder: Path, nodes: Sequence[Mapping[str, Any]], arrays: Mapping[str, np.ndarray], version: int = 2
) -> Path:
    """Writes ``net-symbol.json``, whose output is its last node, and ``net-0000.params``."""
    (folder / "net-0000.params").write_bytes(params_bytes(arrays, version))
    path = folder / "net-symbol.json"
    arguments = [place for place, one in enumerate(nodes) if one["op"] == "null"]
    path.write_text(json.dumps({"nodes": list(nodes), "arg_nodes": arguments, "heads": [[len(nodes) - 1, 0, 0]]}))
    return path
