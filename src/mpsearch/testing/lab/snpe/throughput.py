"""``snpe-throughput-net-run`` and ``snpe-parallel-run`` of the lab. Standard library only.

They do not take the time they were given: the rates are the cost model's, with noise.
"""

from __future__ import annotations

import json
import os
import sys
from math import prod
from typing import Any

from mpsearch.testing.lab.snpe import device, dlc
from mpsearch.testing.lab.snpe.faults import SnpeFaults
from mpsearch.testing.lab.snpe.words import Options, Refused, parse

_VALUES = (*device.VALUES, "--duration", "--iterations", "--json", "--input_raw", "--model_name")
_FLAGS = (*device.FLAGS, "--use_cpu", "--use_gpu_fp16", "--fixed_fps", "--enable_cpu_fxp", "--version", "--help")
_PARALLEL = (*device.VALUES, "--input_list", "--output_dir", "--cpu_fallback", "--profiling_level")
NAMES = {"dsp": "dsp_fixed8_tf", "cpu": "cpu_float32", "gpu": "gpu_float32_16_hybrid", "gpu_fp16": "gpu_float16"}


def main(words: list[str], faults: SnpeFaults) -> int:
    """The program; returns its exit code."""
    return _parallel(words, faults) if sys.argv[1] == "snpe-parallel-run" else _throughput(words, faults)


def _groups(words: list[str], values: tuple[str, ...], flags: tuple[str, ...], name: str) -> list[Options]:
    """A group of options begins with each ``--container``; what stands before the first belongs to all."""
    starts = [i for i, word in enumerate(words) if word.partition("=")[0] == "--container"]
    if not starts:
        return [parse(name, words, values, flags)]
    common = words[: starts[0]]
    parts = [words[a:b] for a, b in zip(starts, [*starts[1:], len(words)], strict=True)]
    return [parse(name, [*common, *part], values, flags) for part in parts]


def _throughput(words: list[str], faults: SnpeFaults) -> int:
    groups = _groups(words, _VALUES, _FLAGS, "snpe-throughput-net-run")
    if "--version" in groups[0]:
        print(f"SNPE v{dlc.VERSION}")
        return 0
    duration = float(next((g.one("--duration") for g in groups if "--duration" in g), "0") or 0)
    if duration <= 0 and not any("--iterations" in group for group in groups):
        raise Refused("Duration must be specified")
    threads: list[dict[str, Any]] = []
    for number, group in enumerate(groups):
        where = device.runtime(group)
        try:
            device.loaded(group)
            request = {"do": "time", "container": os.path.abspath(group.need("--container")), "runtime": where,
                       "profile": group.one("--perf_profile", "balanced"), "threads": len(groups)}  # fmt: skip
            rate = device.ask(request)["infps"]
        except (device.Failed, dlc.NoDlc) as error:
            print(
                f"[Instance {number} - {NAMES[where]}] Unable to successfully create SNPE instance. Will continue to "
                f"creation of other SNPE instance(s).container={group.one('--container')}\n{error}",
                file=sys.stderr,
            )
            continue
        threads.append(
            {
                "id": number,
                "runtime": NAMES[where],
                "container": group.one("--container"),
                "infps": rate,
                "perf_profile": group.one("--perf_profile", "balanced"),
                "duration": duration,
                "num_images": max(1, int(rate * duration)),
                "status": "ok",
                "message": "",
                "error": "",
            }
        )
    if not threads:
        print(f"Error: Requested {len(groups)} instances of SNPE, Could not create any.. Exiting.", file=sys.stderr)
        return 1
    for thread in list(threads):
        if faults.take("thread-lost"):
            print(f"Thread {thread['id']} did not complete and did not produce an error. Thread was lost.")
            threads.remove(thread)
            continue
        elapsed = int(duration * 1e6)
        print(
            f"[Thread {thread['id']} - {thread['runtime']}] {_number(thread['infps'], faults)} infs/sec - "
            f"Number of images processed: {thread['num_images']} - Build time: 657077 microseconds - "
            f"Elapsed time: {elapsed + 188} microseconds - "
            f"Real time: {elapsed} microseconds - Teardown time: 10750 microseconds - Batch : 1"
        )
    total = sum(thread["infps"] for thread in threads)
    print(f"Total throughput: {_number(total, faults)} infs/sec")
    path = next((g.one("--json") for g in groups if "--json" in g), "")
    if path:
        with open(path, "w") as file:
            json.dump({"iterations": 1, "threads": threads}, file)
    return 0


def _parallel(words: list[str], faults: SnpeFaults) -> int:
    groups = _groups(words, _PARALLEL, (*device.FLAGS, "--version"), "snpe-parallel-run")
    if "--version" in groups[0]:
        print(f"SNPE v{dlc.VERSION}")
        return 0
    total = 0.0
    for group in groups:
        where = device.runtime(group)
        made = device.loaded(group)
        try:
            with open(group.need("--input_list")) as file:
                files = [line.strip() for line in file if line.strip() and line[0] not in "#%"]
            count = len(files)
            _check_sizes(files, made)
        except OSError:
            raise Refused(f"Could not open input list file: {group.one('--input_list')}") from None
        request = {"do": "time", "container": os.path.abspath(group.need("--container")), "runtime": where,
                   "profile": group.one("--perf_profile", "balanced"), "threads": len(groups)}  # fmt: skip
        total += device.ask(request)["infps"]
        print(f"runtimes: {NAMES[where]} - Mode :0- Number of images processed: {count}")
    print("Build time: 0.52 seconds.")
    print(f"Execution Time: {count * len(groups) / total:.6g} seconds.")
    print(f"{_number(total, faults)} infs/sec")
    print("Successfully executed!")
    return 0


def _check_sizes(files: list[str], made: dlc.Dlc) -> None:
    """There is no flag for native inputs: files hold float32."""
    wanted = 4 * prod(made.tensors[made.ir["inputs"][0]]["dims"])
    if any(os.path.getsize(file.partition(":=")[2] or file) != wanted for file in files):
        raise Refused("Error: invalid input size provided. Please check all raw sizes.")


def _number(rate: float, faults: SnpeFaults) -> str:
    """As C++ prints a double: six significant digits."""
    return f"{rate:.0f}" if faults.active("round-numbers") else f"{rate:.6g}"


if __name__ == "__main__":
    device.run(main)
