"""Real networks cut into groups: one assignment of types measured, and what a search may know beforehand.

Landmark error by the host simulator, latency by the cost model of the target.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mpsearch import canonical, config, quant
from mpsearch.board.cost import CostModel
from mpsearch.board.profile import load as load_profile
from mpsearch.candidate import BASES, Candidate, DataType, Scheme
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import output_unit
from mpsearch.graph.read import read as read_graph
from mpsearch.quant import prefix
from mpsearch.quant.simulator import Simulator
from mpsearch.scoring.decoders.base import head_of
from mpsearch.scoring.detection import squared_px2
from mpsearch.scoring.reference import METRIC_VERSION
from mpsearch.search.guided.frames import Frame, Frames
from mpsearch.space.load import load as load_space
from mpsearch.workbench import Workbench, open_workbench

NETWORKS = {
    "yolov5n": ("yolov5n-0.5-face_480x640.onnx", "yolov5-face", "{means: 0, scale: 255, order: rgb}"),
    "yunet": ("yunet_n_480x640.onnx", "yunet", "{means: 0, scale: 1, order: bgr}"),
    "retinaface": (
        "retinaface_tiny_pypi_480x640.onnx", "retinaface", "{means: [104, 117, 123], scale: 1, order: bgr}",
    ),
}  # fmt: skip
_ACTIVATIONS_BYTES = 2 << 30
_CHECKPOINTS = 48
"""Places where a pass may begin: many more than a study has room for."""

Row = list[float]
"""Latency ms, error px^2, error on few photographs px^2, missed faces, extra faces (-1: not looked at)."""
Key = tuple[object, ...]
"""A head, and all that decides its numbers."""


@dataclass(frozen=True)
class Recipe:
    """How a network is cut into groups, and what it is measured on.

    Attributes:
        stages: of the body, the heads are groups of their own; 0 makes every unit a group.
        join: heads of one kind at several strides are one group.
        photographs: for evaluation; the first ``few`` with faces are the cheap rung's.
    """

    network: str
    stages: int = 7
    join: bool = False
    base: str = "uint8"
    types: tuple[str, ...] = ("int16",)
    target: str = "vs680"
    photographs: int = 40
    few: int = 4


class Network:
    """A recipe made real.

    Each face is scored at the cell of the head where the float model finds it. So a face's error depends on the units
    in front of that head's outputs and on nothing else, and is kept: the 27 assignments of three types to three heads
    of one body need three passes.
    """

    def __init__(self, recipe: Recipe, cache: Path) -> None:
        self.recipe = recipe
        with tempfile.TemporaryDirectory() as folder:
            self._bench = bench = _open(recipe, Path(folder), cache)
        self.space, self.graph = bench.space, bench.graph
        cuts = {name: choices[-1] for name, choices in bench.space.dimensions.items() if name[:4] == "cut:"}
        self.frame = Frames(bench.space).at(cuts)
        self._cost = CostModel(load_profile(recipe.target), bench.graph)
        self._decoder, self._reference = bench.scorer.decoder, bench.scorer.reference
        assert self._decoder.anchored
        self._head = head_of(self._decoder.heads, self._reference.cell)
        self._few = np.isin(self._reference.image, np.unique(self._reference.image)[: recipe.few])
        self._known: dict[Key, np.ndarray] = {}
        prefix.checkpoints = partial(prefix.checkpoints, count=_CHECKPOINTS)
        self._simulator = Simulator(
            bench.graph, bench.calibration, bench.evaluation, threads=1, activations_bytes=_ACTIVATIONS_BYTES
        )

    @property
    def made_of(self) -> dict[str, Any]:
        """Everything that decides a row."""
        return {
            **asdict(self.recipe), "types": list(self.recipe.types), "model": self.graph.digest,
            "groups": {group.name: len(group.units) for group in self.space.groups},
            "profile": canonical.digest(self._cost.profile.model_dump(mode="json")),
            "evaluation": self._bench.evaluation.digest, "calibration": self._bench.calibration.digest,
            "simulator": quant.VERSION, "metric": METRIC_VERSION,
        }  # fmt: skip

    def measure(self, chosen: Sequence[int]) -> Row:
        """One assignment: the index of a choice for each group."""
        candidate = self.space.at(self.frame.point(np.array(chosen)))
        types = self.graph.assign(candidate)
        keys = [self._key(index, candidate, types) for index in range(len(self._decoder.heads))]
        if any(key not in self._known for key in keys):
            px2 = self._px2(Artifact(candidate, types))
            self._known.update({key: px2[self._head == index] for index, key in enumerate(keys)})
        every = np.empty(len(self._reference))
        for index, key in enumerate(keys):
            every[self._head == index] = self._known[key]
        latency_ms = self._cost.estimate(candidate, types).total_ms
        return [latency_ms, float(every.mean()), float(every[self._few].mean()), -1, -1]

    def prior(self) -> dict[str, Any]:
        """See :func:`prior`."""
        found = prior(self._bench, self.frame, self._cost, self.recipe.types)
        return {**found, "few": self.recipe.few, "faces": len(self._reference)}

    def _px2(self, artifact: Artifact) -> np.ndarray:
        """[faces] squared landmark error at each face's own cell."""
        found, start = np.empty(len(self._reference)), 0
        for batch in self._simulator.batches(artifact):
            size = len(next(iter(batch.values())))
            mine = (self._reference.image >= start) & (self._reference.image < start + size)
            faces = self._reference.where(mine)
            _, landmarks = self._decoder.decode(batch, faces.image - start, faces.cell)
            found[mine] = squared_px2(landmarks, faces.landmarks)
            start += size
        return found

    def _key(self, head: int, candidate: Candidate, types: Mapping[str, DataType]) -> Key:
        delivered = self.graph.delivered(candidate)
        outputs = self._decoder.heads[head].outputs
        nodes = self.graph.nodes_behind(tensor for output in outputs for tensor in delivered[output])
        units = dict.fromkeys(self.graph.unit_of[node.name] for node in nodes)
        ends = [output_unit(output) for output in outputs]
        return head, candidate.cuts, tuple(types[unit] for unit in (*units, *ends))


def prior(bench: Workbench, frame: Frame, cost: CostModel, types: Sequence[str]) -> dict[str, Any]:
    """What a search may know beforehand, as arrays to save: each group's time by type, each edge's conversion times,
    and how many photographs one evaluation takes."""
    groups, home = bench.space.groups, _homes(bench)
    kinds = [BASES[frame.base].type, *map(DataType, types)]
    unit_ms = np.zeros((len(groups), len(kinds)))
    edges: dict[tuple[int, int], np.ndarray] = {}
    plan = cost.plan(frame.plain)
    for unit in plan.units:
        for index, kind in enumerate(kinds):
            unit_ms[home[unit.name], index] += cost.work(unit.name, kind).total_ms
    for edge in plan.edges:
        a = -1 if edge.producer is None else home[edge.producer]
        b = home[edge.consumer]
        if a != b:
            table = edges.setdefault((a, b), np.zeros((len(kinds), len(kinds))))
            table += [[cost.conversion_ms(edge, made, wanted) for wanted in kinds] for made in kinds]
    return {
        "unit_ms": unit_ms, "fixed_ms": cost.base_ms(frame.plain), "edges": np.array(list(edges), dtype=np.int16),
        "edge_ms": np.array(list(edges.values())), "photographs": len(bench.evaluation),
    }  # fmt: skip


def _homes(bench: Workbench) -> dict[str, int]:
    """Transparent units and output tensors live with the unit that feeds them first."""
    graph = bench.graph
    found = {unit: index for index, group in enumerate(bench.space.groups) for unit in group.units}
    for unit in graph.units:
        if unit.name not in found:
            makers = [graph.unit_of[graph.producer[t]] for t in unit.inputs if t in graph.producer]
            found[unit.name] = found[makers[0]] if makers else 0
    return found


def _open(recipe: Recipe, folder: Path, cache: Path) -> Workbench:
    shared = os.environ.get("MPSEARCH_SHARED", str(Path(__file__).resolve().parents[3] / "shared"))
    model, decoder, source = NETWORKS[recipe.network]
    space = folder / "space.yaml"
    vendor = "snpe" if BASES[recipe.base].scheme is Scheme.ENCODINGS else "synap"
    head = f"vendor: {vendor}\nbases: [{recipe.base}]\nuniforms: [{recipe.base}]\ntypes: [{', '.join(recipe.types)}]\n"
    cuts = "cuts: none\n" if recipe.network == "yolov5n" else "cuts: {points: nearest, uncut: false}\n"
    stages = f"{{by: stage, stages: {recipe.stages}}}" if recipe.stages else "each"
    space.write_text(f"{head}grouping: {stages}\ntails: 0\n{cuts}")
    if recipe.join:
        joined: dict[str, list[str]] = {}
        for group in load_space(space, read_graph(Path(f"{shared}/data/models/{model}"))).groups:
            name = group.name.rstrip("0123456789_") if group.name.startswith("head:") else group.name
            joined.setdefault(name, []).extend(group.units)
        named = yaml.safe_dump({"grouping": {"by": "globs", "groups": joined}}, sort_keys=False)
        space.write_text(f"{head}{named}tails: 0\n{cuts}")
    study = folder / "study.yaml"
    study.write_text(
        f"model: {shared}/data/models/{model}\ntarget: {recipe.target}\nsearch_space: {space}\n"
        f"budget: {{times: 1.25, of: {recipe.base}}}\ninput: {source}\ndecoder: {{name: {decoder}}}\n"
        f"data: {{calibration: {shared}/data/images/calib, evaluation: {shared}/data/images/eval, "
        f"evaluation_limit: {recipe.photographs}}}\n"
    )
    return open_workbench(config.load(study), cache=cache, say=lambda text: print(text, file=sys.stderr))
