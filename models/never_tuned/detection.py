"""Detection and dense prediction."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seeded import Built, FirstOutput, image, seeded


class Heads(nn.Module):
    """A detector of torchvision without what chooses boxes: its two heads' raw results."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.head

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images to scores and offsets of all anchors."""
        found = self.head(list(self.backbone(x).values()))
        return found["cls_logits"], found["bbox_regression"]


def ssdlite_heads() -> Built:
    """SSDLite with MobileNetV3 on 320 × 320 pixels."""
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    return seeded(lambda: Heads(ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)), image(320))


def _yolo(definition: str) -> Built:
    """A network of ultralytics by its definition's file name, on 320 × 320 pixels."""
    from ultralytics.nn.tasks import DetectionModel

    def make() -> nn.Module:
        model = DetectionModel(definition, verbose=False).eval()
        model.model[-1].export = True
        return FirstOutput(model)

    return seeded(make, image(320))


def yolov8n() -> Built:
    """YOLOv8n."""
    return _yolo("yolov8n.yaml")


def yolo11n() -> Built:
    """YOLO11n."""
    return _yolo("yolo11n.yaml")


def yolov5n() -> Built:
    """YOLOv5n."""
    return _yolo("yolov5n.yaml")


def segformer_b0() -> Built:
    """SegFormer-B0 (arXiv:2105.15203) on 256 × 256 pixels."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    return seeded(lambda: FirstOutput(SegformerForSemanticSegmentation(SegformerConfig())), image(256))


class TextDetector(nn.Module):
    """Finds text as PP-OCR's detector does: a feature pyramid on MobileNetV3, then DB's head (arXiv:1911.08947)."""

    def __init__(self) -> None:
        super().__init__()
        import timm

        self.backbone = timm.create_model("mobilenetv3_small_100", pretrained=False, features_only=True)
        sizes = self.backbone.feature_info.channels()[1:]
        self.inner = nn.ModuleList(nn.Conv2d(size, 96, 1, bias=False) for size in sizes)
        self.outer = nn.ModuleList(nn.Conv2d(96, 24, 3, padding=1, bias=False) for _ in sizes)
        up = [nn.ConvTranspose2d(24, 24, 2, stride=2), nn.BatchNorm2d(24), nn.ReLU(), nn.ConvTranspose2d(24, 1, 2, 2)]
        self.head = nn.Sequential(
            nn.Conv2d(24 * len(sizes), 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), *up, nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(N, 3, H, W)`` to one map of that size."""
        maps = [conv(y) for conv, y in zip(self.inner, self.backbone(x)[1:], strict=True)]
        for i in range(len(maps) - 2, -1, -1):
            maps[i] = maps[i] + nn.functional.interpolate(maps[i + 1], size=maps[i].shape[2:], mode="nearest")
        size = maps[0].shape[2:]
        parts = [nn.functional.interpolate(conv(y), size=size) for conv, y in zip(self.outer, maps, strict=True)]
        y: Tensor = self.head(torch.cat(parts, 1))
        return y


def text_detector() -> Built:
    """The detector of text on 320 × 320 pixels."""
    return seeded(TextDetector, image(320))
