"""The command lines of Qualcomm's tools on this computer. Pure: the same candidate gives the same words.

Which tool takes which flag is from the tools' documents (QAIRT 2.25) and Luxonis' modelconverter; the legacy quantizer
flags and the ``*_calibration`` and ``*_schema`` ones of ``qairt-quantizer`` never stand together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import CandidateError
from mpsearch.graph.model import ModelGraph
from mpsearch.toolchain.snpe.rules import LEGACY, MODERN
from mpsearch.toolchain.snpe.tools import DIAGVIEW, INFO, PREPARE, Family

STEPS = ("-0x8000", "0x7F7F")
"""Of 16-bit weights, which the documents ask for in ``--restrict_quantization_steps``."""


@dataclass(frozen=True, slots=True)
class Files:
    """Names of what a build reads and writes, as they stand in its command lines."""

    model: str
    float_dlc: str = "float.dlc"
    overrides: str = "overrides.json"
    input_list: str = "inputs.txt"
    quantized_dlc: str = "quantized.dlc"
    prepared_dlc: str = "model.dlc"


@dataclass(frozen=True, slots=True)
class Preparation:
    """Attributes:
    soc: the chip whose HTP the DLC is prepared for.
    level: of optimization; held fixed, because level 3 was seen to give other graphs from run to run.
    """

    soc: str = "sm8550"
    level: int = 2


def flag_weight_bits(candidate: Candidate, family: Family) -> int:
    """What the quantizer's flag says of weights; ``qairt-quantizer`` knows 4 and 8 only."""
    if candidate.base_type is DataType.A16W16 and family == "snpe":
        return 16
    return int(candidate.option("weight_bits"))


def convert(graph: ModelGraph, candidate: Candidate, family: Family, files: Files, *, overrides: bool) -> list[str]:
    """ONNX to a float DLC. The model is clean and its shapes are static, so the tool's own simplifier stays off."""
    outputs = [tensor for several in graph.delivered(candidate).values() for tensor in several]
    name = graph.inputs[0]
    if family == "snpe":
        shape = ",".join(map(str, graph.tensors[name].shape))
        argv = ["snpe-onnx-to-dlc", "-i", files.model, "-o", files.float_dlc, "--input_dim", name, shape]
        argv += ["--input_dtype", name, "float32", "--input_layout", name, _layout(graph)]
        argv += [word for tensor in outputs for word in ("--out_name", tensor)] + ["-n"]
    else:
        argv = ["qairt-converter", "--input_network", files.model, "--output_path", files.float_dlc]
        argv += [word for tensor in outputs for word in ("--out_tensor_node", tensor)] + ["--onnx_skip_simplification"]
    if overrides:
        argv += ["--quantization_overrides", files.overrides]
    if candidate.base_type is DataType.FLOAT16 and candidate.option("runtime") == "dsp":
        argv += ["--float_bitwidth", "16"]
    return argv


def _layout(graph: ModelGraph) -> str:
    rank = len(graph.tensors[graph.inputs[0]].shape)
    return {5: "NCDHW", 4: "NCHW", 3: "NCF", 2: "NF"}.get(rank, "NONTRIVIAL")


def quantize(candidate: Candidate, family: Family, files: Files, *, overrides: bool) -> list[str] | None:
    """Float DLC to quantized DLC; None where the candidate is not quantized.

    Raises:
        CandidateError: this family's quantizer has no such flag.
    """
    if candidate.base_type is DataType.FLOAT16:
        return None
    act, weights = candidate.base_type.bits, flag_weight_bits(candidate, family)
    if family == "qairt":
        argv = ["qairt-quantizer", "--input_dlc", files.float_dlc, "--input_list", files.input_list]
        argv += ["--output_dlc", files.quantized_dlc, "--act_bitwidth", str(act), "--weights_bitwidth", str(weights)]
        argv += ["--bias_bitwidth", candidate.option("bias_bits"), *_qairt(candidate)]
        return argv
    if wrong := [name for name, _ in candidate.options if name in MODERN]:
        raise CandidateError(
            f"{', '.join(wrong)}: snpe-dlc-quant has no such flag, qairt-quantizer has",
            stage="render",
            hint="Set toolkit.tools: qairt in the board's file, or use act_quantizer and param_quantizer.",
        )
    argv = ["snpe-dlc-quant", f"--input_dlc={files.float_dlc}", f"--input_list={files.input_list}"]
    argv += [f"--output_dlc={files.quantized_dlc}", f"--act_bitwidth={act}", f"--weights_bitwidth={weights}"]
    argv += [f"--bias_bitwidth={candidate.option('bias_bits')}"]
    for name in LEGACY:
        if (value := _legacy(candidate, name)) != "tf":
            argv.append(f"--{name}={value}")
    argv += _common(candidate)
    if candidate.option("equalization") == "cle":
        argv.append("--algorithms=cle")
    if candidate.base_type is DataType.A16W16:
        argv.append(f"--restrict_quantization_steps={','.join(STEPS)}")
    if overrides:
        argv.append("--override_params")
    return argv


def _legacy(candidate: Candidate, name: str) -> str:
    """16-bit weights must be symmetric, whatever the default is."""
    if name == "param_quantizer" and candidate.base_type is DataType.A16W16:
        return "symmetric"
    return candidate.option(name)


def _qairt(candidate: Candidate) -> list[str]:
    given = dict(candidate.options)
    argv: list[str] = []
    wide = candidate.base_type is DataType.A16W16
    if any(name in given for name in LEGACY):
        argv += [w for n in LEGACY if (v := _legacy(candidate, n)) != "tf" for w in (f"--{n}", v)]
    else:
        spelled = {
            "act_calibration": "--act_quantizer_calibration",
            "param_calibration": "--param_quantizer_calibration",
            "act_schema": "--act_quantizer_schema",
            "param_schema": "--param_quantizer_schema",
        }
        if wide:
            given["param_schema"] = "symmetric"
        argv += [word for name in MODERN if name in given for word in (spelled[name], given[name])]
    argv += _common(candidate)
    if candidate.option("equalization") == "cle":
        argv += ["--algorithms", "cle"]
    if wide:
        argv += ["--restrict_quantization_steps", " ".join(STEPS)]
    return argv


def _common(candidate: Candidate) -> list[str]:
    argv = []
    if candidate.option("weights") == "per_channel":
        argv.append("--use_per_channel_quantization")
    if candidate.option("matmul_weights") == "per_row":
        argv.append("--use_per_row_quantization")
    return argv


def prepare(candidate: Candidate, files: Files, outputs: Sequence[str], how: Preparation) -> list[str] | None:
    """The DLC compiled for HTP, None for other runtimes. The device uses it only if it is asked for these outputs."""
    if candidate.option("runtime") != "dsp":
        return None
    is_float = candidate.base_type is DataType.FLOAT16
    source = files.float_dlc if is_float else files.quantized_dlc
    argv = [PREPARE, f"--input_dlc={source}", f"--output_dlc={files.prepared_dlc}"]
    argv += [f"--set_output_tensors={','.join(outputs)}", f"--optimization_level={how.level}", f"--htp_socs={how.soc}"]
    return [*argv, "--use_float_io"] if is_float else argv


def listing(dlc: str) -> list[str]:
    """What the DLC holds, printed."""
    return [INFO, "-i", dlc]


def diagview(log: str, table: str) -> list[str]:
    """A profiling log as a CSV file; its second version, which has the layers' names."""
    return [DIAGVIEW, "--input_log", log, "--output", table, "--csv_format_version", "2"]
