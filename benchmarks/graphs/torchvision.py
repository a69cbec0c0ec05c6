"""Networks of published QCS8550 timings, as torchvision (and ultralytics) build them; input 224x224 unless said."""

from __future__ import annotations

from collections.abc import Sequence

from graphs.net import Net
from mpsearch.graph.model import ModelGraph


def resnet(
    name: str, blocks: Sequence[int], *, bottleneck: bool = True, width: int = 64, groups: int = 1
) -> ModelGraph:
    """arXiv 1512.03385; wide (1605.07146) and ResNeXt (1611.05431) by ``width`` a group and ``groups``."""
    net = Net(name, 3, 224, 224)
    x = net.pool(net.conv("input", 64, 7, 2), 3, 2)
    for stage, count in enumerate(blocks):
        planes = 64 * 2**stage
        for index in range(count):
            stride = 2 if stage and index == 0 else 1
            if bottleneck:
                mid, out = planes * width // 64 * groups, planes * 4
                y = net.conv(net.conv(x, mid, 1), mid, 3, stride, groups=groups)
                y = net.conv(y, out, 1, act="")
            else:
                out = planes
                y = net.conv(net.conv(x, out, 3, stride), out, 3, act="")
            side = x if net.shape(x) == net.shape(y) else net.conv(x, out, 1, stride, "")
            x = net.activate(net.add(y, side), "Relu")
    return net.graph(net.classify(x, 1000, softmax=False))


def regnet(name: str, widths: Sequence[int], depths: Sequence[int], group_width: int, *, excite: bool) -> ModelGraph:
    """arXiv 2003.13678; ``excite`` makes X into Y."""
    net = Net(name, 3, 224, 224)
    x = net.conv("input", 32, 3, 2)
    for width, depth in zip(widths, depths, strict=True):
        for index in range(depth):
            stride, into = (2 if index == 0 else 1), net.shape(x)[1]
            y = net.conv(net.conv(x, width, 1), width, 3, stride, groups=width // group_width)
            if excite:
                y = net.squeeze_excite(y, into // 4, gate="Sigmoid")
            y = net.conv(y, width, 1, act="")
            side = x if net.shape(x) == net.shape(y) else net.conv(x, width, 1, stride, "")
            x = net.activate(net.add(y, side), "Relu")
    return net.graph(net.classify(x, 1000, softmax=False))


def googlenet() -> ModelGraph:
    """arXiv 1409.4842, with 3x3 in place of 5x5 as torchvision has it."""
    net = Net("googlenet", 3, 224, 224)
    x = net.pool(net.conv("input", 64, 7, 2), 3, 2)
    x = net.pool(net.conv(net.conv(x, 64, 1), 192, 3), 3, 2)
    for a, b1, b3, c1, c3, d, down in (
        (64, 96, 128, 16, 32, 32, 0), (128, 128, 192, 32, 96, 64, 3), (192, 96, 208, 16, 48, 64, 0),
        (160, 112, 224, 24, 64, 64, 0), (128, 128, 256, 24, 64, 64, 0), (112, 144, 288, 32, 64, 64, 0),
        (256, 160, 320, 32, 128, 128, 2), (256, 160, 320, 32, 128, 128, 0), (384, 192, 384, 48, 128, 128, 0),
    ):  # fmt: skip
        x = net.concat(
            net.conv(x, a, 1), net.conv(net.conv(x, b1, 1), b3, 3), net.conv(net.conv(x, c1, 1), c3, 3),
            net.conv(net.pool(x, 3, 1), d, 1),
        )  # fmt: skip
        x = net.pool(x, down, 2) if down else x
    return net.graph(net.classify(x, 1000, softmax=False))


def squeezenet() -> ModelGraph:
    """arXiv 1602.07360, version 1.1."""
    net = Net("squeezenet1_1", 3, 224, 224)
    x = net.pool(net.conv("input", 64, 3, 2, valid=True), 3, 2, valid=True, ceil=True)
    for index, (squeeze, expand) in enumerate(
        ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
    ):
        if index in (2, 4):
            x = net.pool(x, 3, 2, valid=True, ceil=True)
        x = net.conv(x, squeeze, 1)
        x = net.concat(net.conv(x, expand, 1), net.conv(x, expand, 3))
    x = net.conv(x, 1000, 1)
    return net.graph(net.node("GlobalAveragePool", (x,), (1, 1000, 1, 1)))


def densenet121() -> ModelGraph:
    """arXiv 1608.06993. Its batch norms stand before the convolutions; they are Mul and Add by constants here."""
    net = Net("densenet121", 3, 224, 224)

    def normed(x: str) -> str:
        return net.activate(net.node("Mul", (x,)), "Relu")

    x = net.pool(net.conv("input", 64, 7, 2), 3, 2)
    for stage, count in enumerate((6, 12, 24, 16)):
        for _ in range(count):
            y = net.conv(net.conv(normed(x), 128, 1), 32, 3, act="")
            x = net.concat(x, y)
        if stage < 3:
            x = net.pool(net.conv(normed(x), net.shape(x)[1] // 2, 1, act=""), 2, 2, "AveragePool")
    return net.graph(net.classify(normed(x), 1000, softmax=False))


def shufflenet_v2() -> ModelGraph:
    """arXiv 1807.11164, x1.0."""
    net = Net("shufflenet_v2", 3, 224, 224)
    x = net.pool(net.conv("input", 24, 3, 2), 3, 2)
    for out, count in ((116, 4), (232, 8), (464, 4)):
        for index in range(count):
            half, stride = out // 2, 2 if index == 0 else 1
            left, right = (x, x) if index == 0 else (net.half(x), net.half(x))
            if index == 0:
                left = net.conv(net.conv(x, net.shape(x)[1], 3, 2, "", depthwise=True), half, 1)
            right = net.conv(right, half, 1)
            right = net.conv(net.conv(right, half, 3, stride, "", depthwise=True), half, 1)
            x = net.concat(left, right)
            # The channel shuffle: Reshape, Transpose, Reshape.
            _, channels, height, width = net.shape(x)
            x = net.node("Reshape", (x,), (1, 2, channels // 2, height, width))
            x = net.node("Transpose", (x,), (1, channels // 2, 2, height, width))
            x = net.node("Reshape", (x,), (1, channels, height, width))
    return net.graph(net.classify(net.conv(x, 1024, 1), 1000, softmax=False))


def mnasnet(width: float = 0.5) -> ModelGraph:
    """arXiv 1807.11626, B1 as torchvision scales it."""
    net = Net(f"mnasnet_{width}", 3, 224, 224)

    def scaled(value: int) -> int:
        new = max(8, int(value * width + 4) // 8 * 8)
        return new if new >= 0.9 * value * width else new + 8

    x = net.conv("input", scaled(32), 3, 2)
    x = net.conv(x, scaled(32), 3, depthwise=True)
    x = net.conv(x, scaled(16), 1, act="")
    for expand, base, repeat, first, kernel in (
        (3, 24, 3, 2, 3), (3, 40, 3, 2, 5), (6, 80, 3, 2, 5), (6, 96, 2, 1, 3), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
    ):  # fmt: skip
        for index in range(repeat):
            stride, channels, out = (first if index == 0 else 1), net.shape(x)[1], scaled(base)
            y = net.conv(x, channels * expand, 1)
            y = net.conv(y, channels * expand, kernel, stride, depthwise=True)
            y = net.conv(y, out, 1, act="")
            x = net.add(x, y) if stride == 1 and channels == out else y
    return net.graph(net.classify(net.conv(x, 1280, 1), 1000, softmax=False))


_SMALL = (
    (3, 16, 16, True, "Relu", 2), (3, 72, 24, False, "Relu", 2), (3, 88, 24, False, "Relu", 1),
    (5, 96, 40, True, "HardSwish", 2), (5, 240, 40, True, "HardSwish", 1), (5, 240, 40, True, "HardSwish", 1),
    (5, 120, 48, True, "HardSwish", 1), (5, 144, 48, True, "HardSwish", 1), (5, 288, 96, True, "HardSwish", 2),
    (5, 576, 96, True, "HardSwish", 1), (5, 576, 96, True, "HardSwish", 1),
)  # fmt: skip
_LARGE = (
    (3, 16, 16, False, "Relu", 1), (3, 64, 24, False, "Relu", 2), (3, 72, 24, False, "Relu", 1),
    (5, 72, 40, True, "Relu", 2), (5, 120, 40, True, "Relu", 1), (5, 120, 40, True, "Relu", 1),
    (3, 240, 80, False, "HardSwish", 2), (3, 200, 80, False, "HardSwish", 1), (3, 184, 80, False, "HardSwish", 1),
    (3, 184, 80, False, "HardSwish", 1), (3, 480, 112, True, "HardSwish", 1), (3, 672, 112, True, "HardSwish", 1),
    (5, 672, 160, True, "HardSwish", 2), (5, 960, 160, True, "HardSwish", 1), (5, 960, 160, True, "HardSwish", 1),
)  # fmt: skip


def mobilenet_v3(*, large: bool) -> ModelGraph:
    """arXiv 1905.02244, tables 1 and 2."""
    net = Net(f"mobilenet_v3_{'large' if large else 'small'}", 3, 224, 224)
    x = net.conv("input", 16, 3, 2, "HardSwish")
    for kernel, expand, out, excite, act, stride in _LARGE if large else _SMALL:
        channels = net.shape(x)[1]
        y = x if expand == channels else net.conv(x, expand, 1, 1, act)
        y = net.conv(y, expand, kernel, stride, act, depthwise=True)
        if excite:
            y = net.squeeze_excite(y, (expand // 4 + 4) // 8 * 8)
        y = net.conv(y, out, 1, act="")
        x = net.add(x, y) if stride == 1 and channels == out else y
    last = 960 if large else 576
    x = net.node("GlobalAveragePool", (net.conv(x, last, 1, 1, "HardSwish"),), (1, last, 1, 1))
    x = net.linear(x, 1280 if large else 1024, "HardSwish")
    return net.graph(net.linear(x, 1000))


def efficientnet_b0() -> ModelGraph:
    """arXiv 1905.11946, table 1."""
    net = Net("efficientnet_b0", 3, 224, 224)
    x = net.conv("input", 32, 3, 2, "Silu")
    for expand, kernel, first, out, repeat in (
        (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1),
    ):  # fmt: skip
        for index in range(repeat):
            stride, channels = (first if index == 0 else 1), net.shape(x)[1]
            y = x if expand == 1 else net.conv(x, channels * expand, 1, 1, "Silu")
            y = net.conv(y, channels * expand, kernel, stride, "Silu", depthwise=True)
            y = net.squeeze_excite(y, max(1, channels // 4), "Silu", "Sigmoid")
            y = net.conv(y, out, 1, act="")
            x = net.add(x, y) if stride == 1 and channels == out else y
    return net.graph(net.classify(net.conv(x, 1280, 1, 1, "Silu"), 1000, softmax=False))


def yolov8n() -> ModelGraph:
    """ultralytics' yolov8n at 640x640 with boxes and scores decoded in the model."""
    net = Net("yolov8n_640", 3, 640, 640)

    def conv(x: str, out: int, kernel: int = 1, stride: int = 1) -> str:
        return net.conv(x, out, kernel, stride, "Silu")

    def c2f(x: str, out: int, repeat: int, *, shortcut: bool) -> str:
        x = conv(x, out)
        parts = [net.half(x), net.half(x)]
        for _ in range(repeat):
            y = conv(conv(parts[-1], out // 2, 3), out // 2, 3)
            parts.append(net.add(parts[-1], y) if shortcut else y)
        return conv(net.concat(*parts), out)

    x = c2f(conv(conv("input", 16, 3, 2), 32, 3, 2), 32, 1, shortcut=True)
    p3 = c2f(conv(x, 64, 3, 2), 64, 2, shortcut=True)
    p4 = c2f(conv(p3, 128, 3, 2), 128, 2, shortcut=True)
    x = conv(c2f(conv(p4, 256, 3, 2), 256, 1, shortcut=True), 128)
    pools = [x]
    for _ in range(3):
        pools.append(net.pool(pools[-1], 5, 1))
    p5 = conv(net.concat(*pools), 256)
    n4 = c2f(net.concat(net.double(p5), p4), 128, 1, shortcut=False)
    n3 = c2f(net.concat(net.double(n4), p3), 64, 1, shortcut=False)
    n4 = c2f(net.concat(conv(n3, 64, 3, 2), n4), 128, 1, shortcut=False)
    n5 = c2f(net.concat(conv(n4, 128, 3, 2), p5), 256, 1, shortcut=False)
    boxes, scores, anchors = [], [], 0
    for level in (n3, n4, n5):
        _, _, height, width = net.shape(level)
        anchors += height * width
        box = net.conv(conv(conv(level, 64, 3), 64, 3), 64, 1, 1, "")
        score = net.conv(conv(conv(level, 80, 3), 80, 3), 80, 1, 1, "")
        boxes.append(net.node("Reshape", (box,), (1, 64, height * width)))
        scores.append(net.node("Reshape", (score,), (1, 80, height * width)))
    box = net.node("Concat", tuple(boxes), (1, 64, anchors))
    box = net.node("Transpose", (net.node("Reshape", (box,), (1, 4, 16, anchors)),), (1, 16, 4, anchors))
    box = net.conv(net.node("Softmax", (box,)), 1, 1, 1, "")
    box = net.node("Reshape", (box,), (1, 4, anchors))
    near, far = net.node("Slice", (box,), (1, 2, anchors)), net.node("Slice", (box,), (1, 2, anchors))
    near, far = net.node("Sub", (near,)), net.node("Add", (far,))
    box = net.node("Mul", (net.node("Concat", (near, far), (1, 4, anchors)),))
    score = net.node("Sigmoid", (net.node("Concat", tuple(scores), (1, 80, anchors)),))
    best = net.node("ReduceMax", (score,), (1, 1, anchors))
    return net.graph(net.node("Transpose", (box,), (1, anchors, 4)), best)
