"""Before the first trial: a cut must not change what the float model says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mpsearch.candidate import Candidate
from mpsearch.errors import ModelError
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import FloatModel, Tail
from mpsearch.images import PhotoSet
from mpsearch.scoring.decoders.base import Decoder
from mpsearch.scoring.faces import detect

FloatArray = NDArray[np.float32]

TOLERANCE_PX = 1e-4
TOLERANCE_OUTPUT = 1e-5
"""Of a decoder without faces: largest difference of an output, as a share of its largest value."""
PHOTOGRAPHS = 3


def check_cut(
    graph: ModelGraph,
    decoder: Decoder,
    photos: PhotoSet,
    reference: Mapping[str, FloatArray],
    candidate: Candidate,
    *,
    threads: int = 0,
) -> None:
    """Run the float model to the candidate's cuts, complete it behind them, and compare on three photographs (those
    with the most faces): the same cells become faces, their boxes and landmarks the same to 1e-4 px.

    Args:
        reference: the uncut float model's outputs, ``[N, ...]`` each.

    Raises:
        ModelError: they differ; says where and how much.
    """
    delivered = graph.delivered(candidate)
    if all(tensors == (output,) for output, tensors in delivered.items()):
        return
    kept = {name: reference[name] for name in delivered}
    faces = detect(decoder, kept)
    counts = np.bincount(faces.image, minlength=len(photos))
    chosen = np.sort(np.argsort(-counts, kind="stable")[:PHOTOGRAPHS])
    device = FloatModel(graph, tensors=[t for tensors in delivered.values() for t in tensors], threads=threads)
    batch = photos.preprocess.normalise(photos.pixels[chosen])
    cut = Tail(graph, candidate).complete(device.run(batch))
    uncut = {name: values[chosen] for name, values in kept.items()}
    problem = _differing_faces(decoder, uncut, cut) if decoder.heads else _differing_outputs(uncut, cut)
    if problem:
        cuts = "; ".join(f"{output} at {', '.join(tensors)}" for output, tensors in candidate.cuts)
        raise ModelError(
            f"{graph.path.name}: cutting {cuts} changes what the float model says: {problem}",
            hint="Leave this cut out of the search space.",
        )


def _differing_faces(decoder: Decoder, uncut: Mapping[str, FloatArray], cut: Mapping[str, FloatArray]) -> str:
    a, b = detect(decoder, uncut), detect(decoder, cut)
    if {*zip(a.image, a.cell, strict=True)} != {*zip(b.image, b.cell, strict=True)}:
        return f"{len(b)} faces in place of {len(a)}, or from other cells"
    b = b.where(np.lexsort((b.cell, b.image)))
    a = a.where(np.lexsort((a.cell, a.image)))
    off = max(np.abs(a.boxes - b.boxes).max(initial=0.0), np.abs(a.landmarks - b.landmarks).max(initial=0.0))
    return f"faces are off by up to {off:.3g} px" if off > TOLERANCE_PX else ""


def _differing_outputs(uncut: Mapping[str, FloatArray], cut: Mapping[str, FloatArray]) -> str:
    for name, values in uncut.items():
        off = float(np.abs(values - cut[name]).max() / max(float(np.abs(values).max()), 1e-30))
        if off > TOLERANCE_OUTPUT:
            return f"output {name!r} is off by up to {off:.3g} of its largest value"
    return ""
