"""A configuration for Luxonis' ``modelconverter`` that builds a candidate for RVC4 in its mode CUSTOM. Pure.

Its other modes drop the arguments that one gives. Its simplifier and its rewrites are switched off, but for those that
fold the input's normalisation into the first convolution, so that the overrides' names stay true. Checked against the
schema of PyPI's modelconv 0.6.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from mpsearch.candidate import Candidate, DataType
from mpsearch.graph.model import ModelGraph
from mpsearch.toolchain.snpe import commands, rules
from mpsearch.toolchain.snpe.commands import Files, Preparation

_OWN = ("--use_per_channel_quantization", "--use_per_row_quantization", "--override_params")
_GIVEN = ("--input_dlc", "--input_list", "--output_dlc")
"""What modelconverter writes itself: from keys of its own, and the files."""


@dataclass(frozen=True, slots=True)
class InputIO:
    """What becomes of a photograph before the network: ``(pixel - means) / scale``.

    Attributes:
        calibration: folder of photographs, as it stands in the configuration.
        images: how many of them; -1: all.
    """

    means: tuple[float, ...] = (0.0, 0.0, 0.0)
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    order: str = "rgb"
    calibration: str = "calibration"
    images: int = -1


def config(
    graph: ModelGraph, candidate: Candidate, io: InputIO, how: Preparation, name: str, *, overrides: bool
) -> str:
    """The YAML text; model and overrides are expected beside it, as ``model.onnx`` and ``overrides.json``."""
    tensor = graph.inputs[0]
    order = io.order.upper()
    outputs = [t for several in graph.delivered(candidate).values() for t in several]
    data: dict[str, Any] = {
        "name": name,
        "input_model": "model.onnx",
        "inputs": [
            {
                "name": tensor,
                "shape": list(graph.tensors[tensor].shape),
                "layout": "NCHW",
                "encoding": {"from": order, "to": order},
                "mean_values": list(io.means),
                "scale_values": list(io.scale),
                "calibration": {"path": io.calibration, "max_images": io.images, "resize_method": "PAD"},
            }
        ],
        "outputs": [{"name": output} for output in outputs],
        "onnx_simplification": False,
        "onnx_optimizations": {
            "fuse_add_mul_to_bn": False,
            "fuse_comb_add_mul_to_conv": True,
            "fuse_single_add_mul_to_conv": True,
            "fuse_split_concat_to_conv": True,
            "substitute_sub_with_add": True,
            "substitute_div_with_mul": True,
        },
        "rvc4": _rvc4(graph, candidate, how) | ({"encodings": "overrides.json"} if overrides else {}),
    }
    head = "# For Luxonis' modelconverter: modelconverter convert rvc4 --path modelconverter.yaml\n"
    return head + yaml.safe_dump(data, sort_keys=False, width=120)


def _rvc4(graph: ModelGraph, candidate: Candidate, how: Preparation) -> dict[str, Any]:
    is_float = candidate.base_type is DataType.FLOAT16
    section: dict[str, Any] = {
        "quantization_mode": "CUSTOM",
        "disable_calibration": is_float,
        "use_per_channel_quantization": candidate.option("weights") == "per_channel",
        "use_per_row_quantization": candidate.option("matmul_weights") == "per_row",
        "optimization_level": how.level,
        "htp_socs": [how.soc],
        # The types of what goes in and out: 8 bits for DepthAI, as asked for everyone else.
        "normalize_io_encodings": not is_float and not rules.wide_outputs(graph, candidate),
    }
    if is_float:
        section["snpe_onnx_to_dlc_args"] = ["-n", "--float_bitwidth", "16"]
        section["snpe_dlc_graph_prepare_args"] = ["--use_float_io"]
        return section
    section["snpe_onnx_to_dlc_args"] = ["-n"]
    words = commands.quantize(candidate, "snpe", Files(""), overrides=False) or []
    section["snpe_dlc_quant_args"] = [word for word in words[1:] if _theirs(word)]
    return section


def _theirs(word: str) -> bool:
    return word not in _OWN and not word.startswith(tuple(f"{name}=" for name in _GIVEN))


def remarks(graph: ModelGraph, candidate: Candidate, ranged: Sequence[str]) -> tuple[str, ...]:
    """What the user of the configuration should know.

    Args:
        ranged: constants whose overrides carry ranges.
    """
    found = []
    if wide := rules.wide_outputs(graph, candidate):
        found.append(
            f"{', '.join(wide)}: not 8 bits wide at the model's edge, which DepthAI cannot exchange; "
            'for DepthAI pin outputs in the search space: {unit: "output:*", type: base}'
        )
    first = {
        name for node in graph.nodes if set(node.inputs) & set(graph.inputs) for name in node.params if name in ranged
    }
    if first:
        found.append(
            f"{', '.join(sorted(first))}: its override carries the range of the weights as they are in model.onnx; "
            "modelconverter folds the input's scale into them first, so give that unit 8-bit weights there"
        )
    return tuple(found)
