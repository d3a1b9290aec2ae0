"""MobileNet-SSD 300 as a file of Caffe, with its post-processing: prior boxes, decoding, suppression.

After the published ``MobileNetSSD_deploy.prototxt``, in which batch normalisations are folded:
``python models/literature/caffe_ssd.py FOLDER`` writes it with seeded weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

from caffe_builder import CaffeBuilder

CLASSES = 21
BLOCKS = (*((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)), *((512, 1),) * 5, (1024, 2), (1024, 1))
EXTRAS = ((256, 512), (128, 256), (128, 256), (64, 128))
SIZES = {"conv11": (60, 0), "conv13": (105, 150), "conv14_2": (150, 195), "conv15_2": (195, 240)}
SIZES |= {"conv16_2": (240, 285), "conv17_2": (285, 300)}
"""By map, the smaller and the larger size of its boxes in pixels; 0 if there is no larger one."""
VARIANCES = "variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2"


def mobilenet_ssd() -> CaffeBuilder:
    """The network; its result is (1, 1, boxes, 7): image, class, score and corners."""
    net = CaffeBuilder("MobileNet-SSD", 300)
    x = net.relu(net.conv("conv0", "data", 32, 3, stride=2, pad=1))
    for place, (channels, stride) in enumerate(BLOCKS, 1):
        deep = net.shapes[x][0]
        x = net.relu(net.conv(f"conv{place}/dw", x, deep, 3, stride=stride, pad=1, group=deep))
        x = net.relu(net.conv(f"conv{place}", x, channels, 1))
    for place, (narrow, wide) in enumerate(EXTRAS, 14):
        x = net.relu(net.conv(f"conv{place}_1", x, narrow, 1))
        x = net.relu(net.conv(f"conv{place}_2", x, wide, 3, stride=2, pad=1))
    parts = [_head(net, name) for name in SIZES]
    shape = (1, 1, 1)  # of what follows, nothing needs the shape
    for name, axis, column in (("mbox_loc", 1, 0), ("mbox_conf", 1, 1), ("mbox_priorbox", 2, 2)):
        bottoms = " ".join(part[column] for part in parts)
        net.layer("Concat", name, bottoms, (name, shape), f"concat_param {{ axis: {axis} }}")
    text = f"reshape_param {{ shape {{ dim: 0 dim: -1 dim: {CLASSES} }} }}"
    y = net.layer("Reshape", "mbox_conf_reshape", "mbox_conf", ("mbox_conf_reshape", shape), text)
    y = net.other("Softmax", "mbox_conf_softmax", y, "softmax_param { axis: 2 }")
    y = net.other("Flatten", "mbox_conf_flatten", y, "flatten_param { axis: 1 }")
    nms = "nms_param { nms_threshold: 0.45 top_k: 100 } code_type: CENTER_SIZE keep_top_k: 100"
    limits = f"num_classes: {CLASSES} share_location: true background_label_id: 0 {nms} confidence_threshold: 0.25"
    bottoms = f"mbox_loc {y} mbox_priorbox"
    net.layer(
        "DetectionOutput", "detection_out", bottoms, ("detection_out", shape), f"detection_output_param {{ {limits} }}"
    )
    return net


def _head(net: CaffeBuilder, name: str) -> tuple[str, str, str]:
    """The offsets and scores of the boxes of one map, and their priors."""
    small, large = SIZES[name]
    boxes, made = (6 if large else 3), []
    for what, numbers in (("loc", 4), ("conf", CLASSES)):
        y = net.conv(f"{name}_mbox_{what}", name, boxes * numbers, 1)
        y = net.other("Permute", f"{y}_perm", y, "permute_param { order: 0 order: 2 order: 3 order: 1 }")
        made.append(net.other("Flatten", y.replace("_perm", "_flat"), y, "flatten_param { axis: 1 }"))
    sizes = f"min_size: {small}.0 max_size: {large}.0" if large else f"min_size: {small}.0"
    ratios = "aspect_ratio: 2.0 aspect_ratio: 3.0" if large else "aspect_ratio: 2.0"
    text = f"prior_box_param {{ {sizes} {ratios} flip: true clip: false {VARIANCES} offset: 0.5 }}"
    return made[0], made[1], net.other("PriorBox", f"{name}_mbox_priorbox", f"{name} data", text)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: caffe_ssd.py FOLDER")
    sys.stdout.write(f"{mobilenet_ssd().save(Path(sys.argv[1]) / 'mobilenet_ssd')}\n")
