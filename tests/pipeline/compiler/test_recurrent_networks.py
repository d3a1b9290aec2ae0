"""PyTorch's recurrent modules from source to numbers, and tuning a recurrence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tvmopt.pipeline.graph.optimize import optimize
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.tasks.extract import extract_tasks
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import parse_target

SOURCE = """\
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = {module}
        self.first = {first}

    def forward(self, x):
        return {result}

def build():
    torch.manual_seed(0)
    return Net().eval(), (torch.randn({shape}),)
"""
STATES = "self.layer(x)"
CASES: dict[str, tuple[str, str, str, str]] = {
    "lstm": ("nn.LSTM(5, 33, num_layers=2, batch_first=True)", "None", STATES, "2, 9, 5"),
    "last step": ("nn.LSTM(5, 33, batch_first=True)", "None", "self.layer(x)[0][:, -1]", "1, 9, 5"),
    "bidirectional": ("nn.LSTM(5, 7, num_layers=2, bidirectional=True)", "None", STATES, "4, 3, 5"),
    "without biases": ("nn.LSTM(5, 7, bias=False)", "None", "self.layer(x)[1]", "4, 3, 5"),
    "one step": ("nn.LSTM(5, 7)", "None", STATES, "1, 1, 5"),
    "gru": ("nn.GRU(5, 33, num_layers=2, batch_first=True, bidirectional=True)", "None", STATES, "2, 9, 5"),
    "first state": ("nn.GRU(5, 7)", "nn.Parameter(torch.randn(1, 3, 7))", "self.layer(x, self.first)", "4, 3, 5"),
    "rnn": ("nn.RNN(5, 17)", "None", STATES, "6, 2, 5"),
    "rnn with relu": ("nn.RNN(5, 17, nonlinearity='relu', bidirectional=True)", "None", STATES, "6, 2, 5"),
}


def load(folder: Path, name: str) -> Any:
    module, first, result, shape = CASES[name]
    path = folder / "net.py"
    path.write_text(SOURCE.format(module=module, first=first, result=result, shape=shape))
    return load_model(f"{path}:build")


@pytest.mark.sweep
@pytest.mark.parametrize("name", CASES)
def test_modules(tmp_path: Path, check_whole: Callable[..., None], name: str) -> None:
    """The import compares onnxruntime with PyTorch; this test compares the compiled model with onnxruntime."""
    check_whole(load(tmp_path, name), parse_target("llvm", 2))


def test_the_recurrence_of_a_classifier_moves_no_data(tmp_path: Path) -> None:
    """For one batch-first sequence there is nothing to transpose, and only the last step to copy."""
    graph = optimize(load(tmp_path, "last step"), parse_target("x86-64-v3")).graph
    assert [node.kind for node in graph.nodes if node.op != "reshape"] == ["dense", "recurrence", "copy"]


@pytest.mark.slow
def test_tuning(tmp_path: Path) -> None:
    from tvmopt.pipeline.tuning.measure.workers import WorkerMeasurer, WorkerOptions

    target = parse_target("llvm", 1)
    tasks = extract_tasks(optimize(load(tmp_path, "last step"), target))
    (task,) = (task for task in tasks if task.workload.op == "recurrence")
    configs = list(template_for(task.workload, target).space(task.workload, target))[:3]
    measurer = WorkerMeasurer(target, WorkerOptions(count=1))
    try:
        trials = list(measurer.measure(task, configs))
    finally:
        measurer.close()
    assert [trial.error for trial in trials] == [""] * 3
    assert all(trial.status == "ok" and min(trial.latency_s) > 0 for trial in trials)
