"""A study file made ready to work: model, photographs, space, scorer, simulator and board, wired once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mpsearch
from mpsearch import canonical, quant
from mpsearch.board import profile as profiles
from mpsearch.board.cost import estimate
from mpsearch.board.profile import Profile
from mpsearch.board.simulated import SimulatedBoard
from mpsearch.candidate import Candidate
from mpsearch.config import Study
from mpsearch.errors import ConfigError, DataError
from mpsearch.evaluate import Evaluator
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess, find, overlap
from mpsearch.quant.simulator import Simulator
from mpsearch.scoring import decoders
from mpsearch.scoring.landmarks import LandmarkScorer
from mpsearch.scoring.reference import METRIC_VERSION
from mpsearch.space.load import load as load_space
from mpsearch.space.space import SearchSpace
from mpsearch.toolchain.simulated import SimulatedToolchain
from mpsearch.toolchain.synap.metafile import MetafileIO, Rendered, render

Say = Callable[[str], None]


@dataclass(frozen=True)
class Bench:
    """What commands that know the model but measure nothing need.

    Attributes:
        budget_ms: resolved; a multiple of a uniform candidate's latency has become milliseconds.
    """

    study: Study
    graph: ModelGraph
    space: SearchSpace
    profile: Profile
    io: MetafileIO
    budget_ms: float

    def latency_ms(self, candidate: Candidate) -> float:
        """The simulated board's latency."""
        return estimate(self.profile, self.graph, candidate, self.graph.assign(candidate)).total_ms

    def render(self, candidate: Candidate) -> Rendered:
        """The metafile and the exact convert line."""
        return render(
            self.graph, candidate, self.io, target=self.profile.name, model_path=self.graph.path.name
        )  # fmt: skip


@dataclass(frozen=True)
class Workbench(Bench):
    """A :class:`Bench` that can measure candidates."""

    calibration: PhotoSet
    evaluation: PhotoSet
    scorer: LandmarkScorer
    evaluator: Evaluator
    fingerprint: Mapping[str, Any]


def open_bench(study: Study, *, target: str | None = None, budget_ms: float | None = None) -> Bench:
    """Read the model, the space and the board's profile.

    Args:
        budget_ms: replaces the study's budget.

    Raises:
        ConfigError: with the file, the thing and the next step.
    """
    if budget_ms is not None and not (math.isfinite(budget_ms) and budget_ms > 0):
        raise ConfigError(f"--budget-ms {budget_ms}: must be a positive, finite number of milliseconds")
    graph = read(study.model, input_shape=study.input.shape)
    board = profiles.load(target or study.target)
    space = load_space(study.search_space, graph, face_sizes=study.face_sizes)
    budget = budget_ms
    if budget is None:
        uniform = Candidate(base=study.budget.of)
        reference = estimate(board, graph, uniform, graph.assign(uniform)).total_ms
        budget = study.budget.ms if study.budget.ms is not None else reference * (study.budget.times or 1.0)
    return Bench(study, graph, space, board, _metafile_io(study), budget)


def open_workbench(
    study: Study,
    *,
    cache: Path,
    target: str | None = None,
    budget_ms: float | None = None,
    strict: bool = False,
    say: Say = lambda text: None,
) -> Workbench:
    """Everything: photographs, float reference, decoder, simulator, board.

    Args:
        cache: folder for what can be computed again.
        strict: calibration photographs among the evaluation photographs are an error, not a warning.
        say: takes warnings and what is being done.

    Raises:
        ConfigError, DataError, ModelError: with the file, the thing and the next step.
    """
    bench = open_bench(study, target=target, budget_ms=budget_ms)
    graph = bench.graph
    for note in graph.notes:
        say(f"note: {graph.path.name}: {note}")
    preprocess = _preprocess(study, graph)
    calibration = PhotoSet(
        find(study.data_spec("calibration")), preprocess, limit=study.data.calibration_limit
    )  # fmt: skip
    evaluation = PhotoSet(
        find(study.data_spec("evaluation")), preprocess, limit=study.data.evaluation_limit
    )  # fmt: skip
    _check_disjoint(calibration, evaluation, strict=strict, say=say)
    options = dict(study.decoder)
    decoder = decoders.create(options.pop("name"), graph, options)
    scorer = LandmarkScorer(graph, decoder, evaluation, cache=cache, face_sizes=study.face_sizes)
    say(f"float reference: {len(evaluation)} photographs")
    scorer.prepare()
    for cut in bench.space.cut_candidates():
        scorer.check_cut(cut)
    say(f"calibration: {len(calibration)} photographs")
    simulator = Simulator(graph, calibration, evaluation, cache=cache)
    evaluator = Evaluator(
        SimulatedToolchain(graph), simulator, SimulatedBoard(bench.profile, graph), scorer, versions=versions()
    )
    fingerprint = {
        "model": graph.digest,
        "calibration": calibration.digest,
        "evaluation": evaluation.digest,
        "search space": bench.space.digest,
        "decoder": canonical.digest({**study.decoder}),
        "face sizes": list(study.face_sizes or ()),
        "board": canonical.digest(bench.profile.model_dump(mode="json")),
        "simulator": quant.VERSION,
        "metric": METRIC_VERSION,
    }
    return Workbench(
        **{name: getattr(bench, name) for name in bench.__dataclass_fields__},
        calibration=calibration,
        evaluation=evaluation,
        scorer=scorer,
        evaluator=evaluator,
        fingerprint=fingerprint,
    )


def versions() -> dict[str, str]:
    """What takes part in a simulated measurement."""
    return {"mpsearch": mpsearch.__version__, **{name: version(name) for name in ("onnxruntime", "onnx", "numpy")}}


def _preprocess(study: Study, graph: ModelGraph) -> Preprocess:
    shape = graph.tensors[graph.inputs[0]].shape
    if len(shape) != 4 or shape[1] != 3:
        raise ConfigError(
            f"{graph.path}: input {graph.inputs[0]!r} has shape {list(shape)}; photographs need [1, 3, height, width]",
            hint="Export the model with an NCHW input of three channels.",
        )
    scale = study.input.scale
    scales = scale if isinstance(scale, tuple) else (scale,) * 3
    return Preprocess(shape[2], shape[3], study.input.means, scales, study.input.order)


def _metafile_io(study: Study) -> MetafileIO:
    scale = study.input.scale
    if isinstance(scale, tuple) and len(set(scale)) > 1:
        raise ConfigError(
            f"{study.path}: input.scale: a SyNAP metafile has one scale for all channels, got {list(scale)}",
            hint="Fold the channels' scales into the first convolution, or export with a single scale.",
        )
    return MetafileIO(
        means=study.input.means,
        scale=scale[0] if isinstance(scale, tuple) else scale,
        input_format="bgr" if study.input.order == "bgr" else "",
        dataset=study.metafile.dataset,
        output_format=study.metafile.format or "",
        dequantize=study.metafile.dequantize,
    )


def _check_disjoint(calibration: PhotoSet, evaluation: PhotoSet, *, strict: bool, say: Say) -> None:
    common = overlap(calibration, evaluation)
    if not common:
        return
    pairs = ", ".join(a if a == b else f"{a} = {b}" for a, b in common[:5]) + (" ..." if len(common) > 5 else "")
    message = f"{len(common)} photograph(s) are in both the calibration and the evaluation set: {pairs}"
    hint = "Scores on photographs that were calibrated on look better than they are: use disjoint sets."
    if strict:
        raise DataError(message, hint=hint)
    say(f"warning: {message}\n  {hint}")
