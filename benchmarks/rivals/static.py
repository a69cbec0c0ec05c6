"""What a user would write: ``onnxruntime.quantization.quantize_static`` for each candidate, then inference."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

Images = NDArray[np.float32]


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, images: Images) -> None:
        self._rows = iter([{name: image[None]} for image in images])

    def get_next(self) -> Mapping[str, Images] | None:
        return next(self._rows, None)


class Static:
    """Holds the pre-processed model (done once) and the photographs ``[N, C, H, W]``."""

    def __init__(self, model: Path, calibration: Images, evaluation: Images) -> None:
        logging.getLogger().setLevel(logging.ERROR)  # it warns about the opset on every trial
        self._scratch = tempfile.TemporaryDirectory()
        self._calibration, self._evaluation = calibration, evaluation
        self._model = Path(self._scratch.name) / "prepared.onnx"
        quant_pre_process(str(model), str(self._model), skip_symbolic_shape=True)
        self._input = ort.InferenceSession(str(self._model), providers=["CPUExecutionProvider"]).get_inputs()[0].name

    def trial(self, wide: Sequence[str], *, per_channel: bool) -> float:
        """Seconds for one candidate.

        Args:
            wide: tensors in 16 bits; all others in 8.
        """
        start = time.perf_counter()
        made = Path(self._scratch.name) / "quantized.onnx"
        options: dict[str, Any] = {"TensorQuantOverrides": {t: [{"quant_type": QuantType.QUInt16}] for t in wide}}
        quantize_static(
            str(self._model),
            str(made),
            _Reader(self._input, self._calibration),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=per_channel,
            extra_options=options,
        )
        session = ort.InferenceSession(str(made), providers=["CPUExecutionProvider"])
        for image in self._evaluation:
            session.run(None, {self._input: image[None]})
        return time.perf_counter() - start

    def close(self) -> None:
        self._scratch.cleanup()
