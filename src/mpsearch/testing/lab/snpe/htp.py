"""The lab's Hexagon: one process that keeps models loaded, asked by the device's programs over a socket.

Outputs come from mpsearch's simulator, times from the cost model ``rvc4`` with a little noise; nothing here is silicon.
On ``gpu`` and ``cpu`` a model computes in float whatever its types are, as SNPE does by default.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch.board import cost, profile
from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import MpsearchError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.quant.simulator import Simulator
from mpsearch.testing.lab import held
from mpsearch.testing.lab.snpe import dlc
from mpsearch.testing.lab.snpe.faults import SnpeFaults
from mpsearch.testing.lab.snpe.validate import refused_by_htp

_NOISE = 0.004
_CYCLES_PER_MS = 1_000_000
_SLOWER = {"dsp": 1.0, "gpu": 3.0, "gpu_fp16": 3.0, "cpu": 40.0}
_PROFILES = {"burst": 0.85, "high_performance": 0.9, "sustained_high_performance": 0.92,
             "low_balanced": 1.2, "high_power_saver": 1.4, "power_saver": 1.8, "low_power_saver": 2.2,
             "extreme_power_saver": 3.0}  # fmt: skip
_SOC = "sm8550"
_REFUSED = (
    "error_code=1002; error_message=Layer parameter value is invalid. No backend could validate Op={name} Type={type} "
    "error code=3110; error_component=Model Validation; line_no=156; thread_id=512378832120"
)
_CRASHED = (
    "error_code=911; error_message=DSP runtime crashed. Subsystem restart; error_component=DSP Runtime; line_no=88; "
    "thread_id=512378832120"
)


class Refusal(Exception):
    """What the SDK says before the program ends with code 1."""


@dataclass(frozen=True)
class Loaded:
    made: dlc.Dlc
    graph: ModelGraph
    artifact: Artifact
    simulator: Simulator
    spent: cost.Cost


@lru_cache(maxsize=6)
def _load(digest: str, path: str, folder: Path, plain: bool) -> Loaded:
    """Args:
    plain: in float, whatever the types are.
    """
    made = dlc.read(path)
    network = folder / "htp" / f"{hashlib.sha256(made.network).hexdigest()[:24]}.onnx"
    if not network.is_file():
        network.parent.mkdir(exist_ok=True)
        network.write_bytes(made.network)
    graph = held.read(network, tuple(made.about.get("shape") or ()))
    run = made.about.get("run")
    if plain or run is None or run["photos"] is None:
        candidate = Candidate("float16" if plain else "fp16")
        types = dict(graph.assign(candidate))
    else:
        candidate = Candidate.from_json(run["candidate"])
        types = {unit: DataType(kind) for unit, kind in run["types"].items()}
    photos = held.Remembered(run["photos"] if run else None, graph.tensors[graph.inputs[0]].shape)
    simulator = held.simulator(graph, photos, folder / "cache")
    spent = cost.estimate(profile.load("rvc4"), graph, candidate, types)
    return Loaded(made, graph, Artifact(candidate, types), simulator, spent)


class Hexagon:
    """Answers requests."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._faults = folder, SnpeFaults(folder / "faults.json")
        self._random = np.random.default_rng(0)
        self._heat = 1.0

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            if self._faults.take("dsp-crashed"):
                raise Refusal(_CRASHED)
            loaded = self._loaded(request)
            return self._infer(loaded, request) if request["do"] == "infer" else self._time(loaded, request)
        except (Refusal, dlc.NoDlc) as error:
            return {"error": str(error)}
        except MpsearchError as error:
            return {"error": f"error_code=1100; error_message={error.message}; error_component=Lab"}

    def _loaded(self, request: Mapping[str, Any]) -> Loaded:
        path = request["container"]
        data = Path(path).read_bytes() if os.path.isfile(path) else b""
        dsp = request["runtime"] == "dsp"
        loaded = _load(hashlib.sha256(data).hexdigest(), path, self._folder, not dsp)
        if dsp and loaded.made.quantized:
            refused = refused_by_htp(loaded.made)
            if refused is None and self._faults.active("old-dsp"):
                refused = next((op for op in loaded.made.ir["ops"] if _wide(loaded.made, op)), None)
            if refused is not None:
                raise Refusal(_REFUSED.format(name=refused["name"], type=refused["type"]))
        return loaded

    def _time(self, loaded: Loaded, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"infps": 1000 / self._latency_ms(loaded, request) * (1 if request["threads"] == 1 else 0.9)}

    def _latency_ms(self, loaded: Loaded, request: Mapping[str, Any]) -> float:
        if self._faults.active("throttling"):
            self._heat *= 1.05
        else:
            self._heat = 1.0
        noise = 1 + abs(float(self._random.normal(0, _NOISE)))
        slower = _SLOWER[request["runtime"]] * _PROFILES.get(request["profile"], 1.0)
        return float(loaded.spent.total_ms * slower * noise * self._heat)

    def _infer(self, loaded: Loaded, request: Mapping[str, Any]) -> dict[str, Any]:
        made, cwd = loaded.made, Path(request["cwd"])
        source = made.tensors[made.ir["inputs"][0]]
        images = np.concatenate([_input(cwd / file, source, request["native_in"]) for file in request["files"]])
        written: list[list[str]] = []
        wanted = request["outputs"] or made.ir["outputs"]
        if request["debug"]:
            inner = loaded.simulator.inner(loaded.artifact.candidate, images)
            wanted = [name for name in wanted if name in inner]
            done: Mapping[str, NDArray[np.float32]] = inner
        else:
            done = loaded.simulator.outputs(loaded.artifact, images)
        base = cwd / request["output_dir"]
        for index in range(len(images)):
            for name in wanted:
                tensor = made.tensors[name]
                data = _output(done[tensor["onnx"]][index : index + 1], tensor, request["native_out"])
                handle, part = tempfile.mkstemp(dir=cwd, prefix="out-")
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                written.append([part, os.path.normpath(f"{base}/Result_{index}/{file_name(name)}.raw")])
        return {"written": written, "profile": self._profile(loaded, request)}

    def _profile(self, loaded: Loaded, request: Mapping[str, Any]) -> dict[str, Any]:
        """Time by layer: the first operator of a unit has it all, what was fused into it has none."""
        made, dsp = loaded.made, request["runtime"] == "dsp"
        rate = _CYCLES_PER_MS if dsp else 1000
        layers: list[tuple[str, int]] = [("Input", round(0.002 * rate))]
        seen: set[str] = set()
        for op in made.ir["ops"]:
            first = bool(op["unit"]) and op["unit"] not in seen
            seen.add(op["unit"])
            ms = loaded.spent.unit_ms.get(op["unit"], 0.0) if first else 0.0
            if op["type"] == "Convert":
                ms = max(loaded.spent.edge_ms.values(), default=0.0)
            layers.append((op["name"], round(ms * _SLOWER[request["runtime"]] * rate)))
        layers.append(("Output", round(0.006 * rate)))
        total = round(self._latency_ms(loaded, request) * 1000)
        prepared = any(c["soc"] == _SOC and c["outputs"] == made.ir["outputs"] for c in made.about["caches"])
        times = {"total": total + 300, "rpc": total + 40, "accelerator": total}
        times["init"] = 154_620 if prepared and not request["debug"] else 2_154_620
        return {"layers": layers, "times_us": times, "unit": "cycles" if dsp else "us",
                "runtime": {"dsp": "DSP", "cpu": "CPU"}.get(request["runtime"], "GPU")}  # fmt: skip


def file_name(tensor: str) -> str:
    """A name that begins with a digit gets a ``_``."""
    return f"_{tensor}" if tensor[:1].isdigit() else tensor.lstrip("/")


def _wide(made: dlc.Dlc, op: Mapping[str, Any]) -> bool:
    return op["type"] != "Convert" and bool(made.tensors[op["outputs"][0]]["type"].endswith("Fxp_16"))


def _numpy(kind: str) -> str:
    return {"uFxp_8": "u1", "sFxp_8": "i1", "uFxp_16": "<u2", "sFxp_16": "<i2", "Float_16": "<f2"}.get(kind, "<f4")


def _input(path: Path, tensor: Mapping[str, Any], native: bool) -> NDArray[np.float32]:
    values = np.fromfile(path, _numpy(tensor["type"]) if native else "<f4").astype(np.float32)
    if native and (entry := tensor["encoding"]):
        values = (values + np.float32(entry["offset"])) * np.float32(entry["scale"])
    values = np.resize(values, tensor["dims"])
    return values.transpose(0, 3, 1, 2) if tensor["last"] else values


def _output(values: NDArray[np.float32], tensor: Mapping[str, Any], native: bool) -> bytes:
    array = np.moveaxis(values, 1, -1) if tensor["last"] else values
    if native and (entry := tensor["encoding"]):
        codes = np.rint(array / np.float32(entry["scale"])) - entry["offset"]
        array = np.clip(codes, 0, (1 << entry["bits"]) - 1)
    return bytes(np.ascontiguousarray(array).astype(_numpy(tensor["type"]) if native else "<f4").tobytes())


def main() -> None:
    """Serve on the socket ``htp.sock`` of the lab's folder until killed."""
    folder = Path(sys.argv[1])
    hexagon = Hexagon(folder)
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(folder / "htp.part"))
    server.listen(16)
    os.rename(folder / "htp.part", folder / "htp.sock")
    while True:
        client, _ = server.accept()
        with client, client.makefile("rwb") as stream:
            line = stream.readline()
            if line:
                stream.write(json.dumps(hexagon.answer(json.loads(line))).encode() + b"\n")


if __name__ == "__main__":
    main()
