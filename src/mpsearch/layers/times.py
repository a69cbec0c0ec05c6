"""What each layer costs, in one table whatever measured it: quantization-effect-checker's seven columns.

``Percentage_of_Total_Time`` is a share from 0 to 1 of the sum of all means, to four places, as theirs is. ``time_std``
is the sample deviation over inferences, empty where there was only one value (an average, or a model's prediction).
``message`` says who speaks: SNPE's own word, ``NN`` and the like for SyNAP's engines, ``simulated NN``, an operator of
onnxruntime.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mpsearch.board.cost import Cost, CostModel
from mpsearch.device.profiling import Layer as NpuLayer
from mpsearch.toolchain.snpe.diagview import Diagview

COLUMNS = ("layer_id", "time_mean", "time_std", "message", "layer_name", "unit", "Percentage_of_Total_Time")


@dataclass(frozen=True, slots=True)
class LayerTime:
    """One layer's samples, in ``unit`` (``us`` or ``cycles``; empty where the source does not say)."""

    layer_id: int
    name: str
    samples: tuple[float, ...]
    unit: str
    message: str

    @property
    def mean(self) -> float:
        return statistics.fmean(self.samples)


def rows(layers: Sequence[LayerTime]) -> list[dict[str, Any]]:
    """With exactly :data:`COLUMNS`, in the order given."""
    total = sum(layer.mean for layer in layers)
    return [
        dict(
            zip(
                COLUMNS,
                (
                    layer.layer_id,
                    round(layer.mean, 3),
                    round(statistics.stdev(layer.samples), 3) if len(layer.samples) > 1 else None,
                    layer.message,
                    layer.name,
                    layer.unit,
                    round(layer.mean / total, 4) if total else 0.0,
                ),
                strict=True,
            )
        )
        for layer in layers
    ]


def to_csv(layers: Sequence[LayerTime]) -> str:
    """:func:`rows` as a file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows(layers))
    return text.getvalue()


def from_diagview(found: Diagview) -> tuple[LayerTime, ...]:
    """SNPE's layers; ids count from 0 in each of its graphs."""
    return tuple(
        LayerTime(layer.layer_id, layer.name or f"layer {layer.layer_id}", layer.samples, layer.unit, layer.message)
        for layer in found.layers
    )


def from_npu(layers: Iterable[NpuLayer]) -> tuple[LayerTime, ...]:
    """A SyNAP driver's layers; a layer's unit stands behind its kind where the two could be joined."""
    return tuple(
        LayerTime(
            layer.index,
            f"{layer.name} {layer.unit}".strip(),
            tuple(map(float, layer.samples_us)) or (float(layer.time_us),),
            "us",
            layer.engine,
        )
        for layer in layers
    )


def from_cost(model: CostModel, cost: Cost) -> tuple[LayerTime, ...]:
    """A cost model's units, then its conversions between types, then what every inference pays."""
    found: list[tuple[str, float, str]] = []
    for unit, ms in cost.unit_ms.items():
        kind = model.graph.unit[unit].kind
        if ms > 0 or kind != "output":
            found.append((unit, ms, f"simulated {kind}"))
    for edge, ms in cost.edge_ms.items():
        found.append((f"{edge.tensor} for {edge.consumer}", ms, "simulated conversion"))
    found += [(part, cost.parts_ms[part], "simulated") for part in ("preprocess", "fixed") if cost.parts_ms[part] > 0]
    return tuple(LayerTime(index, name, (ms * 1e3,), "us", said) for index, (name, ms, said) in enumerate(found))
