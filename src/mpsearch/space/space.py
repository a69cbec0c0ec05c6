"""The search space of one model: candidates <-> Optuna parameters.

All dimensions are categorical with fixed names and fixed choices, so every Optuna sampler can work with them. A
unit's type is the wider one of what its group and the tail ask for; what the vendor forbids falls back to the base
type, always in the same way. So several parameter sets can mean one candidate; :meth:`SearchSpace.params` gives the
first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, Protocol

from mpsearch import canonical
from mpsearch.candidate import BASES, QUANTIZER_OPTIONS, Algorithm, Candidate, DataType
from mpsearch.errors import SpaceError
from mpsearch.graph.model import ModelGraph, Role
from mpsearch.space.cuts import CutChoice
from mpsearch.space.decode import NO_TAIL, Decoder, Illegal, Point, settings
from mpsearch.space.groups import Group, cost, heads
from mpsearch.space.tails import Tail, spread
from mpsearch.space.yamlfile import nearest as nearest_names

SEED_TAILS = 8
SEED_GROUPS = 32
"""With more groups than this, trying each alone would be most of a study."""


class Suggests(Protocol):
    """What :meth:`SearchSpace.sample` needs of an Optuna trial."""

    def suggest_categorical(self, name: str, choices: Sequence[str], /) -> Any:
        """One of ``choices``."""


@dataclass(frozen=True)
class SearchSpace:
    """Built by :func:`mpsearch.space.load.load`.

    Attributes:
        types: what groups and tails may take besides the base.
        fixed: unit -> ``base`` or a type, whatever group or tail say.
        follow: output tensors take the type of the unit that produces them.
        droppable: outputs that may be left out.
        options: the vendor's switches for a whole model -> values to choose from.
        uniform_bases: bases of the uniform seeds, those outside :attr:`bases` too.
        illegal: the vendor's rules: reasons why a candidate cannot be, none when it can.
    """

    name: str
    graph: ModelGraph
    bases: tuple[str, ...]
    algorithms: tuple[Algorithm, ...]
    types: tuple[str, ...]
    groups: tuple[Group, ...]
    fixed: Mapping[str, str]
    follow: bool
    cuts: tuple[CutChoice, ...]
    droppable: tuple[str, ...]
    tail_positions: tuple[Tail, ...]
    preprocess: tuple[str, ...]
    uniform_bases: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]]
    face_sizes: tuple[float, float] | None
    illegal: Illegal

    @cached_property
    def dimensions(self) -> Mapping[str, tuple[str, ...]]:
        """Parameter -> choices, those with one choice only among them (Optuna is not asked for these)."""
        found: dict[str, tuple[str, ...]] = {
            "base": self.bases,
            "algorithm": tuple(map(str, self.algorithms)),
            "preprocess": self.preprocess,
        }
        found.update({f"option:{name}": values for name, values in self.options.items()})
        found.update({cut.name: cut.depths for cut in self.cuts})
        found.update({f"drop:{output}": ("no", "yes") for output in self.droppable})
        if self.tail_positions:
            found["tail"] = (NO_TAIL, *(tail.node for tail in self.tail_positions))
            found["tail_type"] = self.types
        found.update({f"type:{group.name}": group.choices for group in self.groups})
        return found

    @property
    def size(self) -> int:
        """Number of parameter sets; there are at most as many candidates."""
        return prod(len(choices) for choices in self.dimensions.values())

    @cached_property
    def digest(self) -> str:
        """sha256 over everything that decides what a parameter set means."""
        return canonical.digest(
            {
                "graph": self.graph.digest,
                "dimensions": [[name, list(choices)] for name, choices in self.dimensions.items()],
                "groups": {group.name: [list(group.units), group.pinned] for group in self.groups},
                "fixed": dict(self.fixed),
                "follow": self.follow,
                "cuts": [[o, d, list(t or ())] for c in self.cuts for o in c.outputs for d, t in c.tensors[o].items()],
                "face_sizes": list(self.face_sizes or ()),
            }
        )  # fmt: skip

    def sample(self, trial: Suggests) -> Candidate:
        """The candidate that ``trial`` proposes, canonical and within the vendor's rules for single units."""
        point = {
            name: choices[0] if len(choices) == 1 else str(trial.suggest_categorical(name, choices))
            for name, choices in self.dimensions.items()
        }
        return self._decoder.build(point)

    def at(self, point: Point) -> Candidate:
        """The candidate of a parameter set; parameters that are left out take their first choice."""
        return self._decoder.build({name: point.get(name, choices[0]) for name, choices in self.dimensions.items()})

    def params(self, candidate: Candidate) -> dict[str, str] | None:
        """Parameters that :meth:`sample` turns into ``candidate``, or None when it lies outside the space."""
        wanted = self.canonical(candidate)
        found = self.nearest(wanted)
        return found if self.at(found) == wanted else None

    def nearest(self, candidate: Candidate) -> dict[str, str]:
        """Parameters of the candidate in the space that differs in the least work (MACs and elements written)."""
        wanted = self.canonical(candidate)
        point = {name: choices[0] for name, choices in self.dimensions.items()}
        same_type = [base for base in self.bases if BASES[base].type == wanted.base_type]
        point["base"] = _known(wanted.base, (*same_type, *self.bases))
        point["algorithm"] = _known(str(wanted.algorithm), self.dimensions["algorithm"])
        point["preprocess"] = _known(wanted.preprocess, self.preprocess)
        for name, values in self.options.items():
            point[f"option:{name}"] = _known(wanted.option(name), values)
        for output in self.droppable:
            point[f"drop:{output}"] = "yes" if output in wanted.dropped else "no"
        for cut in self.cuts:
            kept = [output for output in cut.outputs if output not in wanted.dropped]
            point[cut.name] = min(cut.depths, key=lambda d: sum(cut.tensors[o][d] != wanted.cut_of(o) for o in kept))
        return self._nearest_types(point, wanted)

    def canonical(self, candidate: Candidate) -> Candidate:
        """Without overrides of units that are cut away or that choose no type, so that equal meaning is equal bytes.

        Raises:
            SpaceError: an override names a unit that the model has not.
            ModelError: an output or a cut that the model has not.
        """
        for unit, _ in candidate.overrides:
            if unit not in self.graph.unit:
                near = nearest_names(unit, self.graph.unit)
                raise SpaceError(
                    f"{self.graph.path.name}: no unit {unit!r}{near}",
                    hint=f"See: mpsearch inspect {self.graph.path.name}",
                )
        live = {unit.name for unit in self.graph.live(candidate) if unit.role is not Role.TRANSPARENT}
        kept = tuple((unit, kind) for unit, kind in candidate.overrides if unit in live)
        if not BASES[candidate.base].is_float:
            return replace(candidate, overrides=kept)
        options = tuple((name, value) for name, value in candidate.options if name not in QUANTIZER_OPTIONS)
        return replace(candidate, overrides=kept, algorithm=Algorithm.STANDARD, options=options)

    def cut_candidates(self) -> tuple[Candidate, ...]:
        """Every depth of every cut on its own, in the first base: what must not change the float model's faces."""
        cuts = [cut.at(depth) for cut in self.cuts for depth in cut.depths]
        return _unique(Candidate(base=self.bases[0], cuts=pairs) for pairs in cuts if pairs)

    def uniforms(self) -> tuple[Candidate, ...]:
        """One type everywhere (but for pins): every base, algorithm, setting of the options (see
        :func:`~mpsearch.space.decode.settings`) and depth of cut, as far as the vendor's rules allow them together."""
        made = _unique(
            self._decoder.build({**self._plain(depth), **setting, "algorithm": str(algorithm)}, base=base)
            for algorithm in self.algorithms
            for setting in settings(self.options)
            for base in self.uniform_bases
            for depth in range(self._deepest + 1)
        )
        return tuple(candidate for candidate in made if not self.illegal(self.graph, candidate))

    def tails(self) -> tuple[Candidate, ...]:
        """Every tail split at every depth of cut, over every 8-bit base, with the first algorithm; those that the
        vendor's rules do not allow in full are left out."""
        return _unique(
            candidate
            for base in self.bases
            for depth in range(self._deepest + 1)
            for tail in self.tail_positions
            for kind in self.types
            if (candidate := self._tail(base, depth, tail, kind)) is not None
        )

    def seeds(self, extra: Iterable[Candidate] = (), *, tails: int = SEED_TAILS) -> tuple[Candidate, ...]:
        """What a study tries first: uniforms at the deepest and the shallowest cut, then ``extra``, then at most
        ``tails`` tail splits shared among the types, the heads alone in each type, and each group alone."""
        depths = tuple(dict.fromkeys((self._deepest, 0)))
        plains = [self._decoder.build(self._plain(depth), base=base) for base in self.uniform_bases for depth in depths]
        uniforms = [candidate for candidate in plains if not self.illegal(self.graph, candidate)]
        base = next((name for name in self.bases if BASES[name].type.bits == 8), self.bases[0])
        splits = [
            candidate
            for kind in self.types
            for tail in spread(self.tail_positions, max(1, tails // len(self.types)))
            if (candidate := self._tail(base, self._deepest, tail, kind)) is not None
        ]
        ends = [unit for units in heads(self.graph).values() for unit in units]
        plain = self._decoder.build(self._plain(self._deepest), base=base)
        for kind in self.types:
            wanted = replace(plain, overrides=tuple((unit, DataType(kind)) for unit in ends))
            splits.append(self.at(self.nearest(self._decoder.followed(wanted))))
        alone = [self.at({**self._plain(self._deepest), "base": base, **one}) for one in self._one_group_each()]
        return _unique([*uniforms, *(self.canonical(candidate) for candidate in extra), *splits, *alone])

    def _one_group_each(self) -> Iterator[dict[str, str]]:
        """Each group alone in the first type: the error that one group costs is what a search must learn first."""
        if len(self.groups) > SEED_GROUPS:
            return
        for group in self.groups:
            if not group.pinned and self.types[0] in group.choices:
                yield {f"type:{group.name}": self.types[0]}

    def describe(self) -> tuple[dict[str, str], ...]:
        """Rows for a table: dimension, its choices, what it covers."""
        units = {f"type:{group.name}": ", ".join(group.units) for group in self.groups}
        outputs = {cut.name: ", ".join(cut.outputs) for cut in self.cuts}
        return tuple(
            {
                "dimension": name,
                "choices": ", ".join(choices),
                "covers": units.get(name) or outputs.get(name) or "model",
            }
            for name, choices in self.dimensions.items()
        )

    @cached_property
    def _decoder(self) -> Decoder:
        options = tuple(self.options)
        return Decoder(
            self.graph, self.groups, self.fixed, self.follow, self.cuts, self.droppable, options, self.illegal
        )  # fmt: skip

    @cached_property
    def _deepest(self) -> int:
        return max((int(cut.depths[-1]) for cut in self.cuts), default=0)

    def _plain(self, depth: int) -> dict[str, str]:
        point = {name: choices[0] for name, choices in self.dimensions.items()}
        return {**point, **{cut.name: cut.clamp(depth) for cut in self.cuts}}

    def _tail(self, base: str, depth: int, tail: Tail, kind: str) -> Candidate | None:
        if BASES[base].type.bits != 8:
            return None
        made = self._decoder.build({**self._plain(depth), "base": base, "tail": tail.node, "tail_type": kind})
        pinned = {unit for group in self.groups if group.pinned for unit in group.units} | set(self.fixed)
        units = [unit for unit in self.graph.live(made) if unit.name in tail.units and unit.name not in pinned]
        whole = units and all(made.type_of(unit.name) == kind for unit in units)
        return made if whole else None

    def _nearest_types(self, point: dict[str, str], wanted: Candidate) -> dict[str, str]:
        live = {unit.name for unit in self.graph.live(wanted)}
        weight = {name: cost(self.graph.unit[name], self.graph) for name in live}
        plain = replace(wanted, base=point["base"], overrides=())
        options: list[dict[str, str]] = [{}]
        if self.tail_positions:
            options += [{"tail": t.node, "tail_type": kind} for t in self.tail_positions for kind in self.types]
        best, best_off = point, float("inf")
        for option in options:
            lifted = self._decoder.lifted({**point, **option}, plain)
            chosen, off = dict(option), 0
            for group in self.groups:
                units = [unit for unit in group.units if unit in live]
                tail = {} if group.pinned else lifted
                offs = {
                    choice: sum(
                        weight[u]
                        for u in units
                        if self._decoder.type_of(plain, u, choice, tail.get(u)) != wanted.type_of(u)
                    )
                    for choice in group.choices
                }
                choice = min(group.choices, key=offs.__getitem__)
                chosen[f"type:{group.name}"] = choice
                off += offs[choice]
            if off < best_off:
                best, best_off = {**point, **chosen}, off
        return best


def _known(value: str, choices: Sequence[str]) -> str:
    return value if value in choices else choices[0]


def _unique(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    return tuple({candidate.digest: candidate for candidate in candidates}.values())
