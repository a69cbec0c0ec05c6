"""A study file made ready to work: model, photographs, space, scorer, simulator and board, wired once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mpsearch
from mpsearch import canonical, photographs, quant, vendor
from mpsearch.board import profile as profiles
from mpsearch.board import targets
from mpsearch.board.camera import WithCamera
from mpsearch.board.cost import estimate
from mpsearch.board.measure import Plan
from mpsearch.board.parameters import Profile, VeriSilicon
from mpsearch.board.targets import Target
from mpsearch.candidate import Candidate
from mpsearch.config import Study
from mpsearch.device import opening
from mpsearch.device import shelf as shelves
from mpsearch.device import spec as device
from mpsearch.errors import ConfigError
from mpsearch.evaluate import Board, Evaluator
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet
from mpsearch.judging import open_scorer
from mpsearch.pareto.export import Rendered
from mpsearch.scoring.scorer import TaskScorer
from mpsearch.space.load import load as load_space
from mpsearch.space.space import SearchSpace
from mpsearch.space.yamlfile import nearest
from mpsearch.toolchain.acuity import opening as acuity
from mpsearch.toolchain.host.runtime import Runtime
from mpsearch.toolchain.synap.metafile import MetafileIO

Say = Callable[[str], None]
TOOLCHAINS = ("simulator", "acuity")
"""What may compute a simulated target's outputs: mpsearch's own simulator, or the vendor's engine."""


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
        if study.objective is not None:
            fields["objective"] = study.objective
        if study.kin is not None:
            judge = study.kin.reference
            fields["reference"] = judge.model_dump(mode="json", include={"input", "decoder"})
            fields["reference"]["model"] = canonical.file_digest(judge.model)
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
        return vendor.metafile_io(self.study)

    def render(self, candidate: Candidate, *, compiled: Path | None = None) -> Rendered:
        """What the target's toolchain is given for ``candidate``, and the exact command lines.

        Args:
            compiled: what :meth:`compiled` found.

        Raises:
            ConfigError: the target is not built by a vendor's toolchain.
        """
        return vendor.render(
            self.study, self.graph, candidate, self.profile, self.target, self.toolkit, compiled=compiled
        )

    def compiled(self, candidate: Candidate, *, cache: Path) -> Path | None:
        """The DLC that a study on a board with SNPE left in its cache; None where there is none.

        Raises:
            SetupError: the tools that built it are gone.
        """
        if not device.is_spec(self.target) or (spec := device.load(Path(self.target))).runtime != "snpe":
            return None
        from mpsearch.device.snpe.opening import toolchain_of

        calibration = photographs.photo_set(self.study, self.graph, "calibration")
        return toolchain_of(spec, self.graph, calibration, cache=cache).known(candidate)

    @property
    def shelf(self) -> tuple[str, ...]:
        """Names of all boards, where the study has several and this is one of them."""
        return tuple(board.name for board in shelves.boards(self.study.shelf, self.target))

    @property
    def toolkit(self) -> device.ToolkitSpec:
        """The vendor's tools, as the board's file describes them."""
        return device.load(Path(self.target)).toolkit if device.is_spec(self.target) else device.ToolkitSpec()


@dataclass(frozen=True)
class Workbench:
    """A :class:`Bench` that can measure candidates.

    Attributes:
        budget_ms: resolved, in any case.
        fingerprint: part -> digest or value of everything that decides results.
        target: what builds, runs and times; :attr:`board` is its board, with the study's camera where it has one.
    """

    bench: Bench
    budget_ms: float
    calibration: PhotoSet
    evaluation: PhotoSet
    scorer: TaskScorer
    evaluator: Evaluator
    board: Board
    fingerprint: Mapping[str, Any]
    target: Target

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
    name = study.at(target)
    shelves.boards(study.shelf, name)
    space = load_space(study.space_name(), graph, face_sizes=study.face_sizes)
    profile = _profile(name)
    if len(space.preprocess) > 1 and study.camera is None:
        say(f"note: {study.path.name}: no `camera:`, so preprocessing on the NPU cannot be weighed and is left out")
        space = replace(space, preprocess=("cpu",))
    tools = device.load(Path(name)).toolkit if device.is_spec(name) else None
    space = vendor.fitted(study, graph, space, profile, tools, say=say)
    budget = budget_ms if budget_ms is not None else study.budget.ms
    if budget is None and profile is not None:
        uniform, source = Candidate(base=study.budget.of), graph
        if study.kin is not None and study.kin.budget is not None:
            source = read(study.kin.budget.model, input_shape=study.kin.budget.input.shape)
        once = estimate(profile, source, uniform, source.assign(uniform)).total_ms
        budget = once * (study.budget.times or 1.0)
    return Bench(study, graph, space, name, profile, budget)


def open_workbench(
    study: Study,
    *,
    cache: Path,
    target: str | None = None,
    budget_ms: float | None = None,
    toolchain: str = "simulator",
    strict: bool = False,
    say: Say = lambda text: None,
    progress: Say = lambda text: None,
) -> Workbench:
    """Everything: photographs, float reference, decoder, simulator, board.

    Args:
        cache: folder for what can be computed again.
        toolchain: one of :data:`TOOLCHAINS`: what gives a simulated target's outputs.
        strict: calibration photographs among the evaluation photographs are an error, not a warning.
        say: takes warnings and what is being done, ``progress`` what passes, such as ``Quantizing... 40%``.

    Raises:
        ConfigError, DataError, ModelError: with the file, the thing and the next step.
    """
    check_toolchain(toolchain, study.at(target))
    bench = open_bench(study, target=target, budget_ms=budget_ms, say=say)
    graph = bench.graph
    for note in graph.notes:
        say(f"note: {graph.path.name}: {note}")
    calibration = photographs.photo_set(study, graph, "calibration")
    evaluation = photographs.photo_set(study, graph, "evaluation")
    photographs.check_disjoint(calibration, evaluation, strict=strict, say=say)
    say(f"float reference: {_photographs(evaluation)}")
    scorer = open_scorer(study, graph, evaluation, cache=cache, say=say)
    for cut in bench.space.cut_candidates():
        scorer.check_cut(cut)
    say(f"calibration: {_photographs(calibration)}")
    measuring = study.measuring.model_dump()
    threads, pin = measuring.pop("threads"), measuring.pop("pin")
    if device.is_spec(bench.target):
        io = bench.io if isinstance(bench.profile, VeriSilicon) else None
        opened = opening.open(
            Path(bench.target), graph, calibration, evaluation, io, cache=cache, shelf=study.shelf, say=say,
            progress=progress,
        )  # fmt: skip
    elif toolchain == "acuity":
        opened = acuity.open(
            bench.target, graph, calibration, evaluation, bench.io, cache=cache, say=say, progress=progress
        )
    else:
        opened = targets.open(
            bench.target, graph, calibration, evaluation, cache=cache, plan=Plan(**measuring), say=say,
            runtime=Runtime.default(threads) if pin is None else Runtime(threads, pin),
        )  # fmt: skip
    budget = bench.budget_ms
    if budget is None and study.kin is not None and study.kin.budget is not None:
        say(f"{study.title}: the budget is a multiple of what {study.kin.budget.model.name} takes: it is timed first")
        other = open_workbench(study.kin.budget, cache=cache, target=target, toolchain=toolchain, say=say)
        other.board.close()
        budget = other.budget_ms
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
    return Workbench(bench, budget, calibration, evaluation, scorer, evaluator, board, fingerprint, opened)


def check_toolchain(name: str, target: str) -> None:
    """Raises:
    ConfigError: no such toolchain, or not for this target.
    """
    if name not in TOOLCHAINS:
        raise ConfigError(
            f"unknown toolchain {name!r}{nearest(name, TOOLCHAINS)}", hint=f"One of {', '.join(TOOLCHAINS)}"
        )
    if name != "simulator" and (targets.is_host(target) or device.is_spec(target)):
        raise ConfigError(
            f"--toolchain {name}: target {target} builds and runs for itself", hint="Name a simulated target: vs680."
        )


def _profile(target: str) -> Profile | None:
    """The cost model that stands behind a target; a board of the user's own has its chip's."""
    if targets.is_host(target):
        return None
    return profiles.load(device.load(Path(target)).target if device.is_spec(target) else target)


def _photographs(photos: PhotoSet) -> str:
    return f"{len(photos)} photograph" + ("s" if len(photos) != 1 else "")


def versions() -> dict[str, str]:
    """What takes part in a simulated measurement."""
    return {"mpsearch": mpsearch.__version__, **{name: version(name) for name in ("onnxruntime", "onnx", "numpy")}}
