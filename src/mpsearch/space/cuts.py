"""Where outputs may be cut, as dimensions of the space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mpsearch.graph.model import ModelGraph
from mpsearch.space.spec import SpaceSpec
from mpsearch.space.yamlfile import Field, nearest

Cut = tuple[str, ...]
UNCUT = "0"


@dataclass(frozen=True, slots=True)
class CutChoice:
    """One choice of depth for outputs of the same kind.

    Attributes:
        name: of the Optuna parameter.
        outputs: model outputs that it cuts.
        depths: ``"0"`` is uncut, ``"1"`` the cut nearest to the output, and so on.
        tensors: output -> depth -> tensors (None: uncut).
    """

    name: str
    outputs: tuple[str, ...]
    depths: tuple[str, ...]
    tensors: Mapping[str, Mapping[str, Cut | None]]

    def at(self, depth: str) -> tuple[tuple[str, Cut], ...]:
        """``Candidate.cuts`` for this depth."""
        pairs = ((output, self.tensors[output][depth]) for output in self.outputs)
        return tuple((output, cut) for output, cut in pairs if cut is not None)

    def clamp(self, depth: int) -> str:
        """The allowed depth nearest to ``depth``, the shallower one of two."""
        return min(self.depths, key=lambda known: (abs(int(known) - depth), int(known)))


def build(spec: SpaceSpec, graph: ModelGraph) -> tuple[CutChoice, ...]:
    """Outputs of the same kind (the same operations between their cuts and themselves) share a choice unless the
    file says ``choose: each``.

    Raises:
        SpaceError: an output or a tensor that the graph has not.
    """
    points = _points(spec, graph)
    kinds: dict[tuple[str, ...], list[str]] = {}
    for output, cuts in points.items():
        if cuts:
            kind = (output,) if spec.cuts.choose == "each" else _kind(graph, output, cuts)
            kinds.setdefault(kind, []).append(output)
    if not kinds and not spec.cuts.uncut and spec.cuts.field is not None:
        raise spec.cuts.field.error("`uncut: false`, but this model's outputs cannot be cut")
    return tuple(_choice(outputs, points, uncut=spec.cuts.uncut) for outputs in kinds.values())


def _points(spec: SpaceSpec, graph: ModelGraph) -> dict[str, tuple[Cut, ...]]:
    known = {output: tuple(graph.cut_points.get(output, ())) for output in graph.outputs}
    if spec.cuts.points == "none":
        return {}
    if spec.cuts.points == "nearest":
        return {output: cuts[:1] for output, cuts in known.items()}
    if spec.cuts.points == "all":
        return known
    listed: dict[str, tuple[Cut, ...]] = {}
    for field, output, entries in spec.cuts.listed:
        if output not in known:
            raise field.error(f"no output {output!r}{nearest(output, known)}", hint=f"Outputs: {', '.join(known)}")
        chosen = {_listed(entry, output, known[output]) for entry in entries}
        listed[output] = tuple(cut for cut in known[output] if cut in chosen)
    return {output: listed[output] for output in graph.outputs if output in listed}


def _listed(field: Field, output: str, known: tuple[Cut, ...]) -> Cut:
    cut = tuple(item.text() for item in field.items())
    if cut not in known:
        near = nearest(", ".join(cut), [", ".join(option) for option in known])
        options = "; ".join(", ".join(option) for option in known) or "none"
        raise field.error(f"output {output!r} cannot be cut at {', '.join(cut)!r}{near}", hint=f"Its cuts: {options}")
    return cut


def _kind(graph: ModelGraph, output: str, cuts: tuple[Cut, ...]) -> tuple[str, ...]:
    steps = (",".join(sorted({node.op_type for node in graph.nodes_behind((output,), stop=cut)})) for cut in cuts)
    return tuple(steps)


def _choice(outputs: list[str], points: Mapping[str, tuple[Cut, ...]], *, uncut: bool) -> CutChoice:
    deepest = max(len(points[output]) for output in outputs)
    depths = tuple(str(depth) for depth in range(0 if uncut else 1, deepest + 1))
    tensors: dict[str, dict[str, Cut | None]] = {}
    for output in outputs:
        options: tuple[Cut | None, ...] = (None, *points[output])
        tensors[output] = {depth: options[min(int(depth), len(options) - 1)] for depth in depths}
    for depth in depths:  # one tensor cannot be delivered twice: the later output stays uncut there
        taken: set[str] = set()
        for output in outputs:
            cut = tensors[output][depth] or ()
            if taken.intersection(cut):
                tensors[output][depth] = None
            else:
                taken.update(cut)
    return CutChoice(f"cut:{outputs[0]}", tuple(outputs), depths, tensors)
