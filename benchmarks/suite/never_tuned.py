"""The networks of ``nox -s bench -- --networks``: of many kinds, none of them tuned."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tvmopt.pipeline.support.shipped import shipped

PEERS = ("onnxruntime", "openvino", "litert")
"""The peers that they are compared with unless others are named: those that take most of them."""

NEVER_TUNED: Mapping[str, tuple[str, ...]] = {
    "audio": (
        *("wav2vec2_features", "whisper_tiny_encoder", "conv_tasnet_small", "m5_audio", "tcn", "crnn_lstm"),
        "gru_enhance",
    ),
    "decoders": (
        *("pose_mobilenet_deconv", "autoencoder_deconv", "fsrcnn_x2", "espcn_x3", "unet_small"),
        *("deeplabv3_mobilenet", "lraspp_mobilenet", "resnet3d_small", "r2plus1d_18"),
    ),
    "points": ("pointnet", "dgcnn_edge", "tabular_mlp"),
    "language": ("bert_mini", "minilm_l6", "distilbert", "gpt2_prefill"),
    "vision": (
        *("vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "convnext_tiny", "mobilenetv1_100", "ghostnet_100"),
        *("efficientnet_lite0", "mobilevit_s", "deit_small_patch16_224", "res2net50_26w_4s", "repvgg_a0"),
        *("mixer_s32_224", "poolformer_s12", "efficientformer_l1", "mobileone_s1", "levit_128"),
        *("shufflenet_v2_x1_0", "alexnet", "resnet18", "mnasnet1_0", "regnet_y_400mf", "googlenet", "resnext50_32x4d"),
    ),
    "detection": ("ssdlite_heads", "yolov8n", "yolo11n", "yolov5n", "segformer_b0", "text_detector"),
    "reading": ("text_recognizer",),
}
"""The factories of each file in models/never_tuned."""

NAMES = tuple(name for names in NEVER_TUNED.values() for name in names)
"""All of them, in order."""


def model_of(network: str) -> str:
    """MODEL of one of `NAMES`, with a relative path, since measurement files record it as given."""
    file = next(file for file, names in NEVER_TUNED.items() if network in names)
    return f"{os.path.relpath(shipped('models') / 'never_tuned' / f'{file}.py')}:{network}"
