"""``snpe-diagview`` of the lab: text of SNPE 2.37 or of 2.15, CSV version 1 and 2. Standard library only."""

from __future__ import annotations

import json
import sys
from typing import Any

from mpsearch.testing.lab.snpe import dlc
from mpsearch.testing.lab.snpe.faults import SnpeFaults
from mpsearch.testing.lab.snpe.words import Refused, parse

_V1 = "Msg Timestamp, Message, Layer Id, Time, Runtime"
_V2 = "Msg Timestamp,Message,Layer Id,Layer Name,Time,Unit of Measurement,Runtime,Graph Name"
_STAMP = 592207967612


def main(words: list[str]) -> int:
    """The program; returns its exit code."""
    options = parse(
        "snpe-diagview", words, ("--input_log", "--output", "--chrometrace", "--csv_format_version"), ("--help",)
    )
    path = options.need("--input_log")
    version = options.choice("--csv_format_version", ("1", "2"), "1")
    try:
        with open(path) as file:
            head, log = file.read(8), json.loads(file.read())
    except (OSError, ValueError):
        raise Refused(f"Could not read log {path}") from None
    if head != "SNPEDIAG":
        raise Refused(f"Could not read log {path}")
    _old(log) if SnpeFaults.of_environment().active("old-log") else _text(log)
    if "--output" in options:
        with open(options.one("--output"), "w") as file:
            file.write("\n".join(_v2(log) if version == "2" else _v1(log)) + "\n")
    return 0


def _text(log: dict[str, Any]) -> None:
    times = log["times_us"]
    rule = "-" * 40
    print("Log File Created: Sun Oct  5 19:40:11 2025\nTime Scale: 1e-06")
    print("Epoch Timestamp: 1759693211491502 Steady Clock Timestamp: 9473925087")
    print(f"Software library version: {dlc.VERSION}\n{'-' * 60}\n\nSNPE Create Statistics:\n{rule}")
    print(f"  Load: 1813 us\n  Deserialize: 919 us\n  Create: {times['init']} us\n")
    print(f"  Init: {times['init'] + 4038} us\n  De-Init: 6636 us\n\nSNPE Execute Statistics (Averaged):\n{rule}")
    print(f"  Total Inference Time: {times['total']} us\n  Forward Propagate Time: {times['total'] - 13} us")
    print(f"  RPC Execute Time: {times['rpc']} us\n  Snpe Accelerator Time: {times['rpc'] - 40} us")
    print(f"  Num times yield occurred: 0\n  Accelerator Time: {times['accelerator']} us\n")
    print(f"  Per-Subnet Execution Times: \n  {'-' * 30}\n    Subnet 0 ({log['runtime']}) : {_total(log)}\n")
    print(f"  Per-Layer Execution Times: \n  {'-' * 30}")
    cycles = log["unit"] == "cycles"
    for number, (name, spent) in enumerate(log["layers"]):
        label = _label(name, number) if cycles else f"_{name}"
        print(f"    {number}: {label} : {_spent(spent, log)} : {log['runtime']}")
        if log["level"] == "linting" and spent:
            print(f"    Wait (Scheduler) time: 629 cycles\n    Overlap time: {spent // 3} cycles")
            print("    Overlap (wait) time: 12 cycles\n    Resources: HVX, HMX, DMA")


def _old(log: dict[str, Any]) -> None:
    times = log["times_us"]
    print("Interpreting file serialized with Flatbuffer\n\nDnn Runtime Load/Deserialize/Create/De-Init Statistics:")
    print(
        f"Load: 1813 us\nDeserialize: 919 us\nCreate: {times['init']} us\nDe-Init: 6636 us\n\nAverage SNPE Statistics:"
    )
    print(f"Total Inference Time: {times['total']} us\nForward Propagate Time: {times['total'] - 13} us")
    print("Misc Accelerator Time: 0 us\n\nPer-Graph Execution Times:")
    print(f"{log['runtime']} Subnet 0: {_total(log)}\n\nLayer Times:")
    for number, (_, spent) in enumerate(log["layers"]):
        print(f"{number}: {_spent(spent, log)} : {log['runtime']}")


def _label(name: str, number: int) -> str:
    """The graph's own ends have a space where operators have a colon."""
    return f"{name}{' ' if name in ('Input', 'Output') else ':'}OpId_{number + 2} (cycles)"


def _spent(value: int, log: dict[str, Any]) -> str:
    """On the CPU a zero has no unit."""
    return f"{value} " if not value and log["unit"] == "us" else f"{value} {log['unit']}"


def _total(log: dict[str, Any]) -> str:
    return f"{sum(spent for _, spent in log['layers'])} {log['unit']}"


def _v1(log: dict[str, Any]) -> list[str]:
    rows = [_V1, f"{_STAMP},DESERIALIZE,,919,", f"{_STAMP},CREATE,,{log['times_us']['init']},"]
    for run in range(log["inferences"]):
        for number, (_, spent) in enumerate(log["layers"]):
            rows.append(f"{_STAMP + run},FORWARD_PROPAGATE_LAYER,{number},{spent},{log['runtime']}")
    return [*rows, f"{_STAMP},AVG_TOTAL_INFERENCE_TIME,,{log['times_us']['total']},"]


def _v2(log: dict[str, Any]) -> list[str]:
    graph, unit = log["graph"], {"cycles": "CYCLES", "us": "MICROSECONDS"}[log["unit"]]
    rows = [_V2, f"{_STAMP},CREATE,,,{log['times_us']['init']},MICROSECONDS,,{graph}"]
    for run in range(log["inferences"]):
        for number, (name, spent) in enumerate(log["layers"]):
            label = _label(name, number) if log["unit"] == "cycles" else name
            rows.append(
                f"{_STAMP + run},FORWARD_PROPAGATE_LAYER,{number},{label},{spent},{unit},{log['runtime']},{graph}"
            )
    return [*rows, f"{_STAMP},AVG_TOTAL_INFERENCE_TIME,,,{log['times_us']['total']},MICROSECONDS,,{graph}"]


def run() -> None:
    """As a program."""
    try:
        code = main(sys.argv[2:])
    except Refused as error:
        print(f"[ERROR] {error}", file=sys.stderr)
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    run()
