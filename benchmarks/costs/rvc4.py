"""Rows and parameters of the Hexagon Tensor Processor in RVC4."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from costs.rows import Family, Profiles, Row
from graphs import torchvision as nets
from graphs.published import inception_v3, mobilenet_v2
from mpsearch.board import profile
from mpsearch.board.fitting import Parameter
from mpsearch.candidate import Candidate
from mpsearch.graph.model import ModelGraph

ROW_SIGMA = 0.15
"""Rows of different networks contradict each other by more than this: the compiler's choices are not modelled."""

PARAMETERS = (
    Parameter("hmx_gmac_per_s", 12000.0, 0.7),  # 48 TOPS peak is 24000
    Parameter("hmx_a16_slowdown", 2.0, 0.3, least=1.0),  # activation bits times weight bits
    Parameter("hmx_fp16_slowdown", 4.0, 0.3, least=1.0),  # 48 TOPS against 12
    Parameter("depthwise_gmac_per_s", 500.0, 1.5),
    Parameter("hvx_gbyte_per_s", 100.0, 1.5),
    Parameter("hvx_activation_factor", 2.0, 0.5, least=1.0),
    Parameter("ddr_gbyte_per_s", 50.0, 0.5),
    Parameter("dispatch_us", 2.0, 0.7),
    Parameter("fixed_ms", 0.1, 0.7),
)

BASES: Mapping[str, str] = {"w8a8": "uint8", "w8a16": "int16", "float": "float16"}
"""The table's precisions as candidates say them."""
RUNTIME = "qnn_dlc"


def fitted_networks() -> dict[str, ModelGraph]:
    return {
        "resnext50": nets.resnet("resnext50", (3, 4, 6, 3), width=4, groups=32),
        "resnext101": nets.resnet("resnext101", (3, 4, 23, 3), width=8, groups=32),
        "regnet": nets.regnet("regnet_x_3_2gf", (96, 192, 432, 1008), (2, 6, 15, 2), 48, excite=False),
        "regnet_y_800mf": nets.regnet("regnet_y_800mf", (64, 144, 320, 784), (1, 3, 8, 2), 16, excite=True),
        "googlenet": nets.googlenet(),
        "squeezenet1_1": nets.squeezenet(),
        "densenet121": nets.densenet121(),
        "shufflenet_v2": nets.shufflenet_v2(),
        "mnasnet05": nets.mnasnet(0.5),
        "mobilenet_v3_large": nets.mobilenet_v3(large=True),
        "mobilenet_v3_small": nets.mobilenet_v3(large=False),
        "efficientnet_b0": nets.efficientnet_b0(),
        "yolov8_det": nets.yolov8n(),
    }


def held_out_networks() -> dict[str, ModelGraph]:
    return {
        "mobilenet_v2": mobilenet_v2(),
        "resnet18": nets.resnet("resnet18", (2, 2, 2, 2), bottleneck=False),
        "resnet50": nets.resnet("resnet50", (3, 4, 6, 3)),
        "resnet101": nets.resnet("resnet101", (3, 4, 23, 3)),
        "wideresnet50": nets.resnet("wide_resnet50_2", (3, 4, 6, 3), width=128),
        "inception_v3": inception_v3(224),
    }


def family(shared: Path) -> Family:
    """All rows of ``reference/snpe_qcs8550_latency.csv`` whose graph is written down here."""
    with (shared / "reference" / "snpe_qcs8550_latency.csv").open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["runtime"] == RUNTIME and line["precision"] in BASES]
    rows = []
    for use, networks in (("fitted", fitted_networks()), ("held out", held_out_networks())):
        for line in lines:
            if (graph := networks.get(line["model"])) is None:
                continue
            base = BASES[line["precision"]]
            name = f"{line['model']} {line['precision']}"
            # Single networks are met badly: see docs/boards.md. The run fails on its medians instead.
            rows.append(
                Row(name, "rvc4", graph, Candidate(base), float(line["ms"]), use, line["model"], reach=float("inf"))
            )
    return Family("htp", rows, PARAMETERS, profiles_of, ROW_SIGMA)


def profiles_of(values: Sequence[float]) -> Profiles:
    """The profile that a parameter vector stands for."""
    update = {item.field: value for item, value in zip(PARAMETERS, values, strict=True)}
    return {"rvc4": profile.load("rvc4").model_copy(update=update)}


def ratios(table: Sequence[Mapping[str, object]]) -> dict[str, float]:
    """What the search lives on: a precision against w8a8 on the same network, held-out networks only."""
    rows = {str(r["row"]): r for r in table if r["use"] == "held out"}
    off = []
    for name, line in rows.items():
        network, precision = name.split()
        base = rows.get(f"{network} w8a8")
        if precision != "w8a8" and base is not None:
            measured = float(str(line["measured_ms"])) / float(str(base["measured_ms"]))
            off.append(abs(float(str(line["shipped_ms"])) / float(str(base["shipped_ms"])) / measured - 1))
    return {"held-out ratios to w8a8, median error": round(median(off), 4)}
