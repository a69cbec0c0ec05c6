"""Models that are quantized already, on a board of the user's own: what a search has to beat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpsearch.device import spec as specs
from mpsearch.device.board import DeviceBoard
from mpsearch.device.opening import connect
from mpsearch.errors import CandidateError, SetupError, TransientError
from mpsearch.record import Timing
from mpsearch.toolchain.synap import baseline
from mpsearch.toolchain.synap.conversions import Conversions

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Baseline:
    """Attributes:
    timing: None where it could not be converted or run.
    size_bytes: of the compiled model; 0 where there is none.
    note: what the user should know, or why there is no timing.
    """

    model: Path
    timing: Timing | None
    size_bytes: int = 0
    build_s: float = 0.0
    note: str = ""


def time_baselines(
    path: Path,
    models: Sequence[Path],
    *,
    cache: Path,
    say: Say = lambda text: None,
    progress: Say = lambda text: None,
) -> Iterator[Baseline]:
    """Convert ``.tflite`` and ``.onnx`` files as they are and time each on a board; one that fails is told as such.

    Args:
        path: of the board's file.
        cache: conversions lie in ``cache/synap``, unless the board's file says where.

    Raises:
        ConfigError: the board's file is wrong, or a model is not there.
        SetupError: no toolkit, or no board.
    """
    spec = specs.load(path)
    folder = (spec.toolkit.work or cache / "synap").absolute()
    conversions = Conversions(folder, spec.toolkit.make(), spec.toolkit.timeout_s, progress)
    say(f"{spec.name}: {spec.target}, SyNAP toolkit {conversions.version}")  # asked before anything else is tried
    board = DeviceBoard(connect(spec, say=say), spec.program, spec.timing.make(), spec.timeout_s)
    try:
        for model in models:
            try:
                made = baseline.convert(conversions, model, spec.target)
            except (SetupError, TransientError) as error:  # of this file: the toolkit has answered before
                yield Baseline(model, None, note=error.message)
                continue
            yield _timed(board, model, made)
    finally:
        board.close()


def _timed(board: DeviceBoard, model: Path, made: baseline.Converted) -> Baseline:
    size = made.model.stat().st_size
    try:
        return Baseline(model, board.time_model(made.model), size, made.build_s, made.note)
    except (CandidateError, TransientError) as error:
        return Baseline(model, None, size, made.build_s, error.message)
