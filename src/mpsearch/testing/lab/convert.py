"""``synap_convert`` without the vendor: options, messages, exit codes and files of SyNAP toolkit 3.2.0.

Types are quantized with mpsearch's simulator, and latency later comes from its cost model: this tests the way through
the tools, not the numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import onnx

from mpsearch import canonical
from mpsearch.candidate import BASES, Algorithm, Base, Candidate, DataType, Scheme
from mpsearch.errors import MpsearchError
from mpsearch.graph import onnxio
from mpsearch.graph.model import ModelGraph, Role
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess
from mpsearch.quant.simulator import Simulator
from mpsearch.testing.lab import listing, metafile
from mpsearch.testing.lab import opaque as opaques
from mpsearch.testing.lab.engine import EngineLayer, layers
from mpsearch.testing.lab.faults import Faults
from mpsearch.testing.lab.metafile import Crash, Meta, Refused
from mpsearch.testing.lab.package import Built, shape_of, write

TARGETS = ["GENERIC", "DVF120", "VS640", "VS680", "SL1620", "SL1640", "SL1680"]
_ALIASES = {"VS680A0": "VS680", "DOLPHIN": "VS680", "VS640A0": "VS640", "PLATYPUS": "VS640"}


class Fatal(Exception):
    """The compiler ends; the argument holds its lines."""


def main(words: Sequence[str] | None = None) -> int:
    """The program; returns its exit code."""
    options = _options(words)
    faults = Faults.of_environment()
    if faults.take("slow"):
        time.sleep(1)
    if faults.take("hang"):
        time.sleep(3600)
    out = Path(options.out_dir)
    say = (lambda text: None) if options.silent else lambda text: print(f"{text:<20}", end="\r", flush=True)
    try:
        _convert(options, out, faults, say)
    except Refused as error:
        shutil.rmtree(out / "build", ignore_errors=True)
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except (Crash, Fatal) as error:
        _crash(error, out)
        return 1
    if not options.silent:
        print(" " * 20)
        print("Conversion successful")
    return 1 if faults.take("wrong-exit") else 0


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("synap_convert.py", allow_abbrev=False)
    parser.add_argument("-v", "--version", action="version", version=listing.VERSION)
    for name in ("--model", "--target", "--out-dir"):
        parser.add_argument(name, required=True)
    for name in ("--weights", "--meta", "--out-format", "--tools-dir", "--vssdk-dir"):
        parser.add_argument(name)
    for name in ("--profiling", "--verbose", "--silent", "--cpu-profiling", "--debug", "--preserve"):
        parser.add_argument(name, action="store_true")
    return parser.parse_args(words)


def _crash(error: Exception, out: Path) -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S,000")
    text = str(error)
    print(f"{stamp} - synap - INFO - Converting model with NPU EBG delegate without splitting")
    if isinstance(error, Fatal):
        print(text, file=sys.stderr)
        text = "acuitylib.acuityerror.AcuityError: ('Fatal model generation error: 65280', 'nbg_generate')"
    print(f"{stamp} - synap - E - Error while converting: {text.partition(': ')[2]}")
    print(f"Traceback (most recent call last):\n{text}")
    print(f"Temporary files available at : {out}/build", file=sys.stderr)


def _convert(options: argparse.Namespace, out: Path, faults: Faults, say: Any) -> None:
    target = _ALIASES.get(options.target.upper(), options.target.upper())
    if target not in TARGETS:
        raise Refused(f"Invalid target specified: {target}. Available targets: {', '.join(TARGETS)}")
    model = Path(options.model).absolute()
    if not model.is_file():
        raise Refused(f"model not found: {model}")
    if model.suffix not in (".onnx", ".tflite", ".pb", ".prototxt", ".torchscript", ".pt", ".pth"):
        raise Refused(f"unknown network format: {model.suffix}")
    path = Path(options.meta).absolute() if options.meta else None
    if path is not None and not path.is_file():
        raise Refused(f"model metafile not found: {path}")
    meta = metafile.read(path) if path else Meta({}, Path())
    meta.delegate(target)
    try:
        (out / "build").mkdir(parents=True, exist_ok=True)
    except OSError:
        raise Refused(f"failed to create working directory: {out}") from None
    say("Converting...")
    if (opaque := opaques.describe(model)) is not None:
        opaques.write(opaque, target, out)
        shutil.rmtree(out / "build")
        return
    built = _quantize(meta, model, faults, say)
    say("Compiling...")
    with _build_folder(faults):
        _compile(built, faults)
    write(built, meta, target, out, options, faults)
    shutil.rmtree(out / "build")


def _quantize(meta: Meta, model: Path, faults: Faults, say: Any) -> Built:
    graph = read(model, input_shape=shape_of(meta))
    channels = graph.tensors[graph.inputs[0]].shape[1]
    metafile.check_network(meta, channels)
    where = _outputs(meta, graph)
    if where.cuts or where.dropped:
        graph, where = _cut(graph, where, faults.path.parent / "cache"), Candidate("uint8")
    made = layers(graph, graph.delivered(where))
    if not meta.datasets:
        unquantized = Candidate("float16", cuts=where.cuts, dropped=where.dropped)
        moved = {layer.lid: "float16" for layer in made}
        return Built(graph, BASES["float16"], unquantized, graph.assign(unquantized), made, moved, None, None)
    photos = PhotoSet(metafile.dataset(meta), _preprocess(meta, graph))
    for step in range(0, 101, 50):
        say(f"Quantizing... {step:2d}%")
    if faults.take("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    moved = metafile.requantized(meta, made)
    simulator = Simulator(graph, photos, photos, cache=faults.path.parent / "cache", threads=1)
    candidate, types = _candidate(meta, graph, where, made, moved)
    base, _, _ = meta.types()
    first = Base(DataType(base), Scheme(metafile.scheme_of(meta, base)))
    laid = simulator.plan(candidate, types)  # which measures all that the NPU will find in the cache
    return Built(graph, first, candidate, types, made, moved, simulator, photos, laid.input)


def _cut(graph: ModelGraph, where: Candidate, folder: Path) -> ModelGraph:
    """The part of the network that is compiled, as a network of its own."""
    tensors = [tensor for several in graph.delivered(where).values() for tensor in several]
    path = folder / f"cut-{canonical.digest([graph.digest, tensors])[:32]}.onnx"
    if not path.is_file():
        folder.mkdir(exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        whole = onnx.shape_inference.infer_shapes(onnxio.load_for(graph))
        onnx.save(onnxio.extract(whole, graph.inputs, tensors), str(part))
        part.replace(path)
    return read(path)


def _preprocess(meta: Meta, graph: ModelGraph) -> Preprocess:
    entry = meta.inputs[0]
    means = entry.get("means", 0)
    _, _, height, width = graph.tensors[graph.inputs[0]].shape
    return Preprocess(
        height,
        width,
        tuple(means) if isinstance(means, list) else (means,) * 3,
        (float(entry.get("scale", 1)),) * 3,
        "bgr" if str(entry.get("format", "")).startswith("bgr") else "rgb",
    )


def _outputs(meta: Meta, graph: ModelGraph) -> Candidate:
    """The cuts that the named outputs mean."""
    names = [str(entry["name"]) for entry in meta.outputs if "name" in entry]
    cuts, dropped, at = [], [], 0
    for output in graph.outputs if names else ():
        options = ((output,), *graph.cut_points.get(output, ()))
        found = next((cut for cut in options if tuple(names[at : at + len(cut)]) == cut), None)
        if found is None:
            dropped.append(output)
        else:
            at += len(found)
            cuts += [(output, found)] if found != (output,) else []
    if at < len(names):
        raise Crash(
            "acuitylib.acuityerror.AcuityError: "
            f"(\"Error: The specified output '{names[at]}' is not existed in the graph, please check!\", None)"
        )
    return Candidate("uint8", cuts=tuple(cuts), dropped=tuple(dropped))


def _candidate(
    meta: Meta, graph: ModelGraph, where: Candidate, made: Sequence[EngineLayer], moved: Mapping[str, str]
) -> tuple[Candidate, dict[str, DataType]]:
    base, ground, _ = meta.types()
    scheme = metafile.scheme_of(meta, base)
    default = scheme == ("asymmetric_affine" if base == "uint8" else "dynamic_fixed_point")
    name = next(n for n, b in BASES.items() if b.type == base and b.scheme == scheme)
    if ground == "int16" and default:
        name = "int16"
    kinds = {layer.unit: DataType(moved.get(layer.lid, base)) for layer in made if layer.unit}  # the last one counts
    overrides = tuple((unit, kind) for unit, kind in kinds.items() if graph.unit[unit].role is not Role.TRANSPARENT)
    algorithm = meta.quantization.get("algorithm", "standard")
    known = Algorithm(algorithm) if algorithm in set(Algorithm) else Algorithm.STANDARD
    made_of = Candidate(name, known, overrides, where.cuts, where.dropped)
    return made_of, {**graph.assign(made_of), **kinds}


@contextlib.contextmanager
def _build_folder(faults: Faults) -> Any:
    """The compiler builds beside where the process was started, whatever the output folder: two cannot."""
    folder = Path("work_nbg_unify")
    try:
        if faults.take("shared-folder"):
            raise FileExistsError
        folder.mkdir()
    except FileExistsError:
        raise Fatal("Read file to buffer failed\nFatal model compilation error: 512") from None
    try:
        yield
    finally:
        folder.rmdir()


def _compile(built: Built, faults: Faults) -> None:
    refused = "DFP INT16, ASYM UINT8" if faults.take("refused-type") else ""
    if built.candidate.scheme is Scheme.PER_CHANNEL and any(
        layer.weights and built.moved.get(layer.lid) == "int16" for layer in built.made
    ):
        refused = "DFP INT16, SYMM PC INT8"
    fatal = "Fatal model generation error: 65280"
    if refused:
        raise Fatal(
            f"E [ops/vsi_nn_op_conv2d.c:op_check:189]Inputs/Outputs data type not support: {refused}\n"
            f"E [vsi_nn_graph.c:setup_node:551]Check node[213] CONV2D fail\n{fatal}"
        )
    if faults.take("fatal-once"):
        raise Fatal(
            "E [utils/vsi_nn_dtype_util.c:vsi_nn_QuantCheck:435]"
            f"input_scale[0.034280553460] * weight_scale[0.005952260457] != bias_scale[0.000213724008]\n{fatal}"
        )


def run() -> NoReturn:
    """As the program: what mpsearch itself refuses about a model is one more line of the importer."""
    try:
        sys.exit(main())
    except MpsearchError as error:
        print(f"Error: {error.message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run()
