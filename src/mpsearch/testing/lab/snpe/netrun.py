"""``snpe-net-run`` of the lab. Standard library only; the work is done by :mod:`.htp`."""

from __future__ import annotations

import json
import os
import sys
from math import prod
from typing import Any

from mpsearch.testing.lab.snpe import device, dlc
from mpsearch.testing.lab.snpe.device import BUFFERS_IN, BUFFERS_OUT, RULE
from mpsearch.testing.lab.snpe.faults import SnpeFaults
from mpsearch.testing.lab.snpe.words import Options, Refused, parse

_VALUES = (*device.VALUES, "--input_list", "--output_dir", "--profiling_level", "--duration", "--timeout",
           "--cache_compatibility_mode", "--priority_hint", "--perf_config_yaml", "--runtime_order")  # fmt: skip
_FLAGS = (*device.FLAGS, "--debug", "--use_native_input_files", "--use_native_output_files", "--static_min_max",
          "--validate_cache", "--enable_init_cache", "--version", "--help")  # fmt: skip
SIZES = "Error: invalid input size provided. Please check all raw sizes."


def main(words: list[str], faults: SnpeFaults) -> int:
    """The program; returns its exit code."""
    options = parse("snpe-net-run", words, _VALUES, _FLAGS)
    if "--version" in options:
        print(f"SNPE v{dlc.VERSION}")
        return 0
    _refuse(options)
    print(f"{RULE}\nModel String: \nSNPE v{dlc.VERSION}\n{RULE}\n", flush=True)
    made = device.loaded(options)
    level = options.choice("--profiling_level", ("off", "basic", "moderate", "detailed", "linting", "qhas"), "detailed")
    where = device.runtime(options)
    lines = _listed(options.need("--input_list"), made)
    native = "--use_native_input_files" in options
    twice = faults.take("batches-inputs")
    sizes = [_size(options, made.tensors[name], native) for name in made.ir["inputs"]]
    groups = [_group(files, sizes) for files in lines]
    if twice:
        groups = [[*files, *files] for files in groups]
    wanted = list(made.tensors) if "--debug" in options else options.one("--set_output_tensors").split(",")
    request = {
        "do": "infer", "container": os.path.abspath(options.need("--container")), "runtime": where,
        "files": [files[0] for files in groups], "native_in": native, "float_in": "--userbuffer_float" in options,
        "native_out": "--use_native_output_files" in options, "output_dir": options.one("--output_dir", "./output"),
        "debug": "--debug" in options, "outputs": [name for name in wanted if name],
        "profile": options.one("--perf_profile", "balanced"),
    }  # fmt: skip
    answer = device.ask(request)
    print(f"Processing graph : {made.ir['graph']}")
    for files in groups:
        print("Processing DNN input(s):")
        for file in files:
            print(file)
    _write(answer["written"], faults)
    if level != "off":
        _log(options, made, answer, level, faults, len(groups))
    if not faults.take("no-success-line"):
        print(f"Successfully executed graph {made.ir['graph']}")
    return 0


def _refuse(options: Options) -> None:
    buffers = [name for name in BUFFERS_IN if name in options]
    outputs = [name for name in BUFFERS_OUT if name in options]
    files = "--use_native_input_files" in options or "--use_native_output_files" in options
    if files and not buffers:
        raise Refused("Cannot use native file I/O without specifying user buffer")
    if outputs and "--userbuffer_auto" in options:
        raise Refused("Cannot specify user buffer outputs while using user buffer auto")
    if outputs and not buffers:
        raise Refused("Cannot use override user buffer output without specifying user buffer")
    if "--runtime_order" in options and any(f"--use_{name}" in options for name in ("dsp", "gpu", "aip")):
        raise Refused("Invalid option cannot mix --runtime_order with --use_dsp or --use_gpu or --use_aip")
    if len(buffers) > 1:
        raise Refused("Multiple user buffer options specified")


def _listed(path: str, made: dlc.Dlc) -> list[list[str]]:
    try:
        with open(path) as file:
            lines = [line for line in file.read().splitlines() if line.strip() and line[0] not in "#%"]
    except OSError:
        raise Refused(f"Could not open input list file: {path}") from None
    found = [[word.partition(":=")[2] or word for word in line.split()] for line in lines]
    if not found or any(len(files) != len(made.ir["inputs"]) for files in found):
        raise Refused("Number of inputs in the input list does not match the model")
    return found


def _size(options: Options, tensor: dict[str, Any], native: bool) -> tuple[int, int]:
    """Bytes of an element and of the whole, as the files hold them."""
    item = dlc.element_bytes(tensor["type"]) if native else 4
    if "--userbuffer_tf8" in options and native:
        item = 1
    if "--userbuffer_tfN" in options and native:
        item = int(options.one("--userbuffer_tfN")) // 8
    return item, item * prod(tensor["dims"])


def _group(files: list[str], sizes: list[tuple[int, int]]) -> list[str]:
    """The files of one inference. A file that is a fraction of the tensor is not refused: more are taken to fill it."""
    found = []
    for file, (item, whole) in zip(files, sizes, strict=True):
        try:
            size = os.path.getsize(file)
        except OSError:
            raise Refused(f"Could not open file: {file}") from None
        if size % item:
            raise Refused("Size of input file should be divisible by sizeof(dtype).")
        if size == 0 or whole % size:
            raise Refused(SIZES)
        found += [file] * (whole // size)
    return found


def _write(written: list[list[str]], faults: SnpeFaults) -> None:
    """Move the Hexagon's files to their names, which may be folders deep."""
    blind, failed = faults.active("no-folders"), []
    for source, target in written:
        folder = os.path.dirname(target)
        if not os.path.isdir(folder):
            if blind and not os.path.basename(folder).startswith("Result_"):
                failed.append(target)
                continue
            os.makedirs(folder)
        with open(source, "rb") as file:
            data = file.read()
        with open(target, "wb") as file:
            file.write(data[: len(data) // 2] if faults.take("short-output") else data)
        os.unlink(source)
    for target in failed:
        print(f"Failed to write data to: {target}", file=sys.stderr)
    if failed:
        raise Refused("SNPE failed while writing an output file")


def _log(options: Options, made: dlc.Dlc, answer: dict[str, Any], level: str, faults: SnpeFaults, count: int) -> None:
    """``SNPEDiag.log``; only ``snpe-diagview`` reads it."""
    name = "SNPEDiag_0.log" if faults.active("old-log") else "SNPEDiag.log"
    folder = options.one("--output_dir", "./output")
    os.makedirs(folder, exist_ok=True)
    data = {**answer["profile"], "level": level, "graph": made.ir["graph"], "inferences": count}
    with open(os.path.join(folder, name), "w") as file:
        file.write("SNPEDIAG" + json.dumps(data))


if __name__ == "__main__":
    device.run(main)
