"""onnxruntime's own profiler: the time of every kernel that really runs on this computer."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch.board.host import inputs_of
from mpsearch.errors import CandidateError, ConfigError
from mpsearch.layers.times import LayerTime
from mpsearch.toolchain.host.runtime import Runtime

WARM_UP = 3
_KERNEL = "_kernel_time"


def profile(
    path: Path, runtime: Runtime, *, image: NDArray[np.float32] | None = None, runs: int = 20
) -> tuple[LayerTime, ...]:
    """Kernels in execution order, a sample a run.

    Args:
        image: as for :func:`mpsearch.board.host.inputs_of`.

    Raises:
        CandidateError: onnxruntime does not load or run the model.
        ConfigError: an input without a fixed shape.
    """
    with tempfile.TemporaryDirectory() as folder, runtime.pinned():
        session = runtime.session(path, trace=Path(folder) / "trace")
        feed = inputs_of(session, image)
        try:
            for _ in range(WARM_UP + runs):
                session.run(None, feed)
        except Exception as error:  # onnxruntime raises pybind exceptions of many kinds
            raise CandidateError(f"onnxruntime cannot run {path.name}: {error}", stage="time") from error
        trace = Path(session.end_profiling())
        return parse(trace.read_text(encoding="utf-8"), path.name, runs=runs)


def parse(text: str, source: str, *, runs: int | None = None) -> tuple[LayerTime, ...]:
    """Every kernel of a trace.

    Args:
        source: the file's name, for messages.
        runs: only the last so many.

    Raises:
        ConfigError: not JSON, or no kernel in it.
    """
    try:
        events = [event for event in json.loads(text) if event.get("cat") == "Node"]
        return _kernels(events, runs or 0)
    except (ValueError, AttributeError, KeyError, TypeError, IndexError) as error:
        raise ConfigError(f"{source}: no trace of onnxruntime ({type(error).__name__}: {error})") from error


def _kernels(events: list[dict[str, Any]], runs: int) -> tuple[LayerTime, ...]:
    samples: dict[str, list[float]] = {}
    operator: dict[str, str] = {}
    for event in events:
        if event["name"].endswith(_KERNEL):
            name = event["name"].removesuffix(_KERNEL)
            samples.setdefault(name, []).append(float(event["dur"]))
            operator[name] = str(event.get("args", {}).get("op_name", ""))
    if not samples:
        raise ValueError("no kernel in it")
    return tuple(
        LayerTime(index, name, tuple(found[-runs:]), "us", operator[name])
        for index, (name, found) in enumerate(samples.items())
    )
