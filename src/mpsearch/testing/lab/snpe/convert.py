"""``snpe-onnx-to-dlc`` and ``qairt-converter`` of the lab: options, log lines and silences of SNPE 2.x."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import onnx

from mpsearch import canonical
from mpsearch.errors import MpsearchError
from mpsearch.graph import onnxio
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.testing.lab.snpe import dlc, ir
from mpsearch.testing.lab.snpe.faults import SnpeFaults
from mpsearch.testing.lab.snpe.overrides import BadOverrides, Override
from mpsearch.testing.lab.snpe.overrides import read as read_overrides

_LAYOUTS = "NCHW NHWC NCDHW NDHWC NFC NCF NTF TNF NF NC F NONTRIVIAL".split()


class Refused(Exception):
    """The converter ends with code 1; the argument is its last line."""


def main(words: Sequence[str], *, qairt: bool) -> int:
    """The program; returns its exit code."""
    options = (_qairt_options if qairt else _snpe_options)(words)
    faults = SnpeFaults.of_environment()
    if faults.take("slow"):
        time.sleep(1)
    if faults.take("hang"):
        time.sleep(3600)
    if faults.take("killed"):
        os.kill(os.getpid(), 9)
    try:
        _convert(options, " ".join(words), faults, qairt=qairt)
    except (Refused, BadOverrides) as error:
        _say("ERROR", f"Encountered Error: {error}")
        return 1
    except MpsearchError as error:
        _say("ERROR", f"Encountered Error: {error.message}")
        return 1
    return 1 if faults.take("wrong-exit") else 0


def _snpe_options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("snpe-onnx-to-dlc", allow_abbrev=False)
    parser.add_argument("-i", "--input_network", required=True)
    parser.add_argument("-o", "--output_path")
    parser.add_argument("-d", "--input_dim", nargs=2, action="append", default=[])
    parser.add_argument("--out_node", "--out_name", dest="outputs", action="append", default=[])
    parser.add_argument("--input_dtype", nargs=2, action="append", default=[])
    parser.add_argument("-l", "--input_layout", nargs=2, action="append", default=[])
    parser.add_argument("--input_encoding", nargs="+", action="append", default=[])
    parser.add_argument("--quantization_overrides")
    parser.add_argument("-n", "--no_simplification", action="store_true")
    parser.add_argument("-b", "--batch", type=int)
    parser.add_argument("--float_bitwidth", type=int, choices=(16, 32), default=32)
    parser.add_argument("--float_bias_bw", type=int, choices=(16, 32))
    for name in ("--keep_quant_nodes", "--disable_batchnorm_folding"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("-v", "--version", action="version", version=dlc.VERSION)
    return parser.parse_args(words)


def _qairt_options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("qairt-converter", allow_abbrev=False)
    parser.add_argument("-i", "--input_network", required=True)
    parser.add_argument("-o", "--output_path")
    parser.add_argument("-d", "--desired_input_shape", "--source_model_input_shape", dest="input_dim", nargs=2,
                        action="append", default=[])  # fmt: skip
    parser.add_argument("--out_tensor_node", "--out_tensor_name", dest="outputs", action="append", default=[])
    parser.add_argument("--quantization_overrides")
    parser.add_argument("--onnx_skip_simplification", dest="no_simplification", action="store_true")
    parser.add_argument("--onnx_batch", dest="batch", type=int)
    parser.add_argument("--float_bitwidth", type=int, choices=(16, 32), default=32)
    parser.add_argument("--float_bias_bitwidth", type=int, choices=(16, 32))
    parser.add_argument("--target_backend", choices=("CPU", "GPU", "DSP", "HTP", "HTA", "LPAI"))
    parser.add_argument("--disable_batchnorm_folding", action="store_true")
    parser.add_argument("--version", action="version", version=dlc.VERSION)
    made = parser.parse_args(words)
    made.input_layout, made.input_dtype = [], []
    return made


def _convert(options: argparse.Namespace, line: str, faults: SnpeFaults, *, qairt: bool) -> None:
    path = Path(options.input_network)
    if not path.is_file():
        raise Refused(f"{path} does not exist")
    target = options.output_path or str(path.with_suffix(".dlc"))
    if not os.path.isdir(os.path.dirname(os.path.abspath(target))):
        raise Refused(f"Output path {os.path.dirname(target)} is not a valid directory")
    shape = _shape(options)
    graph = read(path, input_shape=shape)
    for name, _ in (*options.input_dim, *options.input_layout, *options.input_dtype):
        if name not in graph.inputs:
            raise Refused(f"{name} is not an input of the network")
    for _, layout in options.input_layout:
        if layout not in _LAYOUTS:
            raise Refused(f"Unsupported input layout {layout}")
    overrides = read_overrides(Path(options.quantization_overrides)) if options.quantization_overrides else None
    if overrides is not None and not options.no_simplification:
        _say(
            "WARNING",
            "Can't simplify the model when custom ops or quantization overrides are specified, converting without "
            "simplification.",
        )
    elif not options.no_simplification:
        _say("INFO", "Successfully simplified the onnx model in child process")
    graph = cut(graph, options.outputs, faults.path.parent / "cache")
    made = ir.build(
        graph,
        options.outputs or graph.outputs,
        spatial_last=qairt,
        float_bits=options.float_bitwidth,
        fold=not options.disable_batchnorm_folding,
    )
    made["graph"] = path.stem
    hits: dict[str, Override] = {}
    if overrides is not None:
        _say("INFO", "Processing user provided quantization encodings: ")
        lost = bool(faults.take("overrides-lost"))
        hits = {name: entry for name, entry in overrides.items() if name in made["tensors"] and not lost}
        count = len(hits)
        if faults.take("input-counts-twice"):
            count += sum(name in hits for name in graph.inputs)
        _say("INFO", f"Processed {count} quantization encodings")
    _say("INFO", "INFO_INITIALIZATION_SUCCESS: ")
    _say("INFO", "INFO_CONVERSION_SUCCESS: Conversion completed successfully")
    program = "qairt-converter" if qairt else "snpe-onnx-to-dlc"
    about: dict[str, Any] = {
        "converter": f"{program} {line}",
        "model": str(path),
        "shape": list(shape) if shape else None,
        "overrides": {name: entry.to_json() for name, entry in hits.items()},
        "float_bits": options.float_bitwidth,
        "caches": [],
    }
    dlc.write(dlc.Dlc(graph.path.read_bytes(), made, about), target)
    _say("INFO", "INFO_WRITE_SUCCESS: ")


def _shape(options: argparse.Namespace) -> tuple[int, ...] | None:
    if not options.input_dim:
        return None
    _, dims = options.input_dim[0]
    try:
        return tuple(int(size) for size in dims.split(","))
    except ValueError:
        raise Refused(f"Invalid input dimension {dims}") from None


def cut(graph: ModelGraph, outputs: Sequence[str], folder: Path) -> ModelGraph:
    """The part of the network that is compiled, as a network of its own; ``outputs`` in their order.

    Raises:
        Refused: a tensor that is not there.
    """
    if not outputs or tuple(outputs) == graph.outputs:
        return graph
    known = {tensor for node in graph.nodes for tensor in node.outputs}
    if unknown := [name for name in outputs if name not in known]:
        raise Refused(f"Output node/tensor {unknown[0]} not found in the graph")
    path = folder / f"snpe-cut-{canonical.digest([graph.digest, list(outputs)])[:32]}.onnx"
    if not path.is_file():
        folder.mkdir(exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        whole = onnx.shape_inference.infer_shapes(onnxio.load_for(graph))
        onnx.save(onnxio.extract(whole, graph.inputs, list(outputs)), str(part))
        part.replace(path)
    return read(path)


def _say(level: str, text: str) -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S,000")
    print(f"{stamp} - 214 - {level} - {text}", file=sys.stderr, flush=True)


def run() -> NoReturn:
    """As a program: ``python -m ... snpe-onnx-to-dlc OPTION...``."""
    sys.exit(main(sys.argv[2:], qairt=sys.argv[1] == "qairt-converter"))


if __name__ == "__main__":
    run()
