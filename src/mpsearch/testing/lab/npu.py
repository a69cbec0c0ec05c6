"""The lab's NPU: one process that keeps models loaded, asked by ``synap_cli`` over a socket, one request at a time.

Outputs come from mpsearch's simulator, times from its cost model with a little noise; nothing here is silicon.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch.board import profile
from mpsearch.board.simulated import SimulatedBoard
from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import DataError, MpsearchError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph, Role
from mpsearch.images import Preprocess, letterbox, load_rgb
from mpsearch.quant.simulator import Simulator
from mpsearch.scoring import decoders
from mpsearch.scoring.faces import detect
from mpsearch.testing.lab import held
from mpsearch.testing.lab.faults import Faults

_BYTES = {"uint8": 1, "i8": 1, "int8": 1, "i16": 2, "float16": 2, "float32": 4, "int32": 4}
_MADE = ("random", "zero", "value")
"""Inputs that are no files."""
_NOISE = 0.01
_WARM_UP = 1.4
_SLOWER = {"npu": 1.0, "gpu": 20.0, "cpu": 10.0}
"""Delegate -> how much slower, to be seen; no measurement."""


class Refusal(Exception):
    """What the tool prints before it ends with code 1."""


@dataclass(frozen=True)
class Loaded:
    graph: ModelGraph
    artifact: Artifact
    simulator: Simulator
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    latency_ms: float
    means: tuple[float, ...]
    scale: float
    order: str

    def infer(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Output -> ``[N, ...]``; what was compiled has no cuts, it is the cut network."""
        return self.simulator.outputs(self.artifact, images)


@lru_cache(maxsize=8)
def _open(digest: str, path: str) -> tuple[dict[str, Any], bytes, dict[str, Any]]:
    """A compiled model's description, the network in it, and its inputs and outputs."""
    try:
        with zipfile.ZipFile(path) as file:
            binary, names = file.read("0/model.nb"), json.loads(file.read("0/model.json"))
    except (OSError, KeyError, zipfile.BadZipFile):
        raise Refusal(f"Failed to load model file: {path}") from None
    head, _, model = binary.partition(b"\n")
    return json.loads(head), model, names


@lru_cache(maxsize=8)
def _load(digest: str, path: str, folder: Path) -> Loaded:
    about, model, names = _open(digest, path)
    onnx_file = folder / "npu" / f"{hashlib.sha256(model).hexdigest()[:24]}.onnx"
    if not onnx_file.is_file():
        onnx_file.parent.mkdir(exist_ok=True)
        onnx_file.write_bytes(model)
    graph = held.read(onnx_file, tuple(about["shape"] or ()))
    shape = graph.tensors[graph.inputs[0]].shape
    photos = held.Remembered(about["photos"], shape)
    candidate = Candidate.from_json(about["candidate"])
    artifact = Artifact(candidate, {unit: DataType(kind) for unit, kind in about["types"].items()})
    simulator = held.simulator(graph, photos, folder / "cache")
    latency = SimulatedBoard(profile.load(about["target"]), graph).time(artifact).median_ms
    return Loaded(
        graph, artifact, simulator, names["inputs"], names["outputs"], latency * _SLOWER[about["delegate"]],
        tuple(about["means"]), about["scale"], about["order"],
    )  # fmt: skip


class Npu:
    """Answers requests."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._faults = folder, Faults(folder / "faults.json")
        self._random = np.random.default_rng(0)

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        for name in ("slow", "hang", "garbage", "killed", "wrong-exit"):
            if self._faults.take(name):
                return {"fault": name}
        if self._faults.take("npu-reserved"):
            return {"error": "Error, NPU unavailable"}
        path = request["model"]
        if not os.path.isfile(path):
            return {"error": f"Error: can't find model file: {path}"}
        try:
            digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            about, _, names = _open(digest, path)
            if "opaque" in about:
                times = self._times(about["opaque"]["latency_ms"], request["repeat"])
                return {"inputs": _sized(names["inputs"]), "outputs": _sized(names["outputs"]), "times": times}
            loaded = _load(digest, path, self._folder)
            return self._detect(loaded, request) if request.get("detect") else self._predict(loaded, request)
        except (Refusal, held.Forgotten) as error:
            return {"error": str(error)}
        except MpsearchError as error:
            return {"error": f"Prediction 0 failed: {error.message}"}

    def _predict(self, loaded: Loaded, request: Mapping[str, Any]) -> dict[str, Any]:
        inputs, outputs = _sized(loaded.inputs), _sized(loaded.outputs)
        sizes = [entry["size"] for entry in inputs]
        given = [
            name if name.partition(":")[0] in _MADE else os.path.join(request["cwd"], name)
            for name in request["inputs"]
        ]
        images = self._inputs(loaded, given, sizes)
        if request.get("dump"):
            done = loaded.infer(images)
            for index, entry in enumerate(loaded.outputs):
                values = np.ascontiguousarray(done[entry["tensor"]][0], np.float32)
                values.tofile(Path(request["cwd"]) / f"output_float_{index}.dat")
        times = self._times(loaded.latency_ms, request["repeat"])
        answer: dict[str, Any] = {"inputs": inputs, "outputs": outputs, "times": times}
        if request.get("profiling"):
            answer["profile"] = _profile(loaded)
        return answer

    def _detect(self, loaded: Loaded, request: Mapping[str, Any]) -> dict[str, Any]:
        """Faces of one photograph, whole px of it, as the detector on a board rounds them."""
        if not loaded.outputs[0]["format"].startswith("yolov5"):
            raise Refusal("Failed to initialize detector")
        _, _, height, width = loaded.graph.tensors[loaded.graph.inputs[0]].shape
        try:
            image = load_rgb(Path(request["inputs"][0]))
        except DataError:
            raise Refusal(f"Error, unable to read data from file: {request['inputs'][0]}") from None
        pixels, ratio, top, left = letterbox(image, height, width)
        order = "bgr" if loaded.order == "bgr" else "rgb"
        normalise = Preprocess(height, width, loaded.means, (loaded.scale,) * 3, order).normalise  # type: ignore[arg-type]
        done = loaded.infer(normalise(pixels[None]))
        decoder = decoders.create("yolov5-face", loaded.graph, {"threshold": request["threshold"]})
        faces = detect(decoder, done)
        items = []
        for box, points, score in zip(faces.boxes, faces.landmarks, faces.scores, strict=True):
            (x0, y0), (x1, y1) = ((box.reshape(2, 2) - (left, top)) / ratio).round().astype(int).tolist()
            spots = ((points - (left, top)) / ratio).round().astype(int).tolist()
            items.append(
                {
                    "bounding_box": {"origin": {"x": x0, "y": y0}, "size": {"x": x1 - x0, "y": y1 - y0}},
                    "class_index": 0,
                    "confidence": float(score),
                    "landmarks": {"points": [{"visibility": -1.0, "x": x, "y": y, "z": 0} for x, y in spots]},
                    "mask": {"data": [], "height": 0, "width": 0},
                }
            )
        return {"items": items, "size": list(image.shape[:2]), "time": loaded.latency_ms}

    def _inputs(self, loaded: Loaded, given: list[str], sizes: list[int]) -> NDArray[np.float32]:
        entry = loaded.inputs[0]
        shape = loaded.graph.tensors[loaded.graph.inputs[0]].shape
        if not given:
            raise Refusal("Error, input file not specified for network input")
        if given[0].partition(":")[0] in _MADE:
            return np.zeros(shape, np.float32)
        if len(given) < len(sizes):
            raise Refusal("Error, input file not specified for network input")
        try:
            data = Path(given[0]).read_bytes()
        except OSError:
            raise Refusal(f"Error, unable to read data from file: {given[0]}") from None
        if not given[0].endswith((".bin", ".dat")) or len(data) != sizes[0]:
            raise Refusal("Error assigning input to tensor 0")
        types = {"uint8": "u1", "int8": "i1", "i8": "i1", "i16": "<i2", "float16": "<f2", "float32": "<f4"}
        values = np.frombuffer(data, types[entry["type"]]).reshape(shape).astype(np.float32)
        if (how := entry.get("quantization")) is not None:
            scale = 2.0 ** -how["fractional_length"] if "fractional_length" in how else how["scale"]
            values = (values - np.float32(how.get("zero_point", 0))) * np.float32(scale)
        return values

    def _times(self, latency_ms: float, repeat: int) -> list[float]:
        noise = 1 + np.abs(self._random.normal(0, _NOISE, repeat))
        if self._faults.take("throttling"):
            noise *= np.linspace(1.0, 1.6, repeat)
        if self._faults.active("slow-npu"):
            noise *= 1.5
        noise[0] *= _WARM_UP
        return [round(float(value), 3) for value in latency_ms * noise]


def _sized(tensors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Name, shape and bytes of a model's inputs or outputs."""
    return [
        {"name": t["name"], "shape": t["shape"], "size": int(np.prod(t["shape"])) * _BYTES[t["type"]]} for t in tensors
    ]


def _profile(loaded: Loaded) -> str:
    """The driver's table; one row for each computing unit, in execution order."""
    units = [u for u in loaded.graph.live(loaded.artifact.candidate) if u.role is Role.COMPUTE]
    weight = sum(u.macs + 1000 for u in units)
    total_us = loaded.latency_ms * 1000
    lines = [
        f"pid: 1, nid: 1, inference_count: 1, inference_time: {total_us:.0f}, inference_last: {total_us:.0f}, "
        f"iobuf_count: 2, iobuf_size: 4096, layers: {len(units)}",
        "| lyr |    cycle | time_us |  byte_rd |  byte_wr | ot | name",
    ]
    for index, unit in enumerate(units):
        spent = round(total_us * (unit.macs + 1000) / weight)
        engine, name = ("NN", "ConvolutionReluPoolingLayer2") if unit.macs else ("TP", "TensorCopy")
        lines.append(f"|{index:4d} |{spent * 800:9d} |{spent:8d} |{4096:9d} |{2048:9d} |{engine:>3} | {name}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Serve on the socket ``npu.sock`` of the lab's folder until killed."""
    folder = Path(sys.argv[1])
    npu = Npu(folder)
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(folder / "npu.part"))
    server.listen(16)
    os.rename(folder / "npu.part", folder / "npu.sock")
    while True:
        client, _ = server.accept()
        with client, client.makefile("rwb") as stream:
            line = stream.readline()
            if line:
                stream.write(json.dumps(npu.answer(json.loads(line))).encode() + b"\n")


if __name__ == "__main__":
    main()
