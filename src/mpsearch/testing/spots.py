"""Detectors and a segmenter of coloured squares, with pictures and labels that are known exactly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from mpsearch.testing.models import Builder, save

SIZE, CELL = 64, 8
RED, BLUE = (255, 0, 0), (0, 0, 255)
SPOTS = ([(0, 1, 2, RED), (0, 5, 5, BLUE)], [(1, 3, 3, BLUE)], [(2, 6, 1, RED), (2, 2, 6, RED), (2, 4, 4, BLUE)])
"""Per picture: picture, row and column of a cell, colour."""
DETECT = "{name: yolo, strides: [8], labels: [red, blue]}"
SEGMENT = "{name: segmentation, labels: [ground, red, blue]}"


def detector(path: Path) -> Path:
    """One head of stride 8: four distances of half a cell, then a logit for red and one for blue."""
    b = Builder()
    weight = np.zeros((6, 3, CELL, CELL), np.float32)
    weight[4, 0], weight[4, 2] = 12 / CELL**2, -12 / CELL**2
    weight[5] = -weight[4]
    bias = b.constant(np.array([0.5, 0.5, 0.5, 0.5, -6, -6], np.float32))
    head = b.node("Conv", "input", b.constant(weight), bias, kernel_shape=[CELL] * 2, strides=[CELL] * 2)
    return save(b.model([head], shape=(1, 3, SIZE, SIZE)), path)


def faces(path: Path, *, scale: int = 1, seed: int = 0, points: tuple[int, ...] = (0, 1, 2, 3, 4)) -> Path:
    """Red squares as faces with five landmarks, for the decoder of :func:`faces_decoder`: three convolutions that
    hardly change the picture, and one head.

    Args:
        scale: of the input, which is ``64 * scale`` px wide and high.
        seed: of what makes one such network a little different from another.
        points: order in which the landmarks leave the network.
    """
    b, rng, cell = Builder(), np.random.default_rng(seed), CELL * scale
    x = "input"
    for _ in range(3):
        weight = np.eye(3) + rng.normal(0, 0.02, (3, 3))
        x = b.node("Conv", x, b.constant(weight.reshape(3, 3, 1, 1).astype(np.float32)), kernel_shape=[1, 1])
    spots = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.35, 0.7], [0.65, 0.7]])[list(points)]
    weight = np.zeros((3, 16, 3, cell, cell), np.float32)
    weight[:, [0, 1, 2, 3, *range(5, 15)]] = rng.normal(0, 0.05, (14, 3, 1, 1)) / cell**2
    weight[1, 4, 0], weight[1, 4, 2] = 12 / cell**2, -12 / cell**2
    bias = np.zeros((3, 16), np.float32)
    bias[:, 4], bias[:, 5:15], bias[:, 15] = (-20, -6, -20), spots.reshape(10), 6
    head = b.node(
        "Conv", x, b.constant(weight.reshape(48, 3, cell, cell)), b.constant(bias.reshape(48)),
        kernel_shape=[cell] * 2, strides=[cell] * 2,
    )  # fmt: skip
    return save(b.model([head], shape=(1, 3, SIZE * scale, SIZE * scale)), path)


def faces_decoder(scale: int = 1) -> str:
    """What a study says of :func:`faces`."""
    anchors = [side * scale for side in (4, 5, 8, 10, 13, 16)]
    return f"{{name: yolov5-face, anchors: {{{CELL * scale}: {anchors}}}}}"


def segmenter(path: Path) -> Path:
    """Scores of ground, red and blue for each pixel."""
    b = Builder()
    weight = np.array([[0, 0, 0], [10, 0, -10], [-10, 0, 10]], np.float32).reshape(3, 3, 1, 1)
    scores = b.node(
        "Conv", "input", b.constant(weight), b.constant(np.array([5, 0, 0], np.float32)), kernel_shape=[1, 1]
    )
    return save(b.model([scores], shape=(1, 3, SIZE, SIZE)), path)


def pictures(folder: Path) -> Path:
    """Grey, with the squares; noise of a few grey levels makes them all different."""
    folder.mkdir(parents=True)
    for index, spots in enumerate(SPOTS):
        pixels = 90 + np.random.default_rng(index).integers(0, 8, (SIZE, SIZE, 3))
        for _, row, column, colour in spots:
            pixels[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = colour
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
    return folder


def labels(path: Path) -> Path:
    """COCO-style; ids that are no counting numbers, as in COCO itself."""
    spots = [spot for found in SPOTS for spot in found]
    data = {
        "images": [{"id": 100 + i, "file_name": f"val/{i}.png", "width": SIZE, "height": SIZE} for i in range(3)],
        "categories": [{"id": 7, "name": "Blue"}, {"id": 3, "name": "red"}],
        "annotations": [
            {"id": i, "image_id": 100 + s[0], "category_id": 3 if s[3] == RED else 7, "iscrowd": 0,
             "bbox": [s[2] * CELL, s[1] * CELL, CELL, CELL], "area": CELL * CELL}
            for i, s in enumerate(spots)
        ],
    }  # fmt: skip
    path.write_text(json.dumps(data))
    return path


def masks(folder: Path) -> Path:
    """One PNG a picture: 0 ground, 1 red, 2 blue."""
    folder.mkdir()
    for index, spots in enumerate(SPOTS):
        classes = np.zeros((SIZE, SIZE), np.uint8)
        for _, row, column, colour in spots:
            classes[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 1 if colour == RED else 2
        Image.fromarray(classes).save(folder / f"{index}.png")
    return folder


def several(folder: Path, *, more: str = "", models: str | None = None) -> Path:
    """``mpsearch.yaml`` with two models of :func:`faces`, the second with a larger input."""
    faces(folder / "small.onnx")
    faces(folder / "large.onnx", scale=2, seed=1)
    _sets(folder)
    entries = (
        f"- {{name: small, model: small.onnx, decoder: {faces_decoder()}}}\n"
        f"- {{name: large, model: large.onnx, decoder: {faces_decoder(2)}}}\n"
    )
    path = folder / "mpsearch.yaml"
    path.write_text(
        f"models:\n{entries if models is None else models}budget: {{times: 1.5, of: uint8, model: large}}\n"
        "input: {means: 0, scale: 255}\ntrials: 10\nsearch_space: space.yaml\nlimits: {missed: 0.5, extra: 0.5}\n"
        f"data: {{calibration: calibration, evaluation: evaluation}}\n{more}"
    )
    return path


def study(folder: Path, *, decoder: str = DETECT, more: str = "") -> Path:
    """``mpsearch.yaml`` with its model, its calibration pictures and a small search space."""
    (segmenter if "segmentation" in decoder else detector)(folder / "spots.onnx")
    _sets(folder)
    path = folder / "mpsearch.yaml"
    path.write_text(
        "model: spots.onnx\nbudget: {times: 1.5, of: uint8}\n"
        f"decoder: {decoder}\ninput: {{means: 0, scale: 255}}\ntrials: 3\nsearch_space: space.yaml\n"
        f"data: {{calibration: calibration, evaluation: evaluation}}\n{more}"
    )
    return path


def _sets(folder: Path) -> None:
    """Both sets of pictures, and a small search space."""
    pictures(folder / "evaluation")
    pictures(folder / "calibration")
    for path in sorted((folder / "calibration").iterdir()):
        Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)
    (folder / "space.yaml").write_text(
        "vendor: synap\nbases: [uint8]\nuniforms: [int16]\ntypes: [int16]\ngrouping: each\n"
    )
