"""What the programs of the device share: options, the question to the Hexagon, and faults. Standard library only."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from mpsearch.testing.lab.snpe import dlc
from mpsearch.testing.lab.snpe.faults import SnpeFaults
from mpsearch.testing.lab.snpe.words import Options, Refused

PROFILES = ("low_balanced", "balanced", "high_performance", "sustained_high_performance", "burst", "low_power_saver",
            "power_saver", "high_power_saver", "extreme_power_saver", "system_settings")  # fmt: skip
BUFFERS_IN = ("--userbuffer_auto", "--userbuffer_float", "--userbuffer_tf8", "--userbuffer_floatN", "--userbuffer_tfN")
BUFFERS_OUT = ("--userbuffer_float_output", "--userbuffer_tf8_output", "--userbuffer_floatN_output",
               "--userbuffer_tfN_output", "--userbuffer_uintN_output")  # fmt: skip
FLAGS = ("--use_dsp", "--use_gpu", "--use_aip", "--userbuffer_auto", "--userbuffer_float", "--userbuffer_tf8",
         "--userbuffer_float_output", "--userbuffer_tf8_output", "--enable_cpu_fallback")  # fmt: skip
VALUES = ("--userbuffer_floatN", "--userbuffer_tfN", "--userbuffer_floatN_output", "--userbuffer_tfN_output",
          "--userbuffer_uintN_output", "--perf_profile", "--container", "--set_output_tensors",
          "--userlogs")  # fmt: skip
RULE = "-" * 79


class Failed(Exception):
    """The run ends with code 1; the argument is the SDK's own error."""


def ask(request: dict[str, Any]) -> dict[str, Any]:
    """One question to the Hexagon.

    Raises:
        Failed: it cannot do it.
    """
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(os.path.join(os.environ["MPSEARCH_LAB"], "htp.sock"))
        with link.makefile("rwb") as stream:
            stream.write(json.dumps({**request, "cwd": os.getcwd()}).encode() + b"\n")
            stream.flush()
            answer: dict[str, Any] = json.loads(stream.readline())
    if "error" in answer:
        raise Failed(answer["error"])
    return answer


def runtime(options: Options) -> str:
    """``dsp``, ``gpu``, ``gpu_fp16`` or ``cpu``.

    Raises:
        Refused: several.
    """
    chosen = [name for name in ("dsp", "gpu", "gpu_fp16", "aip", "cpu") if f"--use_{name}" in options]
    if len(chosen) > 1:
        raise Refused("Multiple runtimes specified")
    return {"aip": "dsp"}.get(chosen[0], chosen[0]) if chosen else "cpu"


def loaded(options: Options) -> dlc.Dlc:
    """The container; its profile is checked too.

    Raises:
        Refused, dlc.NoDlc.
    """
    made = dlc.read(options.need("--container"))
    options.choice("--perf_profile", PROFILES, "balanced")
    outputs = [name for name in options.one("--set_output_tensors").split(",") if name]
    if lost := [name for name in outputs if name not in made.tensors]:
        raise Refused(f"Output tensor {lost[0]} is not in the graph")
    return made


def misbehave(faults: SnpeFaults) -> None:
    """What can happen to any program."""
    if faults.take("slow"):
        time.sleep(1)
    if faults.take("hang"):
        time.sleep(3600)
    if faults.take("out-of-memory") or faults.take("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if faults.take("segmentation"):
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGSEGV)


def run(main: Any) -> NoReturn:
    """As a program."""
    faults = SnpeFaults.of_environment()
    try:
        misbehave(faults)
        code = main(sys.argv[2:], faults)
    except Failed as error:
        print(error, file=sys.stderr)
        code = 1
    except (Refused, dlc.NoDlc) as error:
        print(error, file=sys.stderr)
        code = 1
    sys.exit(code or faults.take("wrong-exit"))
