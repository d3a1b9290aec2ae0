"""The classifiers of the literature as files of Caffe: ``python models/literature/caffe_networks.py NAME FOLDER``.

Layers are those of the published prototxts, without what only training needs; weights are seeded random numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from caffe_builder import CaffeBuilder
from caffe_inception import inception_resnet_v2, inception_v3, inception_v4

LRN = "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"
BRANCH_GAIN = 0.3
"""Scale of what a residual block adds: with 1, activations would double from block to block."""


def alexnet() -> CaffeBuilder:
    """BVLC's AlexNet (Krizhevsky et al., 2012): two groups in three of its convolutions."""
    net = CaffeBuilder("AlexNet", 227)
    x = net.other("LRN", "norm1", net.relu(net.conv("conv1", "data", 96, 11, stride=4)), LRN)
    x = net.relu(net.conv("conv2", net.pool("pool1", x, "MAX", 3, stride=2), 256, 5, pad=2, group=2))
    x = net.pool("pool2", net.other("LRN", "norm2", x, LRN), "MAX", 3, stride=2)
    x = net.relu(net.conv("conv3", x, 384, 3, pad=1))
    x = net.relu(net.conv("conv4", x, 384, 3, pad=1, group=2))
    x = net.relu(net.conv("conv5", x, 256, 3, pad=1, group=2))
    return _dense_end(net, net.pool("pool5", x, "MAX", 3, stride=2))


def vgg16() -> CaffeBuilder:
    """VGG-16 (Simonyan and Zisserman, 2014)."""
    return _vgg("VGG-16", (2, 2, 3, 3, 3))


def vgg19() -> CaffeBuilder:
    """VGG-19."""
    return _vgg("VGG-19", (2, 2, 4, 4, 4))


def _vgg(name: str, depths: tuple[int, ...]) -> CaffeBuilder:
    net, x = CaffeBuilder(name, 224), "data"
    for block, (depth, channels) in enumerate(zip(depths, (64, 128, 256, 512, 512), strict=True), 1):
        for place in range(1, depth + 1):
            x = net.relu(net.conv(f"conv{block}_{place}", x, channels, 3, pad=1))
        x = net.pool(f"pool{block}", x, "MAX", 2, stride=2)
    return _dense_end(net, x)


def _dense_end(net: CaffeBuilder, x: str) -> CaffeBuilder:
    for name in ("fc6", "fc7"):
        x = net.relu(net.dense(name, x, 4096))
        x = net.layer("Dropout", f"drop{name[2:]}", x, (x, net.shapes[x]))
    net.other("Softmax", "prob", net.dense("fc8", x, 1000))
    return net


def squeezenet1_0() -> CaffeBuilder:
    """SqueezeNet 1.0 (Iandola et al., 2016)."""
    return _squeezenet("SqueezeNet-1.0", (96, 7), (4, 8))


def squeezenet1_1() -> CaffeBuilder:
    """SqueezeNet 1.1: smaller first convolution, earlier pooling."""
    return _squeezenet("SqueezeNet-1.1", (64, 3), (3, 5))


def _squeezenet(name: str, first: tuple[int, int], pooled: tuple[int, int]) -> CaffeBuilder:
    net = CaffeBuilder(name, 227)
    x = net.pool("pool1", net.relu(net.conv("conv1", "data", first[0], first[1], stride=2)), "MAX", 3, stride=2)
    for place, narrow in enumerate((16, 16, 32, 32, 48, 48, 64, 64), 2):
        fire = f"fire{place}"
        x = net.relu(net.conv(f"{fire}/squeeze1x1", x, narrow, 1))
        wide = [net.relu(net.conv(f"{fire}/expand{k}x{k}", x, 4 * narrow, k, pad=k // 2)) for k in (1, 3)]
        x = net.join(f"{fire}/concat", *wide)
        if place in pooled:
            x = net.pool(f"pool{place}", x, "MAX", 3, stride=2)
    x = net.pool("pool10", net.relu(net.conv("conv10", x, 1000, 1)), "AVE")
    net.other("Softmax", "prob", x)
    return net


INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def googlenet() -> CaffeBuilder:
    """BVLC's GoogLeNet (Szegedy et al., 2014), without the classifiers for training."""
    net = CaffeBuilder("GoogLeNet", 224)
    x = net.pool("pool1", net.relu(net.conv("conv1", "data", 64, 7, stride=2, pad=3)), "MAX", 3, stride=2)
    x = net.relu(net.conv("conv2/reduce", net.other("LRN", "pool1/norm1", x, LRN), 64, 1))
    x = net.other("LRN", "conv2/norm2", net.relu(net.conv("conv2", x, 192, 3, pad=1)), LRN)
    x = net.pool("pool2", x, "MAX", 3, stride=2)
    for name, (one, three_in, three, five_in, five, pooled) in INCEPTIONS.items():
        at = f"inception_{name}"
        parts = [net.relu(net.conv(f"{at}/1x1", x, one, 1))]
        for size, narrow, wide in ((3, three_in, three), (5, five_in, five)):
            inner = net.relu(net.conv(f"{at}/{size}x{size}_reduce", x, narrow, 1))
            parts.append(net.relu(net.conv(f"{at}/{size}x{size}", inner, wide, size, pad=size // 2)))
        inner = net.pool(f"{at}/pool", x, "MAX", 3, pad=1)
        parts.append(net.relu(net.conv(f"{at}/pool_proj", inner, pooled, 1)))
        x = net.join(f"{at}/output", *parts)
        if name in ("3b", "4e"):
            x = net.pool(f"pool{name}", x, "MAX", 3, stride=2)
    net.other("Softmax", "prob", net.dense("classifier", net.pool("pool5", x, "AVE", 7), 1000))
    return net


def resnet50() -> CaffeBuilder:
    """ResNet-50 (He et al., 2015)."""
    return _resnet("ResNet-50", (3, 4, 6, 3))


def resnet101() -> CaffeBuilder:
    """ResNet-101."""
    return _resnet("ResNet-101", (3, 4, 23, 3))


def resnet152() -> CaffeBuilder:
    """ResNet-152."""
    return _resnet("ResNet-152", (3, 8, 36, 3))


def se_resnet50() -> CaffeBuilder:
    """SE-ResNet-50 (Hu et al., 2017), with its layer Axpy."""
    return _resnet("SE-ResNet-50", (3, 4, 6, 3), squeeze=True)


def _resnet(name: str, depths: tuple[int, ...], squeeze: bool = False) -> CaffeBuilder:
    net = CaffeBuilder(name, 224)
    x = net.relu(net.norm(net.conv("conv1", "data", 64, 7, stride=2, pad=3, bias=0)))
    x = net.pool("pool1", x, "MAX", 3, stride=2)
    for stage, depth in enumerate(depths):
        narrow = 64 << stage
        for place in range(depth):
            at, stride = f"res{stage + 2}_{place}", 2 if stage and not place else 1
            shortcut = x
            if not place:
                shortcut = net.norm(net.conv(f"{at}_branch1", x, 4 * narrow, 1, stride=stride, bias=0))
            y = net.relu(net.norm(net.conv(f"{at}_branch2a", x, narrow, 1, stride=stride, bias=0)))
            y = net.relu(net.norm(net.conv(f"{at}_branch2b", y, narrow, 3, pad=1, bias=0)))
            y = net.norm(net.conv(f"{at}_branch2c", y, 4 * narrow, 1, bias=0), BRANCH_GAIN)
            if squeeze:
                s = net.relu(net.conv(f"{at}_down", net.pool(f"{at}_pool", y, "AVE"), narrow // 4, 1))
                s = net.other("Sigmoid", f"{at}_prob", net.conv(f"{at}_up", s, 4 * narrow, 1))
                x = net.layer("Axpy", at, f"{s} {y} {shortcut}", (at, net.shapes[y]))
            else:
                x = net.add(at, shortcut, y)
            x = net.relu(x)
    net.other("Softmax", "prob", net.dense("fc1000", net.pool("pool5", x, "AVE"), 1000))
    return net


def densenet121() -> CaffeBuilder:
    """DenseNet-121 (Huang et al., 2016)."""
    return _densenet("DenseNet-121", 32, (6, 12, 24, 16))


def densenet161() -> CaffeBuilder:
    """DenseNet-161."""
    return _densenet("DenseNet-161", 48, (6, 12, 36, 24))


def densenet169() -> CaffeBuilder:
    """DenseNet-169."""
    return _densenet("DenseNet-169", 32, (6, 12, 32, 32))


def _densenet(name: str, growth: int, depths: tuple[int, ...]) -> CaffeBuilder:
    net = CaffeBuilder(name, 224)
    x = net.relu(net.norm(net.conv("conv1", "data", 2 * growth, 7, stride=2, pad=3, bias=0)))
    x = net.pool("pool1", x, "MAX", 3, stride=2, pad=1)
    for block, depth in enumerate(depths, 2):
        for place in range(1, depth + 1):
            at = f"conv{block}_{place}"
            y = net.relu(net.norm(x, into=f"{at}/x1"))
            y = net.relu(net.norm(net.conv(f"{at}/1x1", y, 4 * growth, 1, bias=0)))
            x = net.join(f"concat_{block}_{place}", x, net.conv(f"{at}/3x3", y, growth, 3, pad=1, bias=0))
        x = net.relu(net.norm(x, into=f"conv{block}_blk"))
        if block <= len(depths):
            x = net.conv(f"conv{block}_shrink", x, net.shapes[x][0] // 2, 1, bias=0)
            x = net.pool(f"pool{block}", x, "AVE", 2, stride=2)
    net.other("Softmax", "prob", net.dense("fc6", net.pool("pool5", x, "AVE"), 1000))
    return net


SEPARABLE = (*((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)), *((512, 1),) * 5, (1024, 2), (1024, 1))


def mobilenet_v1() -> CaffeBuilder:
    """MobileNet (Howard et al., 2017)."""
    net = CaffeBuilder("MobileNet", 224)
    x = net.relu(net.norm(net.conv("conv1", "data", 32, 3, stride=2, pad=1, bias=0)))
    for place, (channels, stride) in enumerate(SEPARABLE, 2):
        deep = net.shapes[x][0]
        x = net.relu(net.norm(net.conv(f"conv{place}/dw", x, deep, 3, stride=stride, pad=1, group=deep, bias=0)))
        x = net.relu(net.norm(net.conv(f"conv{place}/sep", x, channels, 1, bias=0)))
    net.other("Softmax", "prob", net.dense("fc7", net.pool("pool6", x, "AVE"), 1000))
    return net


INVERTED = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Of each stage of MobileNetV2: expansion, channels, blocks, stride of the first."""


def mobilenet_v2() -> CaffeBuilder:
    """MobileNetV2 (Sandler et al., 2018)."""
    net = CaffeBuilder("MobileNetV2", 224)
    x = net.relu(net.norm(net.conv("conv1", "data", 32, 3, stride=2, pad=1, bias=0)), "ReLU6")
    for stage, (expansion, channels, blocks, first) in enumerate(INVERTED, 2):
        for place in range(blocks):
            at, deep, stride = f"conv{stage}_{place + 1}", net.shapes[x][0] * expansion, 1 if place else first
            y = x
            if expansion > 1:
                y = net.relu(net.norm(net.conv(f"{at}/expand", y, deep, 1, bias=0)), "ReLU6")
            y = net.conv(f"{at}/dwise", y, deep, 3, stride=stride, pad=1, group=deep, bias=0)
            y = net.conv(f"{at}/linear", net.relu(net.norm(y), "ReLU6"), channels, 1, bias=0)
            y = net.norm(y, BRANCH_GAIN if place else 1.0)
            x = net.add(f"block_{at}", x, y) if place else y
    x = net.relu(net.norm(net.conv("conv9", x, 1280, 1, bias=0)), "ReLU6")
    net.other("Softmax", "prob", net.dense("fc10", net.pool("pool9", x, "AVE"), 1000))
    return net


NETWORKS: Mapping[str, Callable[[], CaffeBuilder]] = {
    make.__name__: make
    for make in (
        *(alexnet, squeezenet1_0, squeezenet1_1, vgg16, vgg19, googlenet, resnet50, resnet101, resnet152),
        *(se_resnet50, densenet121, densenet161, densenet169, mobilenet_v1, mobilenet_v2),
        *(inception_v3, inception_v4, inception_resnet_v2),
    )
}
"""All of them."""


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in NETWORKS:
        sys.exit(f"usage: caffe_networks.py NAME FOLDER, with NAME one of {', '.join(NETWORKS)}")
    sys.stdout.write(f"{NETWORKS[sys.argv[1]]().save(Path(sys.argv[2]) / sys.argv[1])}\n")
