"""Networks of published VS680 and VS640 timings, layer by layer from their papers."""

from __future__ import annotations

from graphs.net import Net
from mpsearch.graph.model import ModelGraph


def conv_stack(size: int) -> ModelGraph:
    """64 convolutions 5x5 of 132 channels: Synaptics' throughput test."""
    net = Net(f"64 x conv5x5 132ch {size}x{size}", 132, size, size)
    x = "input"
    for _ in range(64):
        x = net.conv(x, 132, 5)
    return net.graph(x)


def mobilenet_v1(width: float) -> ModelGraph:
    """arXiv 1704.04861, table 1."""
    net = Net(f"mobilenet_v1_{width}", 3, 224, 224)
    x = net.conv("input", int(32 * width), 3, 2, "Clip")
    for out, stride in (
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *[(512, 1)] * 5,
        (1024, 2),
        (1024, 1),
    ):
        x = net.conv(x, net.tensors[x].shape[1], 3, stride, "Clip", depthwise=True)
        x = net.conv(x, int(out * width), 1, 1, "Clip")
    return net.graph(net.classify(x))


def mobilenet_v2() -> ModelGraph:
    """arXiv 1801.04381, table 2."""
    net = Net("mobilenet_v2_1.0", 3, 224, 224)
    x = net.conv("input", 32, 3, 2, "Clip")
    for expand, out, repeat, first in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for index in range(repeat):
            stride, channels = (first if index == 0 else 1), net.tensors[x].shape[1]
            y = x if expand == 1 else net.conv(x, channels * expand, 1, 1, "Clip")
            y = net.conv(y, channels * expand, 3, stride, "Clip", depthwise=True)
            y = net.conv(y, out, 1, 1, "")
            x = net.add(x, y) if stride == 1 and channels == out else y
    return net.graph(net.classify(net.conv(x, 1280, 1, 1, "Clip")))


def inception_v3(size: int) -> ModelGraph:
    """arXiv 1512.00567, as TF-slim builds it."""
    net = Net(f"inception_v3_{size}", 3, size, size)

    def chain(x: str, *layers: tuple[int, int | tuple[int, int]]) -> str:
        for out, kernel in layers:
            x = net.conv(x, out, kernel)
        return x

    x = net.conv("input", 32, 3, 2, valid=True)
    x = net.conv(net.conv(x, 32, 3, valid=True), 64, 3)
    x = net.pool(x, 3, 2, valid=True)
    x = net.conv(net.conv(x, 80, 1), 192, 3, valid=True)
    x = net.pool(x, 3, 2, valid=True)
    for pool in (32, 64, 64):
        averaged = net.conv(net.pool(x, 3, 1, "AveragePool"), pool, 1)
        x = net.concat(chain(x, (64, 1)), chain(x, (48, 1), (64, 5)), chain(x, (64, 1), (96, 3), (96, 3)), averaged)
    down = net.conv(chain(x, (64, 1), (96, 3)), 96, 3, 2, valid=True)
    x = net.concat(net.conv(x, 384, 3, 2, valid=True), down, net.pool(x, 3, 2, valid=True))
    for mid in (128, 160, 160, 192):
        x = net.concat(
            chain(x, (192, 1)),
            chain(x, (mid, 1), (mid, (1, 7)), (192, (7, 1))),
            chain(x, (mid, 1), (mid, (7, 1)), (mid, (1, 7)), (mid, (7, 1)), (192, (1, 7))),
            net.conv(net.pool(x, 3, 1, "AveragePool"), 192, 1),
        )
    left = net.conv(chain(x, (192, 1)), 320, 3, 2, valid=True)
    right = net.conv(chain(x, (192, 1), (192, (1, 7)), (192, (7, 1))), 192, 3, 2, valid=True)
    x = net.concat(left, right, net.pool(x, 3, 2, valid=True))
    for _ in range(2):
        wide, deep = chain(x, (384, 1)), chain(x, (448, 1), (384, 3))
        x = net.concat(
            chain(x, (320, 1)), chain(wide, (384, (1, 3))), chain(wide, (384, (3, 1))),
            chain(deep, (384, (1, 3))), chain(deep, (384, (3, 1))),
            net.conv(net.pool(x, 3, 1, "AveragePool"), 192, 1),
        )  # fmt: skip
    return net.graph(net.classify(x))


def inception_v4() -> ModelGraph:
    """arXiv 1602.07261, figures 3 to 9."""
    net = Net("inception_v4_299", 3, 299, 299)

    def chain(x: str, *layers: tuple[int, int | tuple[int, int]]) -> str:
        for out, kernel in layers:
            x = net.conv(x, out, kernel)
        return x

    x = net.conv(net.conv(net.conv("input", 32, 3, 2, valid=True), 32, 3, valid=True), 64, 3)
    x = net.concat(net.pool(x, 3, 2, valid=True), net.conv(x, 96, 3, 2, valid=True))
    x = net.concat(
        net.conv(chain(x, (64, 1)), 96, 3, valid=True),
        net.conv(chain(x, (64, 1), (64, (7, 1)), (64, (1, 7))), 96, 3, valid=True),
    )
    x = net.concat(net.conv(x, 192, 3, 2, valid=True), net.pool(x, 3, 2, valid=True))
    for _ in range(4):
        x = net.concat(
            net.conv(net.pool(x, 3, 1, "AveragePool"), 96, 1), chain(x, (96, 1)),
            chain(x, (64, 1), (96, 3)), chain(x, (64, 1), (96, 3), (96, 3)),
        )  # fmt: skip
    down = net.conv(chain(x, (192, 1), (224, 3)), 256, 3, 2, valid=True)
    x = net.concat(net.pool(x, 3, 2, valid=True), net.conv(x, 384, 3, 2, valid=True), down)
    for _ in range(7):
        x = net.concat(
            net.conv(net.pool(x, 3, 1, "AveragePool"), 128, 1), chain(x, (384, 1)),
            chain(x, (192, 1), (224, (1, 7)), (256, (7, 1))),
            chain(x, (192, 1), (192, (1, 7)), (224, (7, 1)), (224, (1, 7)), (256, (7, 1))),
        )  # fmt: skip
    left = net.conv(chain(x, (192, 1)), 192, 3, 2, valid=True)
    right = net.conv(chain(x, (256, 1), (256, (1, 7)), (320, (7, 1))), 320, 3, 2, valid=True)
    x = net.concat(net.pool(x, 3, 2, valid=True), left, right)
    for _ in range(3):
        wide = chain(x, (384, 1))
        deep = chain(x, (384, 1), (448, (1, 3)), (512, (3, 1)))
        x = net.concat(
            net.conv(net.pool(x, 3, 1, "AveragePool"), 256, 1), chain(x, (256, 1)),
            chain(wide, (256, (1, 3))), chain(wide, (256, (3, 1))),
            chain(deep, (256, (1, 3))), chain(deep, (256, (3, 1))),
        )  # fmt: skip
    return net.graph(net.classify(x))


def yolo_v4_tiny() -> ModelGraph:
    """arXiv 2011.08036, the tiny configuration, 416x416."""
    net = Net("yolo_v4_tiny_416", 3, 416, 416)
    x = net.conv("input", 32, 3, 2, "LeakyRelu")
    x = net.conv(x, 64, 3, 2, "LeakyRelu")
    route = x
    for width in (64, 128, 256):
        x = net.conv(x, width, 3, 1, "LeakyRelu")
        first = net.conv(net.half(x), width // 2, 3, 1, "LeakyRelu")
        second = net.conv(first, width // 2, 3, 1, "LeakyRelu")
        route = net.conv(net.concat(second, first), width, 1, 1, "LeakyRelu")
        x = net.pool(net.concat(x, route), 2, 2)
    x = net.conv(net.conv(x, 512, 3, 1, "LeakyRelu"), 256, 1, 1, "LeakyRelu")
    coarse = net.conv(net.conv(x, 512, 3, 1, "LeakyRelu"), 255, 1, 1, "")
    up = net.double(net.conv(x, 128, 1, 1, "LeakyRelu"))
    fine = net.conv(net.conv(net.concat(up, route), 256, 3, 1, "LeakyRelu"), 255, 1, 1, "")
    return net.graph(coarse, fine)
