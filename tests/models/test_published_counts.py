"""The classifiers of the literature have as many parameters and multiply-adds as was published."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow  # packages that define networks take seconds to import

NEVER_TUNED = Path(__file__).resolve().parents[2] / "models" / "never_tuned"

# By package and name: parameters, multiply-adds in 10^9 with the convolutions and dense layers counted, image size.
# torchvision's from its documentation of the weights, timm's from its table of results.
PUBLISHED = {
    ("torchvision", "alexnet"): (61_100_840, 0.714, 224),
    ("torchvision", "squeezenet1_0"): (1_248_424, 0.819, 224),
    ("torchvision", "squeezenet1_1"): (1_235_496, 0.349, 224),
    ("torchvision", "vgg16"): (138_357_544, 15.47, 224),
    ("torchvision", "vgg19"): (143_667_240, 19.632, 224),
    ("torchvision", "googlenet"): (6_624_904, 1.498, 224),
    ("torchvision", "inception_v3"): (27_161_264, 5.713, 299),
    ("torchvision", "resnet50"): (25_557_032, 4.089, 224),
    ("torchvision", "resnet101"): (44_549_160, 7.801, 224),
    ("torchvision", "resnet152"): (60_192_808, 11.514, 224),
    ("torchvision", "densenet121"): (7_978_856, 2.834, 224),
    ("torchvision", "densenet161"): (28_681_000, 7.728, 224),
    ("torchvision", "densenet169"): (14_149_480, 3.36, 224),
    ("torchvision", "mobilenet_v2"): (3_504_872, 0.301, 224),
    ("timm", "inception_v4"): (42_679_816, 12.28, 299),
    ("timm", "inception_resnet_v2"): (55_843_464, 13.18, 299),
    ("timm", "mobilenetv1_100"): (4_231_976, 0.57, 224),
    ("timm", "seresnet50"): (28_088_024, 4.11, 224),
}


@pytest.fixture(scope="module", autouse=True)
def _importable() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(NEVER_TUNED)
        importlib.import_module("torchvision_operators").declare()
        yield


def definition(package: str, name: str) -> torch.nn.Module:
    with torch.device("meta"):
        if package == "timm":
            return pytest.importorskip("timm").create_model(name, pretrained=False).eval()
        models = pytest.importorskip("torchvision.models")
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        return models.get_model(name, weights=None, **options).eval()


@pytest.mark.parametrize("key", PUBLISHED, ids=lambda key: key[1])
def test_counts(key: tuple[str, str]) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    parameters, giga, size = PUBLISHED[key]
    model = definition(*key)
    # Classifiers for training alone; the weights of this one are published without.
    left_out = ("aux1", "aux2") if key[1] == "googlenet" else ()
    named = [(name, value) for name, value in model.named_parameters() if name.partition(".")[0] not in left_out]
    assert sum(value.numel() for _, value in named) == parameters
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model(torch.empty(1, 3, size, size, device="meta"))
    assert counted.get_total_flops() / 2e9 == pytest.approx(giga, rel=0.02)
