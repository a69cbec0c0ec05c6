"""A study file made ready to work: model, photographs, space, scorer, simulator and board, wired once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mpsearch
from mpsearch import canonical, quant
from mpsearch.board import profile as profiles
from mpsearch.board import targets
from mpsearch.board.camera import WithCamera
from mpsearch.board.cost import estimate
from mpsearch.board.measure import Plan
from mpsearch.board.parameters import Profile, VeriSilicon
from mpsearch.candidate import Candidate
from mpsearch.config import Study
from mpsearch.device import opening
from mpsearch.device import spec as device
from mpsearch.errors import ConfigError, DataError
from mpsearch.evaluate import Board, Evaluator
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess, find, overlap
from mpsearch.scoring import decoders
from mpsearch.scoring.landmarks import LandmarkScorer
from mpsearch.space.load import load as load_space
from mpsearch.space.space import SearchSpace
from mpsearch.toolchain.host.runtime import Runtime
from mpsearch.toolchain.synap.metafile import MetafileIO, Rendered, render

Say = Callable[[str], None]


@dataclass(frozen=True)
class Bench:
    """What commands that know the model but measure nothing need.

    Attributes:
        target: the name of the target, the study's or the one that replaces it.
        profile: of the target's cost model; None where latencies are measured.
        budget_ms: a multiple of a simulated latency has become milliseconds; None where it must be measured first.
    """

    study: Study
    graph: ModelGraph
    space: SearchSpace
    target: str
    profile: Profile | None
    budget_ms: float | None

    @property
    def identity(self) -> dict[str, Any]:
        """The part of a study's fingerprint that needs no photographs."""
        study = self.study
        fields = study.model_dump(mode="json", include={"input", "data", "decoder", "face_sizes", "camera"})
        return {
            "model": self.graph.digest,
            "search space": self.space.digest,
            "study file": canonical.digest(fields),
        }

    def latency_ms(self, candidate: Candidate) -> float | None:
        """What the target's cost model says; None where latencies are measured."""
        if self.profile is None:
            return None
        return estimate(self.profile, self.graph, candidate, self.graph.assign(candidate)).total_ms

    @property
    def io(self) -> MetafileIO:
        """What a metafile says besides the candidate."""
        return _metafile_io(self.study)

    def render(self, candidate: Candidate) -> Rendered:
        """The metafile and the exact convert line.

        Raises:
            ConfigError: the target takes no SyNAP metafile.
        """
        if not isinstance(self.profile, VeriSilicon):
            raise ConfigError(
                f"target {self.target}: it takes no SyNAP metafile, so there is nothing to export for it yet",
                hint="mpsearch pareto --format json holds the candidates.",
            )
        return render(self.graph, candidate, self.io, target=self.profile.name, model_path=self.graph.path.name)


@dataclass(frozen=True)
class Workbench:
    """A :class:`Bench` that can measure candidates.

    Attributes:
        budget_ms: resolved, in any case.
        fingerprint: part -> digest or value of everything that decides results.
    """

    bench: Bench
    budget_ms: float
    calibration: PhotoSet
    evaluation: PhotoSet
    scorer: LandmarkScorer
    evaluator: Evaluator
    board: Board
    fingerprint: Mapping[str, Any]

    @property
    def graph(self) -> ModelGraph:
        return self.bench.graph

    @property
    def space(self) -> SearchSpace:
        return self.bench.space

    @property
    def io(self) -> MetafileIO:
        return self.bench.io


def open_bench(
    study: Study, *, target: str | None = None, budget_ms: float | None = None, say: Say = lambda text: None
) -> Bench:
    """Read the model, the space and the board's profile.

    Args:
        budget_ms: replaces the study's budget.

    Raises:
        ConfigError: with the file, the thing and the next step.
    """
    if budget_ms is not None and not (math.isfinite(budget_ms) and budget_ms > 0):
        raise ConfigError(f"--budget-ms {budget_ms}: must be a positive, finite number of milliseconds")
    graph = read(study.model, input_shape=study.input.shape)
    name = target or study.target
    space = load_space(study.space_name(), graph, face_sizes=study.face_sizes)
    profile = _profile(name)
    if len(space.preprocess) > 1 and study.camera is None:
        say(f"note: {study.path.name}: no `camera:`, so preprocessing on the NPU cannot be weighed and is left out")
        space = replace(space, preprocess=("cpu",))
    budget = budget_ms if budget_ms is not None else study.budget.ms
    if budget is None and profile is not None:
        uniform = Candidate(base=study.budget.of)
        once = estimate(profile, graph, uniform, graph.assign(uniform)).total_ms
        budget = once * (study.budget.times or 1.0)
    return Bench(study, graph, space, name, profile, budget)


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
    bench = open_bench(study, target=target, budget_ms=budget_ms, say=say)
    graph = bench.graph
    for note in graph.notes:
        say(f"note: {graph.path.name}: {note}")
    preprocess = _preprocess(study, graph)
    calibration = PhotoSet(find(study.data_spec("calibration")), preprocess, limit=study.data.calibration_limit)
    evaluation = PhotoSet(find(study.data_spec("evaluation")), preprocess, limit=study.data.evaluation_limit)
    _check_disjoint(calibration, evaluation, strict=strict, say=say)
    options = dict(study.decoder)
    decoder = decoders.create(options.pop("name"), graph, options)
    scorer = LandmarkScorer(graph, decoder, evaluation, cache=cache, face_sizes=study.face_sizes)
    say(f"float reference: {len(evaluation)} photographs")
    scorer.prepare()
    for cut in bench.space.cut_candidates():
        scorer.check_cut(cut)
    say(f"calibration: {len(calibration)} photographs")
    measuring = study.measuring.model_dump()
    threads, pin = measuring.pop("threads"), measuring.pop("pin")
    if device.is_spec(bench.target):
        opened = opening.open(Path(bench.target), graph, calibration, evaluation, bench.io, cache=cache, say=say)
    else:
        opened = targets.open(
            bench.target,
            graph,
            calibration,
            evaluation,
            cache=cache,
            runtime=Runtime.default(threads) if pin is None else Runtime(threads, pin),
            plan=Plan(**measuring),
            say=say,
        )
    budget = bench.budget_ms
    if budget is None:
        budget = opened.latency_ms(Candidate(study.budget.of)) * (study.budget.times or 1.0)
    camera = study.camera
    board = WithCamera(opened.board, cpu_ms=camera.cpu_ms, overlaps=camera.overlaps) if camera else opened.board
    fingerprint = {
        **bench.identity,
        "calibration": calibration.digest,
        "evaluation": evaluation.digest,
        "scoring": canonical.digest(scorer.settings),
        "board": opened.digest,
        "simulator": quant.VERSION,
    }
    evaluator = Evaluator(opened.toolchain, opened.executor, board, scorer, versions=versions())
    return Workbench(bench, budget, calibration, evaluation, scorer, evaluator, board, fingerprint)


def _profile(target: str) -> Profile | None:
    """The cost model that stands behind a target; a board of the user's own has its chip's."""
    if targets.is_host(target):
        return None
    return profiles.load(device.load(Path(target)).target if device.is_spec(target) else target)


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
