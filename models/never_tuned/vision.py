"""Image classification: networks of timm and torchvision, by their names there."""

from __future__ import annotations

from seeded import Built, from_timm, from_torchvision


def vit_tiny_patch16_224() -> Built:
    """`vit_tiny_patch16_224` of timm."""
    return from_timm("vit_tiny_patch16_224")


def swin_tiny_patch4_window7_224() -> Built:
    """`swin_tiny_patch4_window7_224` of timm."""
    return from_timm("swin_tiny_patch4_window7_224")


def convnext_tiny() -> Built:
    """`convnext_tiny` of timm."""
    return from_timm("convnext_tiny")


def mobilenetv1_100() -> Built:
    """`mobilenetv1_100` of timm."""
    return from_timm("mobilenetv1_100")


def ghostnet_100() -> Built:
    """`ghostnet_100` of timm."""
    return from_timm("ghostnet_100")


def efficientnet_lite0() -> Built:
    """`efficientnet_lite0` of timm."""
    return from_timm("efficientnet_lite0")


def mobilevit_s() -> Built:
    """`mobilevit_s` of timm."""
    return from_timm("mobilevit_s", 256)


def deit_small_patch16_224() -> Built:
    """`deit_small_patch16_224` of timm."""
    return from_timm("deit_small_patch16_224")


def res2net50_26w_4s() -> Built:
    """`res2net50_26w_4s` of timm."""
    return from_timm("res2net50_26w_4s")


def repvgg_a0() -> Built:
    """`repvgg_a0` of timm."""
    return from_timm("repvgg_a0")


def mixer_s32_224() -> Built:
    """`mixer_s32_224` of timm."""
    return from_timm("mixer_s32_224")


def poolformer_s12() -> Built:
    """`poolformer_s12` of timm."""
    return from_timm("poolformer_s12")


def efficientformer_l1() -> Built:
    """`efficientformer_l1` of timm."""
    return from_timm("efficientformer_l1")


def mobileone_s1() -> Built:
    """`mobileone_s1` of timm."""
    return from_timm("mobileone_s1")


def levit_128() -> Built:
    """`levit_128` of timm."""
    return from_timm("levit_128")


def shufflenet_v2_x1_0() -> Built:
    """`shufflenet_v2_x1_0` of torchvision."""
    return from_torchvision("shufflenet_v2_x1_0")


def alexnet() -> Built:
    """`alexnet` of torchvision."""
    return from_torchvision("alexnet")


def resnet18() -> Built:
    """`resnet18` of torchvision."""
    return from_torchvision("resnet18")


def mnasnet1_0() -> Built:
    """`mnasnet1_0` of torchvision."""
    return from_torchvision("mnasnet1_0")


def regnet_y_400mf() -> Built:
    """`regnet_y_400mf` of torchvision."""
    return from_torchvision("regnet_y_400mf")


def googlenet() -> Built:
    """`googlenet` of torchvision."""
    return from_torchvision("googlenet")


def resnext50_32x4d() -> Built:
    """`resnext50_32x4d` of torchvision."""
    return from_torchvision("resnext50_32x4d")
