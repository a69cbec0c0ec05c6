"""From a wanted type for every layer to the shortest list of entries that says so with the names there are.

What no name reaches can still be reached from the side: ``name...`` moves everything behind a convolution that keeps
its name, so a fused activation gets its type from the convolution before it, and a later ``name...`` sets what lies
behind it right again. Entries are tried greedily in execution order and the outcome is compared with what was
wanted; whatever does not come out is reported, never hoped for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from mpsearch.candidate import DataType
from mpsearch.toolchain.synap.net import LayerNet
from mpsearch.toolchain.synap.semantics import Requantization


class Effort(Enum):
    """How freely a tail may be used."""

    SHORT = "tails wherever they save entries"
    NEEDED = "tails only where no name reaches"
    CAREFUL = "no tail that moves an unreachable layer away from its type"


@dataclass(frozen=True, slots=True)
class Plan:
    """Entries in the order of the file, and the mask of layers that they leave at a wrong type."""

    entries: Mapping[str, DataType]
    wrong: int
    guessed: tuple[str, ...] = ()


def plan(net: LayerNet, wanted: Sequence[DataType | None], base: DataType, ground: DataType, effort: Effort) -> Plan:
    """Entries that give every layer its wanted type (None: no matter)."""
    return _Writer(net, wanted, base, ground, effort).write()


class _Writer:
    def __init__(
        self,
        net: LayerNet,
        wanted: Sequence[DataType | None],
        base: DataType,
        ground: DataType,
        effort: Effort,
    ) -> None:
        self._net, self._wanted, self._base, self._effort = net, wanted, base, effort
        self._table = Requantization(net, base, ground)
        self._entries: dict[str, DataType] = {}
        self._target = {kind: sum(1 << i for i, want in enumerate(wanted) if want == kind) for kind in DataType}
        self._cared = sum(self._target.values())
        self._named = [i for i, layer in enumerate(net.layers) if layer.key is not None]
        self._unreachable = self._cared & ~sum(1 << i for i in self._named)
        self._other_type = DataType.INT16 if base is not DataType.INT16 else DataType.FLOAT16

    def write(self) -> Plan:
        done = 0
        for index, want in enumerate(self._wanted):
            bit = 1 << index
            if want is None:
                continue
            if not self._table.of(want) & bit:
                self._reach(index, want, done)
            done |= bit & self._unreachable
        for index in self._named:
            self._single(index, self._net.layers[index].key)
        guessed = []
        for index, layer in enumerate(self._net.layers):
            if layer.key is None and layer.guess is not None and self._single(index, layer.guess):
                guessed.append(layer.guess)
        return Plan(self._entries, self._wrong(), tuple(guessed))

    def _wrong(self) -> int:
        return self._cared & ~sum(self._table.of(kind) & mask for kind, mask in self._target.items())

    def _single(self, index: int, key: str | None) -> bool:
        want, bit = self._wanted[index], 1 << index
        if key is None or want is None or self._table.of(want) & bit or key in self._entries:
            return False
        if self._table.apply(bit, want):
            return False
        self._entries[key] = want
        return True

    def _reach(self, index: int, want: DataType, done: int) -> None:
        """Emit the tail that sets this layer right and puts the most others right with it."""
        reachable = not self._unreachable >> index & 1
        if reachable and self._effort is Effort.NEEDED:
            return
        best: tuple[int, int, list[int]] | None = None
        right = self._cared & ~self._wrong()
        for start in self._named:
            after = self._net.after[start]
            if start >= index:
                break
            if not after >> index & 1 or f"{self._net.layers[start].key}..." in self._entries:
                continue
            protected = self._unreachable if self._effort is Effort.CAREFUL else done
            if after & protected & ~self._target[want]:
                continue
            roots = self._absent_roots(after, want)
            if roots is None or (roots and self._effort is Effort.CAREFUL):
                continue
            gain = (after & self._target[want] & ~right).bit_count()
            loss = (after & right & ~self._target[want]).bit_count()
            score = gain - loss - 2 * len(roots)
            if best is None or score >= best[0]:
                best = score, start, roots
        if best is None or (reachable and best[0] < 2):
            return
        for root in best[2]:
            self._put(root, "", 1 << root, self._other_type)
            self._put(root, "...", self._net.after[root], self._other_type)
        self._put(best[1], "...", self._net.after[best[1]], want)

    def _put(self, index: int, suffix: str, mask: int, kind: DataType) -> None:
        self._table.apply(mask, kind)
        self._entries[f"{self._net.layers[index].key}{suffix}"] = kind

    def _absent_roots(self, mask: int, want: DataType) -> list[int] | None:
        """What must be moved first so that all of ``mask`` can be set back to the base; None when it cannot be."""
        absent = mask & ~self._table.moved if want == self._base else 0
        roots = []
        for index, layer in enumerate(self._net.layers) if absent else ():
            if not absent >> index & 1 or any(absent >> parent & 1 for parent in layer.parents):
                continue
            if layer.key is None or layer.key in self._entries or f"{layer.key}..." in self._entries:
                return None
            roots.append(index)
        return roots
