"""A lab with SNPE's tools beside SyNAP's, and a Hexagon behind the same two doors.

with SnpeLab(folder) as lab:
    lab.sdk_bin / "snpe-dlc-quant"  # programs of the host; lab.tools: of the device
    lab.board_file("ssh")           # a board's file for ``--target``
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import yaml

import mpsearch
from mpsearch.testing.lab.bench import Lab
from mpsearch.testing.lab.faults import VARIABLE
from mpsearch.testing.lab.snpe.faults import SnpeFaults

HOST = {
    "snpe-onnx-to-dlc": "convert", "qairt-converter": "convert", "snpe-dlc-quant": "quantize",
    "qairt-quantizer": "quantize", "snpe-dlc-graph-prepare": "prepare", "snpe-dlc-info": "info",
    "snpe-diagview": "diagview",
}  # fmt: skip
DEVICE = {
    "snpe-net-run": "netrun", "snpe-throughput-net-run": "throughput", "snpe-parallel-run": "throughput",
}  # fmt: skip
_HEAVY = ("convert", "quantize")
"""They need the installed packages; the others start with the standard library alone, as fast as on a board."""


class SnpeLab(Lab):
    """See :class:`~mpsearch.testing.lab.bench.Lab`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.faults: SnpeFaults = SnpeFaults(self.folder / "faults.json")

    @property
    def sdk(self) -> Path:
        """The SDK's folder, as ``toolkit.sdk`` names it."""
        return self.folder / "sdk"

    @property
    def sdk_bin(self) -> Path:
        """The folder of the host's programs."""
        return self.sdk / "bin" / "x86_64-linux-clang"

    @property
    def tools(self) -> Path:
        """The folder of the device's programs."""
        return self.folder / "device"

    def __enter__(self) -> SnpeLab:
        super().__enter__()
        self.tools.mkdir(exist_ok=True)
        (self.folder / "htp.sock").unlink(missing_ok=True)
        (self.folder / "htp.part").unlink(missing_ok=True)
        self.sdk_bin.mkdir(parents=True, exist_ok=True)
        for folder, programs in ((self.sdk_bin, HOST), (self.tools, DEVICE)):
            for name, module in programs.items():
                self._snpe_program(folder / name, name, module)
        clocks = self.tools / "sysMonApp"
        clocks.write_text("#!/bin/sh\nprintf 'Clock freq. Active time\\n 441.60 0.000\\n1382.40 1.250\\n'\n")
        clocks.chmod(0o755)
        self._start([sys.executable, "-m", "mpsearch.testing.lab.snpe.htp", str(self._short)])
        self._until(lambda: (self.folder / "htp.sock").exists(), "the lab's Hexagon")
        return self

    def _snpe_program(self, path: Path, name: str, module: str) -> None:
        source = Path(mpsearch.__file__).parents[1]
        flags = [] if module in _HEAVY else ["-S"]
        line = shlex.join([sys.executable, *flags, "-m", f"mpsearch.testing.lab.snpe.{module}", name])
        path.write_text(
            f"#!/bin/sh\n{self._counted(name)}"
            f"export {VARIABLE}={shlex.quote(str(self._short))} PYTHONPATH={shlex.quote(str(source))}\n"
            f'exec {line} "$@"\n'
        )
        path.chmod(0o755)

    def board_file(self, kind: str, **more: Any) -> Path:
        """Write a board's description for one of the doors (``ssh``, ``adb`` or ``local``); more fields replace."""
        path = super().board_file(kind)
        common = yaml.safe_load(path.read_text())
        fields = {
            "name": f"lab-snpe-{kind}",
            "target": "rvc4",
            "transport": common["transport"],
            "base": common["base"],
            "toolkit": {"sdk": str(self.sdk)},
            "snpe": {"tools": str(self.tools), "duration_s": 1, "sysmon": str(self.tools / "sysMonApp")},
            "timing": {"warm_up": 1, "least": 6, "most": 12},
            **more,
        }
        path = self.folder / f"board-snpe-{kind}.yaml"
        path.write_text(yaml.safe_dump(fields, sort_keys=False))
        return path
