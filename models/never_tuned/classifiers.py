"""The classifiers of the literature that stand neither in the folder above nor in `vision.py`."""

from __future__ import annotations

from vision import from_timm, from_torchvision

from seeded import Built


def squeezenet1_0() -> Built:
    """`squeezenet1_0` of torchvision."""
    return from_torchvision("squeezenet1_0")


def vgg19() -> Built:
    """`vgg19` of torchvision."""
    return from_torchvision("vgg19")


def inception_v4() -> Built:
    """`inception_v4` of timm."""
    return from_timm("inception_v4", 299)


def inception_resnet_v2() -> Built:
    """`inception_resnet_v2` of timm."""
    return from_timm("inception_resnet_v2", 299)


def resnet101() -> Built:
    """`resnet101` of torchvision."""
    return from_torchvision("resnet101")


def resnet152() -> Built:
    """`resnet152` of torchvision."""
    return from_torchvision("resnet152")


def densenet161() -> Built:
    """`densenet161` of torchvision."""
    return from_torchvision("densenet161")


def densenet169() -> Built:
    """`densenet169` of torchvision."""
    return from_torchvision("densenet169")


def seresnet50() -> Built:
    """`seresnet50` of timm."""
    return from_timm("seresnet50")
