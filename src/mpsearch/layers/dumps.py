"""A folder of dumped layers: what ``snpe-net-run --debug`` or ``synap_cli --dump-out`` left, or anybody's arrays.

* ``Result_<i>/`` folders are photographs, in the order of the input list; names may be folders in folders;
* ``output_float_<n>.dat`` are the network's outputs in their order;
* everything else ending in .raw, .npy, .bin or .dat is a layer that is called like the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np

from mpsearch.errors import ConfigError, DataError
from mpsearch.layers.names import normalise, stem
from mpsearch.layers.sources import FloatArray, Found, Layout

_RESULT = re.compile(r"Result_(\d+)$")
_SYNAP = re.compile(r"output_(float|raw)_(\d+)$")
TYPES = {"float32": "<f4", "float16": "<f2", "float64": "<f8"}


class Dumps:
    """Implements :class:`mpsearch.layers.sources.Source`.

    Args:
        outputs: the network's outputs in the device's order, for dumps that only number them.
        kind: of the values in files without a header, a key of :data:`TYPES`.
        shapes: layer -> shape on the device, e.g. of ``snpe-dlc-info``, for files without a header.

    Raises:
        ConfigError: unknown type.
        DataError: no such folder, or no dump in it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        outputs: Sequence[str] = (),
        kind: str = "float32",
        layout: Layout = "auto",
        shapes: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        if kind not in TYPES:
            raise ConfigError(f"dumps of type {kind!r}", hint=f"One of {', '.join(TYPES)}; dump de-quantized values.")
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder of dumps")
        self.name, self.layout = folder.name, layout
        self._folder, self._kind, self._outputs = folder, kind, tuple(outputs)
        self._shapes = {normalise(name): shape for name, shape in (shapes or {}).items()}
        self._results = _results(folder)
        if not any(self._files(place) for _, place in self._results):
            raise DataError(
                f"{folder}: no .raw, .npy, .bin or .dat file in it",
                hint="Dump layers with: snpe-net-run --debug --userbuffer_float --userbuffer_floatN_output 32",
            )

    def __len__(self) -> int:
        """Photographs: the highest ``Result_<i>`` and those before it."""
        return self._results[-1][0] + 1

    def run(self, index: int, image: FloatArray) -> Mapping[str, Found]:
        """See :meth:`mpsearch.layers.sources.Source.run`; empty for a photograph that was not dumped."""
        place = dict(self._results).get(index)
        return {name: self._read(path, name) for name, path in self._files(place).items()} if place else {}

    def _files(self, place: Path) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for path in sorted(path for path in place.rglob("*") if path.is_file()):
            name = path.relative_to(place).as_posix()
            if stem(name) == name or name == "input.bin":
                continue
            numbered = _SYNAP.match(stem(name))
            if numbered is None:
                found[name] = path
            elif numbered[1] == "float":
                number = int(numbered[2])
                found[self._outputs[number] if number < len(self._outputs) else name] = path
        return found

    def _read(self, path: Path, name: str) -> Found:
        try:
            if path.suffix == ".npy":
                values = np.load(path, allow_pickle=False)
                if values.dtype.kind != "f":
                    return Found(None, problem=f"{path}: holds {values.dtype}, not de-quantized values")
                return Found(values.astype(np.float32))
            data = path.read_bytes()
        except (OSError, ValueError, EOFError) as error:
            return Found(None, problem=f"{path}: cannot be read ({error})")
        width = np.dtype(TYPES[self._kind]).itemsize
        if not data or len(data) % width:
            return Found(None, problem=f"{path}: {len(data)} bytes are no whole number of {self._kind} values")
        values = np.frombuffer(data, TYPES[self._kind]).astype(np.float32)
        shape = self._shapes.get(normalise(name))
        fits = shape is not None and prod(shape) == values.size
        return Found(values.reshape(shape), shaped=True) if fits and shape else Found(values, shaped=False)


def _results(folder: Path) -> list[tuple[int, Path]]:
    """``(photograph, folder)``, in order; the folder itself where it has no ``Result_<i>``."""
    found = [
        (int(match[1]), path) for path in folder.iterdir() if path.is_dir() and (match := _RESULT.match(path.name))
    ]
    return sorted(found) or [(0, folder)]
