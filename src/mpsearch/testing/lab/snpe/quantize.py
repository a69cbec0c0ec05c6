"""``snpe-dlc-quant`` and ``qairt-quantizer`` of the lab: flags, refusals, lines and exit codes of SNPE 2.x.

Numbers are those of mpsearch's simulator; ranges given in overrides are printed and used for inputs and outputs, while
what lies between keeps the ranges of calibration. With ``--float_fallback`` nothing is calibrated, and the DLC runs in
float. ``adaround`` and ``amp`` need AIMET, which no lab has.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from mpsearch.candidate import Candidate
from mpsearch.errors import MpsearchError
from mpsearch.graph.model import Role
from mpsearch.graph.read import read
from mpsearch.quant.simulator import Simulator
from mpsearch.testing.lab.snpe import dlc, encode, inputs, realise
from mpsearch.testing.lab.snpe.faults import SnpeFaults
from mpsearch.testing.lab.snpe.overrides import Override
from mpsearch.testing.lab.snpe.realise import Flags
from mpsearch.testing.lab.snpe.words import Options, Refused, parse

_VALUES = ("--input_dlc", "--output_dlc", "--input_list", "--float_bitwidth", "--float_bias_bitwidth",
           "--weights_bitwidth", "--act_bitwidth", "--bias_bitwidth", "--param_quantizer", "--act_quantizer",
           "--algorithms", "--restrict_quantization_steps", "--udo_package_path")  # fmt: skip
_FLAGS = ("--override_params", "--float_fallback", "--use_per_channel_quantization", "--use_per_row_quantization",
          "--use_native_input_files", "--use_native_output_files", "--version", "--help")  # fmt: skip
_QUANTIZERS = ("tf", "enhanced", "symmetric")
_CALIBRATIONS = ("min-max", "sqnr", "entropy", "mse", "percentile")
_SCHEMAS = ("asymmetric", "symmetric")
_QAIRT: Mapping[str, tuple[str, ...]] = {
    "act_bitwidth": ("8", "16"), "weights_bitwidth": ("4", "8"), "bias_bitwidth": ("8", "32"),
    "float_bitwidth": ("16", "32"), "float_bias_bitwidth": ("16", "32"),
    "act_quantizer": _QUANTIZERS, "param_quantizer": _QUANTIZERS, "act_quantizer_calibration": _CALIBRATIONS,
    "param_quantizer_calibration": _CALIBRATIONS, "act_quantizer_schema": _SCHEMAS, "param_quantizer_schema": _SCHEMAS,
}  # fmt: skip
"""Option of ``qairt-quantizer`` -> what argparse lets through."""
_BASES = {(8, 8): "a8w8", (16, 8): "a16w8", (16, 16): "a16w16", (8, 16): "a8w8", (8, 4): "a8w8", (16, 4): "a16w8"}


def snpe(words: Sequence[str]) -> int:
    """``snpe-dlc-quant``."""
    words = list(words)
    enhanced = [i for i, word in enumerate(words) if word == "--use_enhanced_quantizer"]
    if enhanced:
        instead = "--param_quantizer and --act_quantizer options"
        print(f"[WARNING] --use_enhanced_quantizer option is deprecated, use {instead}.")
        words = [w for w in words if w != "--use_enhanced_quantizer"]
        words += ["--param_quantizer=enhanced", "--act_quantizer=enhanced"]
    old = {"--axis_quant": "--use_per_channel_quantization", "--bitwidth": "--weights_bitwidth",
           "--optimizations": "--algorithms"}  # fmt: skip
    options = parse("snpe-dlc-quant", words, _VALUES, _FLAGS, old)
    if "--version" in options:
        print(f"SNPE v{dlc.VERSION}")
        return 0
    print("[INFO] InitializeStderr: DebugLog initialized.")
    steps = options.one("--restrict_quantization_steps")
    if steps and not re.fullmatch(r"-?0x[0-9A-Fa-f]+,-?0x[0-9A-Fa-f]+", steps):
        raise Refused(f"Invalid quantization steps {steps}: expected MIN,MAX in hexadecimal")
    fallback = "--float_fallback" in options
    if fallback and ("--input_list" in options or "--override_params" not in options):
        raise Refused("--float_fallback requires --override_params and cannot be combined with --input_list")
    _quantize(options, " ".join(("snpe-dlc-quant", *words)), apply="--override_params" in options)
    print("[INFO] DebugLog shutting down.")
    return 0


def _chosen(options: Options, flags: Flags) -> dict[str, str]:
    """The candidate's options, by the quantizer's flags."""
    found = {
        "act_quantizer": options.choice("--act_quantizer", _QUANTIZERS, "tf"),
        "param_quantizer": options.choice("--param_quantizer", _QUANTIZERS, "tf"),
        "weights": "per_channel" if flags.per_channel else "per_tensor",
        "matmul_weights": "per_row" if flags.per_row else "per_tensor",
        "bias_bits": str(flags.bias),
        "weight_bits": "4" if flags.weights == 4 else "8",
        "equalization": options.choice("--algorithms", ("cle",), "cle") if "--algorithms" in options else "none",
    }
    for flag, name in (
        ("--act_quantizer_calibration", "act_calibration"),
        ("--param_quantizer_calibration", "param_calibration"),
        ("--act_quantizer_schema", "act_schema"),
        ("--param_quantizer_schema", "param_schema"),
    ):
        if flag in options:
            found[name] = options.one(flag)
    return found


def _flags(options: Options) -> Flags:
    """Raises:
    Refused: a width or a quantizer that the tool does not know.
    """
    quantizer = options.choice("--param_quantizer", _QUANTIZERS, "tf")
    return Flags(
        act=int(options.choice("--act_bitwidth", ("8", "16"), "8")),
        weights=int(options.choice("--weights_bitwidth", ("4", "8", "16"), "8")),
        bias=int(options.choice("--bias_bitwidth", ("8", "32"), "8")),
        per_channel="--use_per_channel_quantization" in options,
        per_row="--use_per_row_quantization" in options,
        symmetric="symmetric" in (quantizer, options.one("--param_quantizer_schema")),
        restricted="--restrict_quantization_steps" in options,
    )


def qairt(words: Sequence[str]) -> int:
    """``qairt-quantizer``: argparse on the outside, overrides applied unless told otherwise."""
    parser = argparse.ArgumentParser("qairt-quantizer", allow_abbrev=False)
    parser.add_argument("-i", "--input_dlc", required=True)
    parser.add_argument("--version", action="version", version=dlc.VERSION)
    for name, known in _QAIRT.items():
        parser.add_argument(f"--{name}", choices=known)
    parser.add_argument("--algorithms", choices=("cle", "adaround", "amp"))
    for name in ("output_dlc", "input_list", "config_file", "percentile_calibration_value",
                 "restrict_quantization_steps"):  # fmt: skip
        parser.add_argument(f"--{name}")
    for name in ("float_fallback", "ignore_encodings", "use_per_channel_quantization", "use_per_row_quantization",
                 "use_aimet_quantizer", "dump_encoding_json", "use_native_input_files"):  # fmt: skip
        parser.add_argument(f"--{name}", action="store_true")
    given = parser.parse_args(list(words))
    options = Options({f"--{k}": [v if isinstance(v, str) else ""] for k, v in vars(given).items() if v})
    if given.input_list and given.float_fallback:
        raise Refused("Invalid combination: --input_list and --float_fallback cannot be provided at the same time.")
    if given.ignore_encodings and given.float_fallback:
        raise Refused("--ignore_encodings cannot be provided with --float_fallback flag")
    legacy = given.act_quantizer or given.param_quantizer
    modern = given.act_quantizer_calibration or given.param_quantizer_calibration
    if legacy and modern:
        raise Refused(
            "Invalid combination: legacy quantizer options: --act_quantizer or --param_quantizer cannot be combined "
            "with --act_quantizer_calibration or --param_quantizer_calibration"
        )
    percentile = given.percentile_calibration_value
    if percentile is not None:
        if "percentile" not in (given.act_quantizer_calibration, given.param_quantizer_calibration):
            raise Refused(
                "--percentile_calibration_value option should be used with --act_quantizer_calibration percentile or "
                "--param_quantizer_calibration percentile"
            )
        if not 90 <= float(percentile) <= 100:
            raise Refused("--percentile_calibration_value must lie with 90 and 100")
    steps = given.restrict_quantization_steps
    if steps and not re.fullmatch(r"-?0x[0-9A-Fa-f]+ -?0x[0-9A-Fa-f]+", steps):
        raise Refused(f"Invalid quantization steps {steps}: expected MIN MAX in hexadecimal")
    if given.algorithms in ("adaround", "amp") or given.use_aimet_quantizer:
        raise Refused(f"AIMET is not installed, which {given.algorithms or '--use_aimet_quantizer'} needs")
    _quantize(options, " ".join(("qairt-quantizer", *words)), apply=not given.ignore_encodings)
    return 0


def _quantize(options: Options, line: str, *, apply: bool) -> None:
    faults, flags = SnpeFaults.of_environment(), _flags(options)
    if faults.take("flags-ignored"):
        flags = replace(flags, weights=8, bias=8, per_channel=False, per_row=False)
    chosen = _chosen(options, flags)
    source = options.need("--input_dlc")
    made = dlc.read(source)
    if made.quantized:
        raise Refused(f"{source} is quantized already")
    overrides = {name: Override.from_json(entry) for name, entry in made.about["overrides"].items()} if apply else {}
    for name, override in overrides.items():
        allowed = {"bias": (8, 16, 32), "weight": (4, 8, 16)}.get(made.tensors[name].get("role", ""), (8, 16))
        if override.bits not in allowed and override.kind == "int":
            raise Refused(f"overridden encodings contain unsupported bitwidth {override.bits}: {name}")
    print("[INFO] Processed command-line arguments")
    fallback = "--float_fallback" in options
    photos = None if fallback else _photos(options, made)
    if fallback:
        _fall_back(made, overrides)
    else:
        realise.assign(made, flags, overrides)
    print("[INFO] Quantized parameters", flush=True)
    if faults.take("out-of-memory"):
        os.kill(os.getpid(), 9)
    candidate = Candidate(_BASES[flags.act, flags.weights], options=tuple(chosen.items()))
    _simulate(made, photos, candidate, flags, overrides, faults.path.parent)
    print("[INFO] Generated activations")
    made.about["quantizer"] = line
    target = options.one("--output_dlc", source.removesuffix(".dlc") + "_quantized.dlc")
    dlc.write(made, target)
    print("   352.8ms [  INFO ] cleaning up resources for input tensors")
    print(f"[INFO] Saved quantized dlc to: {target}")


def _photos(options: Options, made: dlc.Dlc) -> inputs.RawPhotos:
    names = made.ir["inputs"]
    lines = inputs.listed(options.need("--input_list"), names)
    tensor = made.tensors[names[0]]
    if tensor["dims"][0] != 1:
        raise Refused("Quantization needs a model with batch dimension 1")
    photos = inputs.RawPhotos(tuple(line[0] for line in lines), tuple(tensor["dims"]), tensor["last"])
    photos.check()
    return photos


def _fall_back(made: dlc.Dlc, overrides: dict[str, Override]) -> None:
    """What has an encoding keeps it; all else is float."""
    for name, override in overrides.items():
        if override.kind == "int" and not override.scale:
            raise Refused(f"Encoding of {name} has no scale and offset, which --float_fallback needs")
    floats = {name: Override(16, "float") for name in made.tensors if name not in overrides}
    realise.assign(made, Flags(), {**floats, **overrides})


def _simulate(
    made: dlc.Dlc,
    photos: inputs.RawPhotos | None,
    plain: Candidate,
    flags: Flags,
    overrides: dict[str, Override],
    folder: Path,
) -> None:
    """Encodings for every tensor, and in ``about`` what the device's simulator needs."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{made.ir['graph'] or 'model'}.onnx"
        path.write_bytes(made.network)
        shape = made.about.get("shape")
        graph = read(path, input_shape=tuple(shape) if shape else None)
        if photos is None:
            made.about["run"] = {"candidate": {"base": "fp16"}, "types": {}, "photos": None}
            encode.given(made, overrides)
            return
        kinds = realise.unit_types(made, plain.base_type)
        ends = {f"output:{name}": kinds[graph.unit_of[graph.producer[name]]] for name in graph.outputs}
        units = {**kinds, **ends}
        asked = tuple(
            (u.name, units[u.name]) for u in graph.units if u.role is not Role.TRANSPARENT and u.name in units
        )
        candidate = replace(plain, overrides=asked)
        types = {**graph.assign(candidate), **units}
        cache = folder / "cache"
        simulator = Simulator(graph, photos, photos, cache=cache, threads=1)
        laid = simulator.plan(candidate, types)
        encode.everything(made, graph, simulator, laid, overrides, flags)
    made.about["run"] = {
        "candidate": candidate.to_json(),
        "types": {unit: str(kind) for unit, kind in types.items()},
        "photos": [photos.digest, len(photos)],
    }


def run() -> NoReturn:
    """As a program: ``python -m ... snpe-dlc-quant OPTION...``."""
    program, words = sys.argv[1], sys.argv[2:]
    faults = SnpeFaults.of_environment()
    if faults.take("slow"):
        time.sleep(1)
    if faults.take("hang"):
        time.sleep(3600)
    try:
        code = qairt(words) if program == "qairt-quantizer" else snpe(words)
    except (Refused, dlc.NoDlc) as error:
        print(f"[ERROR] {error}", file=sys.stderr)
        code = 1
    except MpsearchError as error:
        print(f"[ERROR] {error.message}", file=sys.stderr)
        code = 1
    sys.exit(code or faults.take("wrong-exit"))


if __name__ == "__main__":
    run()
