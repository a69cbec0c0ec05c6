"""The lab's ``synap`` module for Python on the board: the few names of ``synap-python`` 0.9.0 that mpsearch uses."""

import json
import os
import socket
import tempfile
from typing import Any

import numpy as np


class Tensor:
    """A network's input or output."""

    def __init__(self, name: str, shape: list[int]) -> None:
        self.name, self.shape = name, tuple(shape)
        self.data = b""
        self.values: np.ndarray[Any, Any] = np.zeros(shape, np.float32)

    def assign(self, data: bytes) -> None:
        """Raw bytes of the device's type."""
        self.data = data

    def to_numpy(self) -> np.ndarray[Any, Any]:
        """Dequantized copy."""
        return self.values.copy()


class Network:
    """A loaded model."""

    def __init__(self, model: str) -> None:
        self._model = os.path.abspath(model)
        answer = self._ask(["zero"], None)
        self.inputs = [Tensor(entry["name"], []) for entry in answer["inputs"]]
        self.outputs = [Tensor(entry["name"], entry["shape"]) for entry in answer["outputs"]]

    def predict(self) -> None:
        """Run on what was assigned."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "input.bin")
            with open(path, "wb") as file:
                file.write(self.inputs[0].data)
            self._ask([path], folder)
            for index, tensor in enumerate(self.outputs):
                values = np.fromfile(os.path.join(folder, f"output_float_{index}.dat"), "<f4")
                tensor.values = values.reshape(tensor.shape)

    def _ask(self, inputs: list[str], folder: str | None) -> Any:
        request = {"model": self._model, "inputs": inputs, "repeat": 1, "dump": folder is not None, "cwd": folder}
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(os.path.join(os.environ["MPSEARCH_LAB"], "npu.sock"))
            with link.makefile("rwb") as stream:
                stream.write(json.dumps(request).encode() + b"\n")
                stream.flush()
                answer = json.loads(stream.readline())
        if "outputs" not in answer:
            raise RuntimeError(answer.get("error", "Prediction failed"))
        return answer
