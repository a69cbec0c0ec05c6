"""Pairs of small networks that compute the same, one of them as quantization-effect-checker's findings warn against.

    python benchmarks/findings.py [--seconds 4] [--out result.json] [--smoke]

For each finding: how far the two float outputs are apart, what each costs in turns on this computer (float and 8 bits),
what the cost models of VS680 and RVC4 say, and the noise of 8 bits in each. ``ratio`` is the advised form's time over
the other's, with the 95 % interval of the median over pairs: below 1 the advice pays. Exit code 1: a pair does not
compute the same.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx

from mpsearch.board import profile
from mpsearch.board.cost import estimate
from mpsearch.board.host import HostBoard
from mpsearch.board.measure import Plan
from mpsearch.candidate import Candidate
from mpsearch.errors import CandidateError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import FloatModel
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess, find
from mpsearch.quant.profile import output_noise
from mpsearch.quant.simulator import Simulator
from mpsearch.testing.models import Builder, save
from mpsearch.testing.studies import pictures
from mpsearch.toolchain.host.build import HostToolchain
from mpsearch.toolchain.host.runtime import Runtime

SAME = 1e-3
"""Relative difference of float outputs up to which two networks count as one."""
Made = Callable[[Builder, bool, int], str]


def normalised(op: str, value: float) -> Made:
    """An element-wise constant operation in front of the first convolution, or folded into its weights."""

    def make(b: Builder, advised: bool, size: int) -> str:
        source = "input"
        if op == "Div":
            constant = b.constant(np.array(1 / value if advised else value, np.float32))
            return body(b, b.node("Mul" if advised else "Div", source, constant), size)
        rng = np.random.default_rng(1)
        weight = rng.normal(0, 0.3, (16, 3, 3, 3)).astype(np.float32)
        bias = np.zeros(16, np.float32)
        if advised:  # exact without padding only, so there is none here
            bias = bias - value * weight.sum((1, 2, 3))
        else:
            source = b.node("Sub", source, b.constant(np.array(value, np.float32)))
        first = b.node("Conv", source, b.constant(weight), b.constant(bias.astype(np.float32)), kernel_shape=[3, 3])
        return body(b, b.node("Relu", first), size, channels=16)

    return make


def swapped(b: Builder, advised: bool, size: int) -> str:
    """RGB to BGR by Split and Concat, or in the first convolution's weights."""
    weight = np.random.default_rng(1).normal(0, 0.3, (16, 3, 3, 3)).astype(np.float32)
    source = "input"
    if not advised:
        b.node("Split", source, outputs=3, axis=1)
        first = b.nodes[-1].output
        source = b.node("Concat", first[2], first[1], first[0], axis=1)
    kept = b.constant(np.ascontiguousarray(weight[:, ::-1] if advised else weight))
    return body(b, b.node("Relu", b.node("Conv", source, kept, kernel_shape=[3, 3], pads=[1] * 4)), size, channels=16)


def strided(b: Builder, advised: bool, size: int) -> str:
    """A convolution of stride (2, 1), or of stride 1 with every second row kept."""
    weight = np.random.default_rng(1).normal(0, 0.3, (16, 3, 3, 3)).astype(np.float32)
    strides = [1, 1] if advised else [2, 1]
    x = b.node("Conv", "input", b.constant(weight), kernel_shape=[3, 3], pads=[1] * 4, strides=strides)
    if advised:
        ends = [b.constant(np.array([value], np.int64)) for value in (0, 2**31 - 1, 2, 2)]
        x = b.node("Slice", x, ends[0], ends[1], ends[2], ends[3])
    return body(b, b.node("Relu", x), size, channels=16)


def product(b: Builder, advised: bool, size: int) -> str:
    """A product over channels at every place by MatMul between transposes, or by a 1x1 convolution."""
    x = body(b, "input", size)
    weight = np.random.default_rng(1).normal(0, 0.1, (64, 32)).astype(np.float32)
    if advised:
        return b.node("Conv", x, b.constant(weight[:, :, None, None]), kernel_shape=[1, 1])
    last = b.node("MatMul", b.node("Transpose", x, perm=[0, 2, 3, 1]), b.constant(np.ascontiguousarray(weight.T)))
    return b.node("Transpose", last, perm=[0, 3, 1, 2])


def scaled(b: Builder, advised: bool, size: int) -> str:
    """Conv, then Mul and Add by channel; or both in the convolution. The factor belongs to its *output* channels."""
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(0, 0.3, (16, 3, 3, 3)), rng.normal(0, 0.1, 16)
    factor, shift = rng.uniform(0.5, 2, 16), rng.normal(0, 0.2, 16)
    if advised:
        weight, bias = weight * factor[:, None, None, None], bias * factor + shift
    kept = [b.constant(value.astype(np.float32)) for value in (weight, bias)]
    x = b.node("Conv", "input", *kept, kernel_shape=[3, 3], pads=[1] * 4)
    if not advised:
        x = b.node("Mul", x, b.constant(factor.astype(np.float32)[None, :, None, None]))
        x = b.node("Add", x, b.constant(shift.astype(np.float32)[None, :, None, None]))
    return body(b, b.node("Relu", x), size, channels=16)


def body(b: Builder, x: str, size: int, *, channels: int = 3) -> str:
    """What stands for the rest of the network."""
    for inputs, outputs, stride in ((channels, 16, 2), (16, 32, 2), (32, 32, 1)):
        x = b.node("Relu", b.conv(x, inputs, outputs, stride=stride))
    return x


PAIRS: dict[str, Made] = {
    "Mul for Div": normalised("Div", 255.0),
    "Sub folded into Conv": normalised("Sub", 0.45),
    "channel swap in weights": swapped,
    "Conv-Mul-Add fused": scaled,
    "stride 1 and Slice for (2, 1)": strided,
    "1x1 Conv for MatMul": product,
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each comparison on this computer")
    parser.add_argument("--out", type=Path, help="write the table as JSON")
    parser.add_argument("--smoke", action="store_true", help="small networks, hardly timed")
    options = parser.parse_args(argv)
    size, seconds = (64, 0.2) if options.smoke else (320, options.seconds)
    rows, wrong = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures(folder / "photos", 4, seed=1, size=(size, size))
        for title, make in PAIRS.items():
            row = compared(folder, title, make, size, seconds)
            rows.append(row)
            wrong += [title] if row["difference"] > SAME else []
            print(line(row), flush=True)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    for title in wrong:
        print(f"{title}: the two networks do not compute the same", file=sys.stderr)
    return 1 if wrong else 0


def compared(folder: Path, title: str, make: Made, size: int, seconds: float) -> dict[str, object]:
    graphs = [graph_of(folder, title, make, advised, size) for advised in (False, True)]
    scale = (1.0,) if "Div" in title else (255.0,)
    photos = PhotoSet(find(folder / "photos"), Preprocess(size, size, scale=scale))
    image = next(iter(photos.batches(1)))
    outputs = [next(iter(FloatModel(graph).run(image).values())) for graph in graphs]
    row: dict[str, object] = {
        "finding": title,
        "difference": float(np.abs(outputs[0] - outputs[1]).max() / np.abs(outputs[0]).max()),
    }
    for base in ("float16", "uint8"):
        row[f"host_{'float' if base == 'float16' else base}"] = on_host(folder, graphs, photos, base, seconds)
    for target, base in (("vs680", "uint8"), ("rvc4", "a8w8"), ("rvc4", "float16")):
        ms = [latency(target, graph, base) for graph in graphs]
        row[f"{target}_{base}"] = ms[1] / ms[0]
    row["noise_db"] = [noise_db(graph, photos) for graph in graphs]
    return row


def graph_of(folder: Path, title: str, make: Made, advised: bool, size: int) -> ModelGraph:
    b = Builder(seed=3)
    end = make(b, advised, size)
    path = folder / f"{list(PAIRS).index(title)}-{advised}.onnx"
    return read(save(onnx.shape_inference.infer_shapes(b.model([end], shape=(1, 3, size, size))), path))


def on_host(folder: Path, graphs: Sequence[ModelGraph], photos: PhotoSet, base: str, seconds: float) -> list[float]:
    """Ratio of the advised form's time, and its interval; empty where the host cannot build it."""
    runtime = Runtime.default()
    try:
        built = [HostToolchain(g, photos, folder / "host", runtime=runtime).build(Candidate(base)) for g in graphs]
    except CandidateError:
        return []
    board = HostBoard(runtime=runtime, plan=Plan(least=15, most=2000, limit_s=seconds, width=0.005))
    verdict = board.compare(built[0], built[1])
    return [verdict.ratio, *(verdict.interval or ())]


def latency(target: str, graph: ModelGraph, base: str) -> float:
    candidate = Candidate(base)
    return estimate(profile.load(target), graph, candidate, graph.assign(candidate)).total_ms


def noise_db(graph: ModelGraph, photos: PhotoSet) -> float:
    candidate = Candidate("uint8")
    simulator = Simulator(graph, photos, photos)
    noise = output_noise(graph, photos)(simulator.batches(Artifact(candidate, graph.assign(candidate))))
    return float(-10 * np.log10(noise)) if noise > 0 else float("inf")


def line(row: dict[str, object]) -> str:
    def ratio(key: str) -> str:
        value = row[key]
        if isinstance(value, list):
            return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]" if len(value) == 3 else "-"
        return f"{value:.3f}"

    before, after = row["noise_db"]  # type: ignore[misc]
    return (
        f"{row['finding']:<30} host float {ratio('host_float')}, uint8 {ratio('host_uint8')}; "
        f"vs680 uint8 {ratio('vs680_uint8')}, rvc4 a8w8 {ratio('rvc4_a8w8')}, rvc4 float {ratio('rvc4_float16')}; "
        f"8-bit SQNR {before:.1f} -> {after:.1f} dB; float differs by {row['difference']:.1e}"
    )


if __name__ == "__main__":
    sys.exit(main())
