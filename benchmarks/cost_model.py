"""Fit the cost models to published board timings and say how far they are off, on fitted and held-out rows.

    python benchmarks/cost_model.py [--family verisilicon|htp] [--shared ../shared] [--out result.json]
                                    [--update] [--smoke]

Least squares on log(model / measured), with a prior on each fitted parameter so that few rows cannot bend it far from
what the hardware description and the vendor's performance model say. Leave-one-out: each row predicted by a fit
without it (for htp without all rows of its network). ``--update`` writes the fitted values into the profiles that
mpsearch ships. ``--smoke`` leaves out the leave-one-out fits. Rows that need files take them from the folder of
``--shared``. Exit code 1: a shipped profile misses a row it was fitted to, or the held-out rows by over 25 % in the
median.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from costs import rvc4, synap
from costs.rows import Family, Profiles, fit, leave_one_out, predict, summarise
from mpsearch.board import profile

ROOT = Path(__file__).resolve().parents[1]
PROFILES = ROOT / "src" / "mpsearch" / "board" / "profiles"
REACH = 0.25
"""Median error on held-out rows."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=("verisilicon", "htp"), help="only this one")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder with data/ and reference/")
    parser.add_argument("--out", type=Path, help="write the tables as JSON")
    parser.add_argument("--update", action="store_true", help="write the fitted values into the shipped profiles")
    parser.add_argument("--smoke", action="store_true", help="no leave-one-out")
    options = parser.parse_args(argv)
    have_shared = (options.shared / "data" / "models").is_dir()
    if options.update and not have_shared:
        print("--update needs the rows of --shared", file=sys.stderr)
        return 2
    start, rows, summaries, parameters, missed = time.perf_counter(), [], {}, [], []
    for family in families(options.family, options.shared if have_shared else None, options.shared):
        table, values = report(family, smoke=options.smoke)
        summary = summarise(table)
        summary |= (synap if family.name == "verisilicon" else rvc4).ratios(table)
        print("\n".join(f"{name}: {value}" for name, value in summary.items()))
        missed += out_of_reach(family, table, summary)
        rows += table
        summaries[family.name] = summary
        parameters += parameter_table(family, values)
        if options.update:
            update_profiles(family, family.profiles(values))
    print(f"{time.perf_counter() - start:.1f} s")
    if options.out:
        result = {"rows": rows, "parameters": parameters, "summary": summaries, "skipped_shared": not have_shared}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if missed:
        print(f"too far off: {', '.join(missed)}", file=sys.stderr)
        return 0 if options.update else 1
    return 0


def families(wanted: str | None, shared: Path | None, named: Path) -> list[Family]:
    """What can be fitted with the files that are there; says what cannot."""
    found = []
    if wanted in (None, "verisilicon"):
        if shared is None:
            print(f"skipped: the yolov5s_face rows, because {named} has no data/models (see --shared)")
        found.append(synap.family(shared))
    if wanted in (None, "htp"):
        if shared is None:
            print(f"skipped: the htp family, because {named} has no reference/snpe_qcs8550_latency.csv (see --shared)")
        else:
            found.append(rvc4.family(shared))
    return found


def report(family: Family, *, smoke: bool) -> tuple[list[dict[str, object]], tuple[float, ...]]:
    """Fit, predict with shipped and fitted parameters, print; the table and the fitted values."""
    fitted_rows = [row for row in family.rows if row.use in ("fitted", "floor")]
    values = fit(family, fitted_rows)
    fitted = family.profiles(values)
    shipped = {board: profile.load(board) for board in fitted}
    left_out = {} if smoke else leave_one_out(family, fitted_rows, values)
    table: list[dict[str, object]] = [
        {
            "row": row.name,
            "board": row.board,
            "use": row.use,
            "measured_ms": round(row.measured_ms, 3),
            "shipped_ms": round(predict(row, shipped), 3),
            "refitted_ms": round(predict(row, fitted), 3),
            "ratio": round(predict(row, shipped) / row.measured_ms, 4),
            "leave_one_out_ratio": round(left_out[id(row)], 4) if id(row) in left_out else None,
        }
        for row in family.rows
    ]
    print(f"{'row':44} {'board':6} {'use':9} {'measured':>9} {'model':>9} {'ratio':>7} {'refit':>9} {'left out':>8}")
    for r in table:
        left = "" if r["leave_one_out_ratio"] is None else f"{r['leave_one_out_ratio']:8.3f}"
        print(
            f"{r['row']:44} {r['board']:6} {r['use']:9} {r['measured_ms']:9.2f} {r['shipped_ms']:9.2f}"
            f" {r['ratio']:7.3f} {r['refitted_ms']:9.2f} {left:>8}"
        )
    return table, values


def parameter_table(family: Family, values: Sequence[float]) -> list[dict[str, object]]:
    """Prior and fitted value of each parameter, printed too."""
    found: list[dict[str, object]] = []
    for item, value in zip(family.parameters, values, strict=True):
        print(f"  {item.field:34} {item.board or 'all':6} prior {item.centre:8.4g}  fitted {value:8.4g}")
        found.append(
            {
                "family": family.name,
                "field": item.field,
                "board": item.board,
                "prior": item.centre,
                "prior_log_sigma": item.sigma,
                "fitted": value,
            }
        )
    return found


def out_of_reach(family: Family, table: Sequence[Mapping[str, object]], summary: Mapping[str, float]) -> list[str]:
    """What the shipped profiles miss."""
    missed = [
        f"{row.board} {row.name}"
        for row, line in zip(family.rows, table, strict=True)
        if row.use == "fitted" and abs(float(str(line["ratio"])) - 1) > row.reach
    ]
    if summary["held-out rows, median error"] > REACH:
        missed.append(f"{family.name}: held-out median")
    return missed


def update_profiles(family: Family, profiles: Profiles) -> None:
    """Write the fitted numbers into the shipped YAML files; comments and all other lines stay."""
    names = {item.field for item in family.parameters} - {"ddr_share"} | {"ddr_gbyte_per_s"}
    for board, fitted in profiles.items():
        path = PROFILES / f"{board}.yaml"
        text = path.read_text(encoding="utf-8")
        for name in sorted(names):
            text = re.sub(rf"(?m)^{name}: [0-9.eE+-]+", f"{name}: {getattr(fitted, name):.4g}", text)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
