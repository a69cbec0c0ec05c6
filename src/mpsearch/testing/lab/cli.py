"""``synap_cli`` of the lab: options, lines and exit codes of SyNAP's own; the work is done by :mod:`.npu`.

Only the standard library is imported, and it is started as a file, so that a call takes no longer than on a board.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import sys
import time
from typing import Any

_VALUES = {"-m", "--nb", "--meta", "-r", "--rr", "--fps", "--secure", "--allocator", "--profiling"}
_FLAGS = {"--cma", "--noflush", "--top5", "--dump-raw", "--dump-out", "--lock", "--version", "--help"}


def ask(request: dict[str, Any]) -> dict[str, Any]:
    """One question to the NPU."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(os.path.join(os.environ["MPSEARCH_LAB"], "npu.sock"))
        with link.makefile("rwb") as stream:
            stream.write(json.dumps(request).encode() + b"\n")
            stream.flush()
            answer: dict[str, Any] = json.loads(stream.readline())
            return answer


def main(words: list[str]) -> int:
    options: dict[str, str] = {}
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word not in _VALUES | _FLAGS or (word in _VALUES and not words):
            print(f"Illegal option(s): {word}", file=sys.stderr)
            return 1
        options[word] = words.pop(0) if word in _VALUES else "yes"
    if "--version" in options:
        print("SyNAP 3.2.0")
        return 0
    model = options.get("-m", "model.synap")
    request = {
        "model": os.path.abspath(model),
        "inputs": words,
        "repeat": int(options.get("-r", "1")),
        "dump": "--dump-out" in options,
        "cwd": os.getcwd(),
        "profiling": "--profiling" in options,
    }
    print(f"Loading network: {model}\nFlush/invalidate: yes\nLoop period (ms): 0", flush=True)
    answer = ask(request)
    if (fault := answer.get("fault")) is not None:
        if (code := misbehave(fault)) is not None:
            return code
        answer = ask(request)
    if "error" in answer:
        print(answer["error"], file=sys.stderr)
        return 1
    report(answer, options, words)
    return 1 if fault == "wrong-exit" else 0


def misbehave(fault: str) -> int | None:
    """Do what the fault says; None goes on."""
    if fault == "slow":
        time.sleep(1)
    elif fault == "hang":
        time.sleep(3600)
    elif fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == "garbage":
        print("\x00\x1b[0m\ufffd segv at 0x0 Inference timings (ms):  load: nan")
        return 0
    return None


def report(answer: dict[str, Any], options: dict[str, str], inputs: list[str]) -> None:
    print(f"Network inputs: {len(answer['inputs'])}\nNetwork outputs: {len(answer['outputs'])}")
    for index, tensor in enumerate(answer["inputs"]):
        print(f"Input buffer: {tensor['name']} size: {tensor['size']} : {inputs[min(index, len(inputs) - 1)]}")
    for tensor in answer["outputs"]:
        print(f"Output buffer: {tensor['name']} size: {tensor['size']}")
    print(" ")
    times = answer["times"]
    for index, value in enumerate(times):
        print(f"Predict #{index}: {value:.2f} ms")
    print(" ")
    if "--dump-out" in options:
        for index, tensor in enumerate(answer["outputs"]):
            print(f"Writing denormalized out: {tensor['name']} to file: output_float_{index}.dat")
    if "--profiling" in options:
        with open(options["--profiling"], "w") as file:
            file.write(answer["profile"])
    numbers = {
        "load": 5.0,
        "init": 3.0,
        "min": min(times),
        "median": sorted(times)[len(times) // 2],
        "max": max(times),
        "stddev": statistics.pstdev(times),
        "mean": statistics.fmean(times),
    }
    print("Inference timings (ms):  " + "  ".join(f"{name}: {value:.2f}" for name, value in numbers.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
