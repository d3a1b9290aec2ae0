"""Lowers an exported PyTorch program for ExecuTorch with XNNPACK; run by a Python that has executorch.

Arguments: the program (``.pt2``), the model to write (``.pte``), the ranks of the program's inputs as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def convert(program: str, model: str, ranks: list[int]) -> None:
    """Lowers `program`, exported anew with its inputs of rank 4 stored with channels last."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
    from executorch.exir.passes import MemoryPlanningPass

    exported = torch.export.load(program)
    given, _ = exported.example_inputs
    last = torch.channels_last
    inputs = [
        tensor.contiguous(memory_format=last) if rank == 4 else tensor
        for tensor, rank in zip(given, ranks, strict=True)
    ]
    again = torch.export.export(exported.module(), tuple(inputs))
    lowered = to_edge_transform_and_lower(again, partitioner=[XnnpackPartitioner()])
    # Inputs stay where the caller has them, so that a run copies none in.
    planning = MemoryPlanningPass(alloc_graph_input=False)
    made = lowered.to_executorch(ExecutorchBackendConfig(memory_planning_pass=planning))
    Path(model).write_bytes(made.buffer)


if __name__ == "__main__":
    convert(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
