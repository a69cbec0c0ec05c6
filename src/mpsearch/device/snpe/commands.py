"""Command lines for SNPE's programs on the device. Pure.

Native files are refused without user buffers, so both always go together; the device then reads and writes the DLC's
own types, and nothing is converted on its CPU. Only :func:`every_layer` asks for ``--debug``, and nobody takes times of
it: with every layer as an output a DLC prepared offline is prepared again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Measure = Literal["throughput", "parallel"]
MODEL, INPUTS, OUTPUT, REPORT = "model.dlc", "inputs.txt", "output", "report.json"
"""Names in a trial's folder on the device."""
NET_RUN = "snpe-net-run"
TIMERS: Mapping[Measure, str] = {"throughput": "snpe-throughput-net-run", "parallel": "snpe-parallel-run"}
"""``How.measure`` -> program."""


@dataclass(frozen=True, slots=True)
class How:
    """How SNPE is used on a device.

    Attributes:
        tools: folder of the programs on the device; "" where they are on its PATH.
        env: variables to set for them, e.g. ``LD_LIBRARY_PATH`` and ``ADSP_LIBRARY_PATH``.
        measure: which program times.
        duration_s: of one measurement; each gives one sample, the mean over all its inferences.
        threads: instances of the network that work at the same time.
        group: photographs a ``snpe-net-run``.
        sys: where the kernel shows temperatures and power.
        sysmon: the program that tells the DSP's clocks.
    """

    tools: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    measure: Measure = "throughput"
    duration_s: float = 2.0
    threads: int = 1
    group: int = 20
    sys: str = "/sys"
    sysmon: str = "/usr/bin/sysMonApp"

    def program(self, name: str) -> tuple[str, ...]:
        """A program's words before its options."""
        path = f"{self.tools.rstrip('/')}/{name}" if self.tools else name
        return (*(("env", *(f"{key}={value}" for key, value in self.env.items())) if self.env else ()), path)


def net_run(how: How, runtime: str, profile: str, *, profiling: str = "off") -> tuple[str, ...]:
    """Run the inputs of :data:`INPUTS` through the model, into :data:`OUTPUT`.

    Args:
        profiling: level of the log for ``snpe-diagview``.
    """
    return (
        *how.program(NET_RUN), "--container", MODEL, "--input_list", INPUTS, "--output_dir", OUTPUT,
        *_runtime(runtime), "--userbuffer_auto", "--use_native_input_files", "--use_native_output_files",
        "--perf_profile", profile, "--profiling_level", profiling,
    )  # fmt: skip


def every_layer(how: How, runtime: str, profile: str) -> tuple[str, ...]:
    """Write what every layer gives for the inputs of :data:`INPUTS`, which hold float32: in float32 too, also those of
    a quantized DLC."""
    return (
        *how.program(NET_RUN), "--container", MODEL, "--input_list", INPUTS, "--output_dir", OUTPUT, "--debug",
        *_runtime(runtime), "--userbuffer_float", "--userbuffer_floatN_output", "32", "--perf_profile", profile,
    )  # fmt: skip


def timing(how: How, runtime: str, profile: str, *, model: str = MODEL) -> tuple[str, ...]:
    """Infer for a while and tell how many inferences a second that were.

    ``snpe-parallel-run`` has no word for native inputs: its files hold float32.
    """
    if how.measure == "parallel":
        group = ("--container", model, "--input_list", INPUTS, "--output_dir", OUTPUT, "--perf_profile", profile)
        one = (*group, "--cpu_fallback", "false", *_runtime(runtime), "--userbuffer_auto")
        return (*how.program(TIMERS["parallel"]), *one * how.threads)
    one = ("--container", model, *(_runtime(runtime) or ("--use_cpu",)), "--perf_profile", profile)
    return (
        *how.program(TIMERS["throughput"]),
        "--duration",
        f"{how.duration_s:g}",
        "--json",
        REPORT,
        *one * how.threads,
    )


def version(how: How) -> tuple[str, ...]:
    """Say which SNPE the board has."""
    return (*how.program(NET_RUN), "--version")


def input_list(paths: Sequence[str]) -> str:
    """The text of :data:`INPUTS`: one inference a line."""
    return "".join(f"{path}\n" for path in paths)


def _runtime(name: str) -> tuple[str, ...]:
    """The CPU is what the programs take when nothing else is asked for."""
    return () if name == "cpu" else (f"--use_{name}",)


COLLECT = r"""
: > outputs.bin
find "$1" -type f -name '*.raw' > outputs.txt || exit 1
while IFS= read -r file; do
  cat "$file" >> outputs.bin || exit 1
  echo "$(wc -c < "$file") $file"
done < outputs.txt
"""
"""Shell: every output file behind the other in ``outputs.bin``, and a line ``<bytes> <path>`` each."""

WATCH = r"""
sys=$1; shift
(
  while kill -0 $$ 2>/dev/null; do
    for file in $sys/class/hwmon/hwmon*/power1_input; do
      [ -r "$file" ] && echo "mpsearch-power $(cat "$file") $file" >&2
    done
    sleep 1
  done
) &
exec "$@"
"""
"""Shell: become a program, and say once a second while it runs what the kernel's sensors say of power (uW)."""
