"""``--input_list``: its lines, its raw files, and photographs of which only the digest is left."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpsearch.testing.lab.snpe.words import Refused

SIZES = "Error: invalid input size provided. Please check all raw sizes."


def listed(path: str, inputs: Sequence[str]) -> list[list[str]]:
    """Files of every line, in the order of the model's inputs; lines that choose outputs (``#``, ``%``) are left out.

    Raises:
        Refused: no such list, an input that the model has not, or nothing in it.
    """
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        raise Refused(f"Could not open input list file: {path}") from None
    found = []
    for line in lines:
        if not line.strip() or line.startswith(("#", "%")):
            continue
        given: dict[str, str] = {}
        for index, word in enumerate(line.split()):
            name, named, file = word.partition(":=")
            if named and name not in inputs:
                raise Refused(f"Input {name} is not an input of the model")
            given[name if named else inputs[min(index, len(inputs) - 1)]] = file if named else word
        found.append([given[name] for name in inputs if name in given])
    if not found:
        raise Refused("Input list is empty")
    return found


@dataclass(frozen=True)
class RawPhotos:
    """Calibration inputs: float32 files in the DLC's order. Implements the simulator's ``Photos``."""

    files: tuple[str, ...]
    dims: tuple[int, ...]
    last: bool

    @property
    def digest(self) -> str:
        found = hashlib.sha256(repr((self.dims, self.last)).encode())
        for file in self.files:
            found.update(Path(file).read_bytes())
        return found.hexdigest()

    def __len__(self) -> int:
        return len(self.files)

    def check(self) -> None:
        """Raises:
        Refused: a file that is not there, or of another size.
        """
        wanted = 4 * int(np.prod(self.dims))
        for file in self.files:
            path = Path(file)
            if not path.is_file():
                raise Refused(f"Could not open file: {file}")
            if path.stat().st_size % 4:
                raise Refused("Size of input file should be divisible by sizeof(dtype).")
            if path.stat().st_size != wanted:
                raise Refused(SIZES)

    def batches(self, size: int) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(self), size):
            values = [np.fromfile(file, "<f4").reshape(self.dims) for file in self.files[start : start + size]]
            yield np.concatenate([v.transpose(0, 3, 1, 2) if self.last else v for v in values])
