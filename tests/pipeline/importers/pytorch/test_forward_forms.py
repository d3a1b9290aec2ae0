"""Forms of `forward` that torch's exporter alone does not take: inputs handed on, wrappers, objects in the result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tvmopt.pipeline.errors import UsageError
from tvmopt.pipeline.importers import example_inputs, load_model
from tvmopt.pipeline.support.onnxruntime import run_model

pytest.importorskip("torch")

CODE = """
class Two(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 4)

    def forward(self, a, b):
        return self.linear(a) - 2 * b

class HandsOn(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Two()

    def forward(self, *inputs, **options):
        return self.inner(*inputs, **options)

class Mixed(Two):
    def forward(self, a, *others):
        return super().forward(a, others[0]) + others[1]

class Cache:
    def __init__(self, keys):
        self.keys = keys

class Remembers(Two):
    def forward(self, a, b):
        result = super().forward(a, b)
        return {"logits": result, "cache": Cache(a), "more": (Cache(b), a + b, None)}

def two(): return Two(), (torch.randn(2, 4), torch.randn(2, 4))
def hands_on(): return HandsOn(), (torch.randn(2, 4), torch.randn(2, 4))
def parallel(): return nn.DataParallel(Two()), (torch.randn(2, 4), torch.randn(2, 4))
def mixed(): return Mixed(), (torch.randn(2, 4), torch.randn(2, 4), torch.randn(2, 4))
def remembers(): return Remembers(), (torch.randn(2, 4), torch.randn(2, 4))
"""


def values(factory: str, save_python: Callable[..., str], **shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    model = load_model(save_python(CODE, factory), shapes)
    return {**example_inputs(model), **run_model(model.original, example_inputs(model))}


@pytest.mark.parametrize(
    ("factory", "names"),
    [("hands_on", ["inputs_0", "inputs_1"]), ("parallel", ["a", "b"]), ("mixed", ["a", "others_0", "others_1"])],
)
def test_all_inputs_keep_their_places(save_python: Callable[..., str], factory: str, names: list[str]) -> None:
    *inputs, output = values(factory, save_python).items()
    assert [name for name, _ in inputs] == names
    usual = values("two", save_python)
    for (_, array), name in zip(inputs, ("a", "b"), strict=False):
        assert np.array_equal(array, usual[name])
    rest = inputs[2][1] if len(inputs) > 2 else 0.0
    np.testing.assert_allclose(output[1], usual["output"] + rest, rtol=1e-5, atol=1e-6)


def test_handed_on_inputs_take_shapes_by_their_names(save_python: Callable[..., str]) -> None:
    made = values("hands_on", save_python, inputs_0=(3, 4), inputs_1=(3, 4))
    assert made["output"].shape == (3, 4)
    with pytest.raises(UsageError, match="unknown input 'inputs'"):
        values("hands_on", save_python, inputs=(3, 4))


def test_objects_in_the_result_are_left_out(save_python: Callable[..., str]) -> None:
    made = values("remembers", save_python)
    assert set(made) == {"a", "b", "logits", "more_0"}
    np.testing.assert_allclose(made["more_0"], made["a"] + made["b"], rtol=1e-6)
    np.testing.assert_allclose(made["logits"], values("two", save_python)["output"], rtol=1e-6)
