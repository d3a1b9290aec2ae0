"""Inception v3 and v4 and Inception-ResNet v2 as networks of Caffe, for images of 299×299.

After the prototxts that their converted weights are published with: averages count the padding.
"""

from __future__ import annotations

from collections.abc import Sequence

from caffe_builder import CaffeBuilder

Kernel = int | tuple[int, int]
Unit = tuple[int, Kernel] | tuple[int, Kernel, int]
"""A convolution that is normalised and cut at 0: channels, rows and columns of the kernel, stride if it is not 1."""
Branch = Sequence[str | Unit | list[Unit]]
"""Units and poolings (``MAX`` halves the map, ``AVE`` keeps it) one after the other; a list's units stand side by side.
"""

ROW, COLUMN, SHORT_ROW, SHORT_COLUMN = (1, 7), (7, 1), (1, 3), (3, 1)


def inception_v3() -> CaffeBuilder:
    """Inception v3 (Szegedy et al., 2015), without the classifier for training."""
    net = CaffeBuilder("Inception-v3", 299, eps=1e-3)
    x = _stem(net)
    for name, pooled in (("a1", 32), ("a2", 64), ("a3", 64)):
        x = _block(net, name, x, [(64, 1)], [(48, 1), (64, 5)], [(64, 1), (96, 3), (96, 3)], ["AVE", (pooled, 1)])
    x = _block(net, "reduction_a", x, [(384, 3, 2)], [(64, 1), (96, 3), (96, 3, 2)], ["MAX"])
    for place, narrow in enumerate((128, 160, 160, 192), 1):
        long = [(narrow, 1), (narrow, COLUMN), (narrow, ROW), (narrow, COLUMN), (192, ROW)]
        short = [(narrow, 1), (narrow, ROW), (192, COLUMN)]
        x = _block(net, f"b{place}", x, [(192, 1)], short, long, ["AVE", (192, 1)])
    long = [(192, 1), (192, ROW), (192, COLUMN), (192, 3, 2)]
    x = _block(net, "reduction_b", x, [(192, 1), (320, 3, 2)], long, ["MAX"])
    for name in ("c1", "c2"):
        fork: list[Unit] = [(384, SHORT_ROW), (384, SHORT_COLUMN)]
        x = _block(net, name, x, [(320, 1)], [(384, 1), fork], [(448, 1), (384, 3), fork], ["AVE", (192, 1)])
    return _end(net, x)


def inception_v4() -> CaffeBuilder:
    """Inception v4 (Szegedy et al., 2016)."""
    net = CaffeBuilder("Inception-v4", 299, eps=1e-3)
    x = _unit(net, "conv1", "data", (32, 3, 2))
    x = _unit(net, "conv3", _unit(net, "conv2", x, (32, 3), pad=0), (64, 3))
    x = _block(net, "stem1", x, ["MAX"], [(96, 3, 2)])
    short, long = _unit(net, "stem2_1a", x, (64, 1)), _unit(net, "stem2_1b", x, (64, 1))
    long = _unit(net, "stem2_3b", _unit(net, "stem2_2b", long, (64, ROW)), (64, COLUMN))
    x = net.join("stem2", _unit(net, "stem2_2a", short, (96, 3), pad=0), _unit(net, "stem2_4b", long, (96, 3), pad=0))
    x = _block(net, "stem3", x, [(192, 3, 2)], ["MAX"])
    for place in range(1, 5):
        deep = [(64, 1), (96, 3), (96, 3)]
        x = _block(net, f"a{place}", x, [(96, 1)], [(64, 1), (96, 3)], deep, ["AVE", (96, 1)])
    x = _block(net, "reduction_a", x, [(384, 3, 2)], [(192, 1), (224, 3), (256, 3, 2)], ["MAX"])
    for place in range(1, 8):
        deep = [(192, 1), (192, COLUMN), (224, ROW), (224, COLUMN), (256, ROW)]
        x = _block(net, f"b{place}", x, [(384, 1)], [(192, 1), (224, ROW), (256, COLUMN)], deep, ["AVE", (128, 1)])
    deep = [(256, 1), (256, ROW), (320, COLUMN), (320, 3, 2)]
    x = _block(net, "reduction_b", x, [(192, 1), (192, 3, 2)], deep, ["MAX"])
    fork: list[Unit] = [(256, SHORT_ROW), (256, SHORT_COLUMN)]
    for place in range(1, 4):
        deep = [(384, 1), (448, SHORT_COLUMN), (512, SHORT_ROW), fork]
        x = _block(net, f"c{place}", x, [(256, 1)], [(384, 1), fork], deep, ["AVE", (256, 1)])
    return _end(net, x)


def inception_resnet_v2() -> CaffeBuilder:
    """Inception-ResNet v2 (Szegedy et al., 2016): what a block adds is scaled down."""
    net = CaffeBuilder("Inception-ResNet-v2", 299, eps=1e-3)
    deep: Branch = [(64, 1), (96, 3), (96, 3)]
    x = _block(net, "stem", _stem(net), [(96, 1)], [(48, 1), (64, 5)], deep, ["AVE", (64, 1)])
    for place in range(1, 11):
        branches = [(32, 1)], [(32, 1), (32, 3)], [(32, 1), (48, 3), (64, 3)]
        x = net.relu(_residual(net, f"a{place}", x, 0.17, *branches))
    x = _block(net, "reduction_a", x, [(384, 3, 2)], [(256, 1), (256, 3), (384, 3, 2)], ["MAX"])
    for place in range(1, 21):
        x = net.relu(_residual(net, f"b{place}", x, 0.1, [(192, 1)], [(128, 1), (160, ROW), (192, COLUMN)]))
    halves = [(256, 1), (384, 3, 2)], [(256, 1), (288, 3, 2)], [(256, 1), (288, 3), (320, 3, 2)]
    x = _block(net, "reduction_b", x, *halves, ["MAX"])
    for place in range(1, 11):
        last = place == 10
        branches = [(192, 1)], [(192, 1), (224, SHORT_ROW), (256, SHORT_COLUMN)]
        x = _residual(net, f"c{place}", x, 1.0 if last else 0.2, *branches)
        x = x if last else net.relu(x)
    return _end(net, _unit(net, "conv6", x, (1536, 1)))


def _stem(net: CaffeBuilder) -> str:
    x = _unit(net, "conv1", "data", (32, 3, 2))
    x = _unit(net, "conv3", _unit(net, "conv2", x, (32, 3), pad=0), (64, 3))
    x = _unit(net, "conv4_reduce", net.pool("pool1", x, "MAX", 3, stride=2), (80, 1))
    return net.pool("pool2", _unit(net, "conv4", x, (192, 3), pad=0), "MAX", 3, stride=2)


def _end(net: CaffeBuilder, x: str) -> CaffeBuilder:
    net.other("Softmax", "prob", net.dense("classifier", net.pool("pool", x, "AVE"), 1000))
    return net


def _block(net: CaffeBuilder, name: str, x: str, *branches: Branch) -> str:
    """Branches that all read `x`, side by side."""
    made = [part for place, branch in enumerate(branches, 1) for part in _branch(net, f"{name}_{place}", x, branch)]
    return net.join(f"{name}_concat", *made)


def _residual(net: CaffeBuilder, name: str, x: str, scale: float, *branches: Branch) -> str:
    """`x` and what the branches add to it."""
    added = net.conv(f"{name}_up", _block(net, name, x, *branches), net.shapes[x][0], 1)
    text = f"eltwise_param {{ operation: SUM coeff: 1 coeff: {scale} }}"
    return net.other("Eltwise", f"{name}_sum", f"{x} {added}", text)


def _branch(net: CaffeBuilder, name: str, x: str, steps: Branch) -> list[str]:
    for place, step in enumerate(steps):
        if isinstance(step, str):
            x = net.pool(f"{name}_pool", x, step, 3, stride=2 if step == "MAX" else 1, pad=int(step == "AVE"))
        elif isinstance(step, list):
            return [_unit(net, f"{name}{place}{side}", x, unit) for side, unit in zip("ab", step, strict=True)]
        else:
            x = _unit(net, f"{name}{place}", x, step)
    return [x]


def _unit(net: CaffeBuilder, name: str, x: str, unit: Unit, pad: int | None = None) -> str:
    """A normalised convolution; without `pad`, it keeps the map's size if it has no stride."""
    channels, kernel, stride = (*unit, 1)[:3]
    rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
    pads = (pad, pad) if pad is not None else (0, 0) if stride > 1 else (rows // 2, columns // 2)
    return net.relu(net.norm(net.conv(name, x, channels, (rows, columns), stride=stride, pad=pads, bias=0)))
