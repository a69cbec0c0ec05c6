"""Record an oracle: assignments of types to the groups of a real network, each simulated once and kept as a table.

For each assignment: landmark error over all evaluation photographs and over the first few with faces, and the cost
model's latency. Besides, what a search may know beforehand: each group's time by type and each
edge's conversion times. Lines go to ``<out>.jsonl`` as they come (a killed run goes on there); at the end they are
packed into ``<out>.npz``. Assignments go depth first: the groups at the end of the network change fastest, so most of
a pass is shared with the one before.

    export MPSEARCH_SHARED=/path/to/shared OMP_NUM_THREADS=1; cd benchmarks/oracles
    nice -n 15 python record.py yolov5n --out yolov5n_2x10
    nice -n 15 python record.py retinaface --out retinaface_2x10
    nice -n 15 python record.py yunet --stages 6 --join --out yunet_2x10
    nice -n 15 python record.py yolov5n --stages 5 --base a8w8 --types a16w8 float16 --target rvc4 --photographs 20 \\
        --few 2 --out yolov5n_3x8

A network in all its units cannot be listed. Its table begins with the uniforms; ``sample_efficiency.py`` measures what
its methods ask for and adds it to ``<out>.jsonl``, and the same command packs that:

    python record.py yolov5n --units --photographs 12 --few 2 --out yolov5n_units
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from efficiency import lines
from efficiency.networks import NETWORKS, Network, Recipe
from mpsearch.search.guided.frames import Frame


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--stages", type=int, default=7, help="of the body; the heads are groups of their own")
    parser.add_argument("--units", action="store_true", help="every unit is a group, and only uniforms are recorded")
    parser.add_argument("--join", action="store_true", help="heads of one kind at several strides are one group")
    parser.add_argument("--base", default="uint8")
    parser.add_argument("--types", nargs="+", default=["int16"])
    parser.add_argument("--target", default="vs680")
    parser.add_argument("--photographs", type=int, default=40, help="for evaluation")
    parser.add_argument("--few", type=int, default=4, help="of them for the cheap rung")
    parser.add_argument("--limit", type=int, default=0, help="stop after so many assignments (for a first look)")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    recipe = Recipe(
        options.network, 0 if options.units else options.stages, options.join, options.base, tuple(options.types),
        options.target, options.photographs, options.few,
    )  # fmt: skip
    record(Network(recipe, options.out.parent / ".cache" / options.network), options.out, options.limit)
    return 0


def record(network: Network, out: Path, limit: int) -> None:
    """Complete the lines, then pack them."""
    counts = network.frame.counts
    wanted = [(kind,) * len(counts) for kind in range(max(counts))]
    if network.recipe.stages:
        wanted = _ordered(network.frame)
    store = lines.Store(out.with_suffix(".jsonl"), network.made_of)
    if not lines.complete(store, wanted, network.measure, limit=limit, every=25):
        return
    path = out.with_suffix(".npz")
    rows = {**lines.unpack(path, network.made_of), **store.rows}
    lines.pack(path, rows, network.made_of, **network.prior())


def _ordered(frame: Frame) -> list[tuple[int, ...]]:
    """Every assignment; bodies in a Gray code, and for each body all heads alike before any mixture: the passes that
    all mixtures are made of."""
    body = sum(not name.startswith("head:") for name in frame.names)
    heads = sorted(product(*map(range, frame.counts[body:])), key=lambda chosen: len(set(chosen)))
    return [(*front, *behind) for front in _gray(frame.counts[:body]) for behind in heads]


def _gray(counts: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every assignment once; each differs from the one before in one place by one step (reflected Gray code)."""
    place, step = [0] * len(counts), [1] * len(counts)
    while True:
        yield tuple(place)
        for i in reversed(range(len(counts))):
            if 0 <= place[i] + step[i] < counts[i]:
                place[i] += step[i]
                break
            step[i] = -step[i]
        else:
            return


if __name__ == "__main__":
    sys.exit(main())
