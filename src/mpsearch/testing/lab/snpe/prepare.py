"""``snpe-dlc-graph-prepare`` of the lab. Standard library only."""

from __future__ import annotations

import os
import sys
import time

from mpsearch.testing.lab.snpe import dlc
from mpsearch.testing.lab.snpe.faults import SnpeFaults
from mpsearch.testing.lab.snpe.words import Refused, parse

_VALUES = ("--input_dlc", "--output_dlc", "--set_output_tensors", "--htp_socs", "--htp_archs", "--vtcm_override",
           "--optimization_level", "--htp_dlbc", "--num_hvx_threads", "--buffer_data_type")  # fmt: skip
_FLAGS = ("--overwrite_cache_records", "--use_float_io", "--version", "--help")
_SOCS = {"sm8350": "v68", "sm8450": "v69", "sm8550": "v73", "sm8650": "v75", "qcs6490": "v68", "qcs8550": "v73"}


def main(words: list[str]) -> int:
    """The program; returns its exit code."""
    options = parse("snpe-dlc-graph-prepare", words, _VALUES, _FLAGS)
    if "--version" in options:
        print(f"SNPE v{dlc.VERSION}")
        return 0
    for name in ("--use_float_io", "--buffer_data_type"):
        if name in options:
            print(f"[WARNING] {name} is deprecated.")
    faults = SnpeFaults.of_environment()
    source = options.need("--input_dlc")
    made = dlc.read(source)
    level = options.choice("--optimization_level", ("1", "2", "3"), "2")
    socs = options.one("--htp_socs", "sm8650").split(",")
    if unknown := [soc for soc in socs if soc not in _SOCS]:
        raise Refused(f"Unsupported SoC {unknown[0]}")
    outputs = [name for name in options.one("--set_output_tensors").split(",") if name] or made.ir["outputs"]
    if lost := [name for name in outputs if name not in made.tensors]:
        raise Refused(f"Output tensor {lost[0]} is not in the graph")
    for soc in socs:
        print(f"[INFO] Offline Prepare VTCM size(MB) selected = {options.one('--vtcm_override', '8')}")
        if not faults.take("no-cache"):
            record = {"soc": soc, "arch": _SOCS[soc], "outputs": outputs, "level": level}
            made.about["caches"] = [c for c in made.about["caches"] if c["soc"] != soc] + [record]
            print(f"[INFO] SNPE HTP Offline Prepare: Successfully created cache for {soc.upper()}")
    target = options.one("--output_dlc", f"{source.removesuffix('.dlc')}_cached.dlc")
    dlc.write(made, target)
    print(f"[INFO] SNPE HTP Offline Prepare: Saved cached DLC to {target}")
    return 0


def run() -> None:
    """As a program."""
    faults = SnpeFaults.of_environment()
    if faults.take("slow"):
        time.sleep(1)
    if faults.take("killed"):
        os.kill(os.getpid(), 9)
    try:
        code = main(sys.argv[2:])
    except (Refused, dlc.NoDlc) as error:
        print(f"[ERROR] {error}", file=sys.stderr)
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    run()
