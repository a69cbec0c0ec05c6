"""The plug-in of docs/decoders.md, really installed, in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mpsearch.testing.models import Builder, save

PROBE = """
import json, sys
from pathlib import Path
import numpy as np
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess
from mpsearch.scoring import decoders
from mpsearch.scoring.scorer import TaskScorer

graph = read(Path(sys.argv[1]))
decoder = decoders.create("heatmap", graph, {"threshold": 0.2})
photos = PhotoSet.from_arrays(["a", "b"], [np.full((64, 64, 3), 200, np.uint8)] * 2, Preprocess(64, 64))
scorer = TaskScorer(graph, decoder, photos, threads=1)
scorer.prepare()
moved = {name: values + (0.25 if values.shape[1] == 2 else 0) for name, values in scorer.float_outputs.items()}
score = scorer.score(iter([moved]))
faces = scorer.reference
print(json.dumps({"names": decoders.names(), "task": scorer.task.name, "boxes": faces.boxes.tolist(),
                  "classes": faces.classes.tolist(), "error": score.objective, "column": score.task.column}))
"""


@pytest.fixture(scope="module")
def site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's package installed in it, without a network."""
    page = (root / "docs" / "decoders.md").read_text()
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    files = dict(re.findall(r"```(?:toml|python)\n# (\S+)\n(.*?)```", page, re.DOTALL))
    assert set(files) == {"pyproject.toml", "mpsearch_heatmap.py"}
    for name, text in files.items():
        (source / name).write_text(text)
    flags = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *flags, "--target", str(target), str(source)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return target


def heat_model(path: Path) -> Path:
    """A bright photograph lights one cell of class 1: row 2, column 3 of an 8x8 map, 2 cells wide and 4 high."""
    b = Builder()
    weight = b.constant(np.full((5, 3, 8, 8), 0.02, np.float32))
    lit = b.node("Conv", "input", weight, kernel_shape=[8, 8], strides=[8, 8])
    where = np.full((1, 5, 8, 8), -20, np.float32)
    where[0, 3:] = 0
    where[0, 1, 2, 3] = 0
    heat = b.node(
        "Split", b.node("Add", lit, b.constant(where)), b.constant(np.array([3, 2], np.int64)), outputs=2, axis=1
    )
    sizes = b.node("Mul", f"{heat}_1", b.constant(np.zeros((1, 2, 8, 8), np.float32)))
    sizes = b.node("Add", sizes, b.constant(np.float32([2, 4]).reshape(1, 2, 1, 1)))
    return save(b.model([heat, sizes], shape=(1, 3, 64, 64)), path)


def test_the_plug_in_of_the_page_installs_and_scores_a_model(site: Path, tmp_path: Path) -> None:
    model = heat_model(tmp_path / "heat.onnx")
    paths = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(model)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "heatmap" in found["names"]
    assert found["boxes"] == [[20, 4, 36, 36]] * 2
    assert found["classes"] == [1, 1]
    assert (found["task"], found["column"]) == ("boxes", "box_mse_px2")
    assert found["error"] == pytest.approx(2.0)  # a quarter of a cell more: each corner moves by 1 px in x and in y
