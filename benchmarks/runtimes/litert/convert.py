"""Converts an exported PyTorch program to LiteRT; run by a Python that has litert-torch but not this project.

Arguments: the program (``.pt2``), the model to write (``.tflite``), the ranks of the program's inputs as JSON.
"""

from __future__ import annotations

import json
import sys


def convert(program: str, model: str, ranks: list[int]) -> None:
    """Converts `program`, with its inputs of rank 4 changed to channels last."""
    import litert_torch
    import torch

    exported = torch.export.load(program)
    images = [index for index, rank in enumerate(ranks) if rank == 4]
    module = exported.module()
    given, _ = exported.example_inputs
    inputs = [tensor.movedim(1, -1).contiguous() if index in images else tensor for index, tensor in enumerate(given)]
    if images:
        module = litert_torch.to_channel_last_io(module, args=images)
    # The converter calls eval, which an exported program does not support and does not need.
    setattr(module, "eval", lambda: module)  # noqa: B010  # methods are not assigned to
    litert_torch.convert(module, tuple(inputs)).export(model)


if __name__ == "__main__":
    convert(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
