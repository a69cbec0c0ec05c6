"""What ``bench`` leaves beside its table, a folder a model and variant: the files of quantization-effect-checker.

``similarity.csv`` and ``similarity.json`` (every layer against float), ``layer_stats.csv`` (every layer's time),
``info.json`` and ``all_model_info.json``, ``onnx_layers.json`` (the layers' shapes), ``throughput.txt``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from mpsearch.bench.table import Row
from mpsearch.board import targets
from mpsearch.device import spec as device
from mpsearch.errors import ConfigError, MpsearchError
from mpsearch.evaluate import Artifact
from mpsearch.fed import Fed
from mpsearch.layers import info, tables, times
from mpsearch.layers.compare import compare
from mpsearch.layers.opening import open_source, times_on
from mpsearch.quant.simulator import Simulator

Say = Callable[[str], None]
PHOTOGRAPHS = 4
"""That layers are compared on; scores take all."""


def folder_of(out: Path, row: Row) -> Path:
    """``<out>/<model>-<variant>-<target>``."""
    name = "-".join((row.model, row.variant, row.target))
    return out / re.sub(r"[^\w.\-]+", "_", name)


def write(out: Path, row: Row, fed: Fed, artifact: Artifact, target: str, *, say: Say) -> Path:
    """All files of one built candidate; layers that cannot be timed on the target are said and left out.

    Raises:
        ConfigError: the folder cannot be written.
        CandidateError, DataError: the layers cannot be had.
    """
    folder = folder_of(out, row)
    host = targets.is_host(target)
    snpe = device.is_spec(target) and device.load(Path(target)).runtime == "snpe"
    against = "host" if host else target if snpe else "simulator"
    source, count = open_source(fed, artifact.candidate, against, say=say)
    found = compare(fed.graph, islice(fed.images(), min(count, PHOTOGRAPHS)), source)
    content = {
        "similarity.csv": tables.to_csv(found),
        "similarity.json": json.dumps(tables.to_json(found, fed.graph.path.name, row.variant), indent=1) + "\n",
    }
    try:
        timed, _ = times_on(fed, artifact.candidate, target, say=say)
        content["layer_stats.csv"] = times.to_csv(timed)
    except MpsearchError as error:
        say(f"note: {row.model} on {row.target}: no times of layers: {error.message.splitlines()[0]}")
    if row.fps is not None:
        content["throughput.txt"] = f"Total throughput: {row.fps:.2f} infs/sec\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in content.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error})") from error
    simulator = Simulator(fed.graph, fed.calibration, fed.evaluation, cache=fed.cache)
    plan = None if host else simulator.plan(artifact.candidate, artifact.types)
    border = info.outputs_of(fed.graph, artifact, plan)
    shapes = str(folder / info.SHAPES)
    about = info.info(
        fed.graph, row.model, border, fps=row.fps,
        per_layer_analysis=str(folder / "similarity.csv"), onnx_model_layer_config=shapes, graph_layout=shapes,
    )  # fmt: skip
    info.write(folder, about, fed.graph)
    return folder
