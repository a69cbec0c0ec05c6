"""Faults of SNPE's tools and devices, on demand. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path

from mpsearch.testing.lab.faults import NAMES as COMMON
from mpsearch.testing.lab.faults import VARIABLE, Faults

NAMES = {
    **COMMON,
    "overrides-lost": "snpe-onnx-to-dlc matches none of the overrides",
    "input-counts-twice": "an override of the model's input is counted twice",
    "flags-ignored": "the quantizer ignores what it is told of weights and biases: width, per channel, per row",
    "old-dsp": "the device's DSP validates no 16-bit activation",
    "no-folders": "snpe-net-run makes no folders for names with slashes",
    "batches-inputs": "snpe-net-run takes two files for one input",
    "out-of-memory": "the program is killed for its memory (exit code 137)",
    "segmentation": "the program crashes (exit code 139)",
    "dsp-crashed": "the DSP goes down and comes back (error_code=911)",
    "thread-lost": "a thread of snpe-throughput-net-run ends without a word",
    "round-numbers": "throughputs are printed without a decimal point",
    "no-success-line": "snpe-net-run ends with code 0 and does not say that it succeeded",
    "short-output": "output files are cut off",
    "old-log": "SNPEDiag.log is called SNPEDiag_0.log",
    "no-cache": "snpe-dlc-graph-prepare makes no cache",
}
"""Name -> what happens."""


class SnpeFaults(Faults):
    """The faults of one lab with SNPE's tools; see :class:`~mpsearch.testing.lab.faults.Faults`."""

    @classmethod
    def of_environment(cls) -> SnpeFaults:
        return cls(Path(os.environ[VARIABLE]) / "faults.json")

    def set(self, **counts: int) -> None:
        """Replace all; names with ``_`` for ``-``."""
        wanted = {name.replace("_", "-"): count for name, count in counts.items()}
        if unknown := set(wanted) - set(NAMES):
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}")
        self._write(wanted)
