"""How far output tensors are from the float model's: mean squared error, signal to noise, cosine."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import CandidateError

FloatArray = NDArray[np.float32]

SQNR_LIMIT_DB = 200.0
"""An exact match has no noise; its ratio is stated as this, far above what float32 can tell apart (about 150 dB)."""


class OutputErrors:
    """Adds up batch after batch.

    Args:
        reference: model output -> ``[N, ...]`` float32 for all photographs.
    """

    def __init__(self, reference: Mapping[str, FloatArray]) -> None:
        self._reference = reference
        self._names = tuple(reference)
        count = len(next(iter(reference.values())))
        self._elements = {name: values[0].size for name, values in reference.items()}
        shape = (len(self._names), count)
        self._noise, self._signal, self._own, self._product = (np.zeros(shape) for _ in range(4))
        self._present: tuple[str, ...] | None = None

    @property
    def present(self) -> tuple[str, ...]:
        """The outputs that the batches have, in the model's order; empty before the first."""
        return self._present or ()

    def add(self, batch: Mapping[str, FloatArray], start: int) -> int:
        """Photographs ``start`` onwards; returns how many.

        Raises:
            CandidateError: an output with values that are not finite.
            ValueError: names or shapes that are not the model's, or other outputs than in the batch before (a bug
                of the executor).
        """
        present = tuple(name for name in self._names if name in batch)
        if len(present) != len(batch) or not present or self._present not in (None, present):
            raise ValueError(f"outputs {sorted(batch)} do not fit {list(self._present or self._names)}")
        self._present = present
        size = len(batch[present[0]])
        for name in present:
            row, values = self._names.index(name), batch[name]
            wanted = self._reference[name][start : start + size]
            if values.shape != wanted.shape:
                raise ValueError(f"output {name!r}: {list(values.shape)} in place of {list(wanted.shape)}")
            a, b = values.reshape(size, -1), wanted.reshape(size, -1)
            difference = a - b
            columns = slice(start, start + size)
            with np.errstate(over="ignore", invalid="ignore"):
                self._noise[row, columns] = np.vecdot(difference, difference)
                self._own[row, columns] = np.vecdot(a, a)
                self._product[row, columns] = np.vecdot(a, b)
            self._signal[row, columns] = np.vecdot(b, b)
            if not np.isfinite(self._noise[row, columns] + self._own[row, columns]).all():
                worst = start + int(np.argmin(np.isfinite(self._own[row, columns])))
                raise CandidateError(
                    f"output {name!r} is not finite, or its squares are not (photograph {worst})", stage="score"
                )
        return size

    def summary(self) -> dict[str, dict[str, float]]:
        """Present output -> ``mse``, ``sqnr_db`` (within +-200) and ``cosine``, over all photographs."""
        found: dict[str, dict[str, float]] = {}
        for name in self.present:
            row = self._names.index(name)
            noise, signal, own, product = (
                float(sums[row].sum()) for sums in (self._noise, self._signal, self._own, self._product)
            )
            found[name] = {
                "mse": noise / (self._elements[name] * self._noise.shape[1]),
                "sqnr_db": sqnr_db(signal, noise),
                "cosine": cosine(product, own, signal),
            }
        return found

    def noise_ppm(self) -> NDArray[np.float64]:
        """[N] mean over *all* outputs of the noise's power over the mean power of the output over all photographs, in
        millionths. A dropped output counts as if it were zero: 1e6; so does noise where the float model has none."""
        mean: NDArray[np.float64] = np.mean([self._ratio(row, name) for row, name in enumerate(self._names)], axis=0)
        return 1e6 * mean

    def _ratio(self, row: int, name: str) -> NDArray[np.float64]:
        values = self._reference[name].reshape(len(self._reference[name]), -1)
        signal = np.asarray(np.vecdot(values, values, dtype=np.float64))
        noise = self._noise[row] if name in self.present else signal
        power = float(signal.mean())
        return noise / power if power > 0 else (noise > 0).astype(np.float64)


def sqnr_db(signal: float, noise: float) -> float:
    """``10 log10(signal / noise)`` within +-200 dB: no noise is 200, noise without a signal -200."""
    if noise == 0:
        return SQNR_LIMIT_DB
    if signal == 0:
        return -SQNR_LIMIT_DB
    return max(-SQNR_LIMIT_DB, min(SQNR_LIMIT_DB, 10 * (math.log10(signal) - math.log10(noise))))


def cosine(product: float, a: float, b: float) -> float:
    """Cosine from a dot product and two squared norms: two zero vectors are alike (1), one alone is not (0)."""
    if a == 0 or b == 0:
        return 1.0 if a == b else 0.0
    return max(-1.0, min(1.0, product / math.sqrt(a) / math.sqrt(b)))
