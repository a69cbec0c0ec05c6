"""Rows and parameters of the VeriSilicon NPUs in VS680 and VS640."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from costs.rows import Family, Profiles, Row
from graphs.published import conv_stack, inception_v3, inception_v4, mobilenet_v1, mobilenet_v2, yolo_v4_tiny
from mpsearch.board import profile
from mpsearch.board.fitting import Parameter
from mpsearch.candidate import Candidate, DataType
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read

ROW_SIGMA = 0.02
"""The boards' own repeats scatter by 1 to 4 %."""

UINT8, INT16, TAIL = "uint8, cut", "int16, cut", "Concat_155... int16, cut"

DDR_LIMIT_GBYTE_PER_S = {"vs680": 22.0, "vs640": 10.0}
"""What SyNAP tells the compiler; the fit finds which share of it is really had."""

PARAMETERS = (
    Parameter("nn_clock_ghz", 1.0, 0.2, board="vs680"),  # the vendor's model assumes 1 GHz
    Parameter("nn_clock_ghz", 1.0, 0.2, board="vs640"),
    Parameter("nn_int16_slowdown", 3.99, 0.1, least=1.0, board="vs680"),  # vendor's model, compute bound
    Parameter("nn_int16_slowdown", 3.99, 0.1, least=1.0, board="vs640"),
    Parameter("tp_gcycles_per_s", 2.0, 2.0, board="vs680"),  # free: the vendor's model overprices TP work
    Parameter("tp_gcycles_per_s", 1.0, 2.0, board="vs640"),
    Parameter("tp_transpose_cycles_per_element", 12.0, 2.0),  # free: the vendor's 516 is far from silicon
    Parameter("tp_16bit_slowdown", 2.05, 0.05, least=1.0),  # RESHUFFLE and REORG2, int16 over uint8, vendor's model
    Parameter("shader_gmac_per_s", 2.6, 2.0),  # free: the vendor's float16 cycles are not credible
    Parameter("ddr_share", 0.7, 0.3),
    Parameter("dispatch_us", 10.0, 0.7),
    Parameter("fixed_ms", 0.2, 0.7),
)


def family(shared: Path | None) -> Family:
    """Both boards; the walk-through's rows only with the folder that holds its graph."""
    rows = code_rows() if shared is None else shared_rows(shared) + code_rows()
    return Family("verisilicon", rows, PARAMETERS, profiles_of, ROW_SIGMA)


def code_rows() -> list[Row]:
    """Rows whose graph is written above. Timings: SyNAP manual, benchmark tables, offline inference."""
    stack, small = conv_stack(128), conv_stack(64)
    operations = 2 * small.macs
    rows = [
        Row("conv stack 128x128 uint8", "vs680", stack, Candidate(), 119.34),
        Row("conv stack 128x128 uint8", "vs640", stack, Candidate(), 563.81),
        Row("conv stack 64x64 int16 > 1.7 TOP/s", "vs680", small, Candidate("int16"), operations / 1.7e9, use="floor"),
        Row(
            "conv stack 64x64 int16 > 0.45 TOP/s", "vs640", small, Candidate("int16"), operations / 0.45e9, use="floor"
        ),
    ]
    held: tuple[tuple[ModelGraph, float, float], ...] = (
        (mobilenet_v1(0.25), 0.77, 0.93),
        (mobilenet_v2(), 1.79, 2.31),
        (inception_v3(346), 11.38, 30.12),
        (inception_v4(), 19.59, 53.82),
        (yolo_v4_tiny(), 6.03, 12.73),
    )
    for graph, vs680_ms, vs640_ms in held:
        for board, ms in (("vs680", vs680_ms), ("vs640", vs640_ms)):
            rows.append(Row(f"{graph.path.stem} uint8", board, graph, Candidate(), ms, use="held out"))
    return rows


def shared_rows(shared: Path) -> list[Row]:
    """The walk-through's rows (``reference/seed_vs680.csv``) and its network in the VS640 table."""
    graph = read(shared / "data" / "models" / "yolov5s_face_480x640_untrained.onnx")
    cuts = tuple(zip(graph.outputs, (("349",), ("369",), ("389",)), strict=True))
    cut = Candidate(cuts=cuts)
    mixed = with_tail(graph, cut)
    one = with_tail(graph, Candidate(cuts=cuts, dropped=(graph.outputs[0], graph.outputs[2])))
    candidates = {
        "float, 3 full": Candidate("float16"),
        "uint8, 3 full": Candidate(),
        UINT8: cut,
        INT16: Candidate("int16", cuts=cuts),
        TAIL: mixed,
        "Concat_155... int16, 369 only": one,
    }
    with (shared / "reference" / "seed_vs680.csv").open(encoding="utf-8", newline="") as file:
        measured = [line["median_ms"] for line in csv.DictReader(file) if line["input"] == "480x640"]
    rows = [
        Row(f"yolov5s_face {name}", "vs680", graph, candidate, float(ms), reach=0.5 if "float" in name else 0.15)
        for (name, candidate), ms in zip(candidates.items(), measured[:6], strict=True)
    ]
    # The benchmark table says "mq"; the walk-through's mixed network is 31.88 ms in it and 31.61 ms in the text.
    rows.append(Row(f"yolov5s_face {TAIL}", "vs640", graph, mixed, 59.63))
    # Published as "more than 35": nothing to fit.
    camera = replace(one, preprocess="nv12:1024x768")
    above_ms = float(measured[6].split()[0])
    rows.append(Row("yolov5s_face 369 only + nv12 (> 35 ms)", "vs680", graph, camera, above_ms, use="check"))
    return rows


def with_tail(graph: ModelGraph, candidate: Candidate) -> Candidate:
    """``Concat_155...: int16``, as the metafile writes it."""
    units = graph.units_after("Concat_155", candidate)
    return replace(candidate, overrides=tuple((unit, DataType.INT16) for unit in units))


def profiles_of(values: Sequence[float]) -> Profiles:
    """The profiles that a parameter vector stands for."""
    found = {}
    for board, limit in DDR_LIMIT_GBYTE_PER_S.items():
        update = {
            item.field: value for item, value in zip(PARAMETERS, values, strict=True) if item.board in (None, board)
        }
        update["ddr_gbyte_per_s"] = update.pop("ddr_share") * limit
        found[board] = profile.load(board).model_copy(update=update)
    return found


def ratios(table: Sequence[Mapping[str, object]]) -> dict[str, float]:
    """What the search lives on: int16 and the int16 tail against uint8 on the walk-through's graph."""
    rows = {str(r["row"]).removeprefix("yolov5s_face "): r for r in table if r["board"] == "vs680"}
    if UINT8 not in rows:
        return {}

    def against_uint8(name: str, key: str) -> float:
        return round(float(str(rows[name][key])) / float(str(rows[UINT8][key])), 3)

    return {
        f"{name} / uint8, {what}": against_uint8(name, key)
        for name in (INT16, TAIL)
        for what, key in (("measured", "measured_ms"), ("model", "shipped_ms"))
    }
