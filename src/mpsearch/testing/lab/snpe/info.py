"""``snpe-dlc-info`` of the lab: the tables as text, and as CSV with ``-s``. Standard library only."""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from math import prod
from typing import Any

from mpsearch.testing.lab.snpe import dlc

_HEAD = ("Id", "Name", "Type", "Inputs", "Outputs", "Out Dims", "Runtimes", "Parameters")
_NOTE = "Note: The supported runtimes column assumes a processor target of Snapdragon 855"
_RULE = "-" * 120
Row = Sequence[str]


def main(words: Sequence[str]) -> int:
    """The program; returns its exit code."""
    parser = argparse.ArgumentParser("snpe-dlc-info", allow_abbrev=False)
    parser.add_argument("-i", "--input_dlc", required=True)
    parser.add_argument("-s", "--save")
    parser.add_argument("-m", "--memory", action="store_true")
    parser.add_argument("-d", "--display_all_encodings", action="store_true")
    parser.add_argument("-t", action="store_true")
    parser.add_argument("-v", "--version", action="version", version=dlc.VERSION)
    options = parser.parse_args(words)
    if not os.path.isfile(options.input_dlc):
        print(f"ERROR: {options.input_dlc} does not exist", file=sys.stderr)
        return 255
    try:
        made = dlc.read(options.input_dlc)
    except dlc.NoDlc as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 254
    rows = list(_ops(made, options.display_all_encodings))
    print(f"DLC info of: {os.path.abspath(options.input_dlc)}")
    print("Model Version: N/A\nModel Copyright: N/A")
    print(f"Converter command: {made.about['converter']}")
    print(f"Quantizer command: {made.about.get('quantizer', 'N/A')}")
    print(f"DLC created with converter version: {dlc.VERSION}\n{'=' * 120}")
    print(f"Info of graph: {made.ir['graph']}\n{_RULE}")
    _table((_HEAD, *rows))
    print(f"{_NOTE}\nKey : A:AIP\n      D:DSP\n      G:GPU\n      C:CPU")
    _table((("Input Name", "Dimensions", "Type", "Encoding Info"), *_ends(made, "inputs")))
    _table((("Output Name", "Dimensions", "Type", "Encoding Info"), *_ends(made, "outputs")))
    for line in _totals(made):
        print(line)
    if made.about["caches"]:
        print("Cache Info:")
        _table((("Cache Record Name", "SNPE Version", "Cache Version", "Identifier", "Information", "Graphs"),
                *_caches(made)))  # fmt: skip
    if options.save:
        _save(options.save, made, rows)
    return 0


def _ops(made: dlc.Dlc, every: bool) -> list[Row]:
    """The first row of an operator has its number; further inputs, outputs and parameters stand in rows without."""
    found: list[Row] = []
    for number, op in enumerate(made.ir["ops"]):
        inputs = [_tensor(made, name) for name in op["inputs"]]
        outputs = [_tensor(made, name) for name in op["outputs"]]
        dims = ["x".join(map(str, made.tensors[name]["dims"])) for name in op["outputs"]]
        params = [*_encodings(made, op, every), *op["params"]]
        for index in range(max(len(inputs), len(outputs), len(params))):
            first = index == 0
            found.append(
                (
                    str(number) if first else "",
                    op["name"] if first else "",
                    op["type"] if first else "",
                    inputs[index] if index < len(inputs) else "",
                    outputs[index] if index < len(outputs) else "",
                    dims[index] if index < len(dims) else "",
                    "A D G C" if first else "",
                    params[index] if index < len(params) else "",
                )
            )
    return found


def _tensor(made: dlc.Dlc, name: str) -> str:
    tensor = made.tensors[name]
    dims = ",".join(map(str, tensor["dims"]))
    return f"{name} (data type: {tensor['type']}; tensor dimension: [{dims}]; tensor type: {tensor['kind']})"


def _encodings(made: dlc.Dlc, op: dict[str, Any], every: bool) -> list[str]:
    lines = []
    for name in (*op["inputs"], *op["outputs"]):
        tensor = made.tensors[name]
        if (entry := tensor["encoding"]) is None:
            continue
        channels = entry.get("channels", 1)
        if channels == 1:
            lines.append(f"{name} encoding : {_numbers(entry)}")
            continue
        shown = range(channels if every else 1)
        lines += [f"{name} encoding for channel_{channel}: {_numbers(entry)}" for channel in shown]
        axis = len(tensor["dims"]) - 1
        more = "" if every else f" (above encoding is only for the first (channel_0) of {channels} channels)"
        lines.append(f"axis-quant: axis: {axis}, num_elements: {channels}{more}")
    return lines


def _numbers(entry: dict[str, Any]) -> str:
    reals = ", ".join(f"{name} {entry[name]:.12f}" for name in ("min", "max", "scale", "offset"))
    return f"bitwidth {entry['bits']}, {reals}"


def _ends(made: dlc.Dlc, which: str) -> list[Row]:
    rows: list[Row] = []
    for name in made.ir[which]:
        tensor = made.tensors[name]
        entry = tensor["encoding"]
        said = "No encoding info for this tensor" if entry is None else _numbers(entry)
        rows.append((name, ",".join(map(str, tensor["dims"])), tensor["type"], said))
    return rows


def _totals(made: dlc.Dlc) -> list[str]:
    count = sum(prod(tensor["dims"]) for tensor in made.tensors.values() if tensor["kind"] == "STATIC")
    kinds = ", ".join(sorted({op["type"] for op in made.ir["ops"]}))
    return [
        f"Total parameters: {count} ({4 * count >> 20} MB assuming single precision float. This does not represent the "
        "actual memory requirement of the model. It provides the user a rough estimate of the contribution from the "
        "parameters 4 bytes per parameter)",
        f"Ops used by Graph: {kinds}",
        "Est. Steady-State Memory Needed to Run: 12.4 MiB",
    ]


def _caches(made: dlc.Dlc) -> list[Row]:
    return [
        (f"{c['soc']}.htp.{c['arch']}", dlc.VERSION, "3.4.0", c["soc"].upper(), f"optimization level {c['level']}",
         made.ir["graph"])
        for c in made.about["caches"]
    ]  # fmt: skip


def _table(rows: Sequence[Row]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(_RULE)
    for row in rows:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
    print(_RULE)


def _save(path: str, made: dlc.Dlc, rows: Sequence[Row]) -> None:
    with open(path, "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow([f"DLC info of: {made.about['model']}"])
        out.writerow(_HEAD)
        out.writerows(rows)
        out.writerow([_NOTE])
        out.writerow(("Input Name", "Dimensions", "Type", "Encoding Info"))
        out.writerows(_ends(made, "inputs"))
        out.writerow(("Output Name", "Dimensions", "Type", "Encoding Info"))
        out.writerows(_ends(made, "outputs"))
        out.writerows([line] for line in _totals(made))


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))
