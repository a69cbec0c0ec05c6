"""The ``format:`` string of the first output, which SyNAP's post-processing reads on the board.

Only the yolov5 family's string changes with cuts: ``transposed=1`` when heads are delivered as the convolution made
them, and ``anchors=`` with one list for every delivered pyramid level.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph

_ANCHORS = re.compile(r"anchors=(\[(?:\[[^\[\]]*\],?)*\])")


def adapt(template: str, graph: ModelGraph, delivered: Mapping[str, Sequence[str]]) -> tuple[str, tuple[str, ...]]:
    """The string for these outputs, and remarks for the user.

    Args:
        template: the string for the uncut model with all its outputs.
        delivered: model output -> tensors, as :meth:`ModelGraph.delivered` gives it.

    Raises:
        ConfigError: as many anchor lists as outputs are needed, and the template has another number.
    """
    notes: list[str] = []
    changed = dict(delivered) != {output: (output,) for output in graph.outputs}
    if not template.startswith("yolov5"):
        if changed:
            notes.append("outputs were cut or dropped; `format` is as given: check that the decoder on the board fits")
        return template, tuple(notes)
    raw = [_is_raw_head(graph, output, tensors) for output, tensors in delivered.items()]
    text = template
    if any(raw):
        text = _transposed(template)
        if not all(raw):
            notes.append("`transposed=1` holds for all outputs, but some are delivered uncut: cut all of them alike")
    if any(len(tensors) > 1 for tensors in delivered.values()):
        notes.append("an output is delivered as several tensors, for which a yolov5 `format` has no words")
    return _keep_anchors(text, graph.outputs, delivered), tuple(notes)


def _is_raw_head(graph: ModelGraph, output: str, tensors: Sequence[str]) -> bool:
    """A 5-D head ``[1, anchors, H, W, values]`` delivered as the 4-D ``[1, channels, H, W]`` in front of it."""
    (first, *_) = tensors
    return first != output and len(graph.tensors[first].shape) == 4 and len(graph.tensors[output].shape) == 5


def _transposed(text: str) -> str:
    words = [word for word in text.split(" ") if not word.startswith("transposed=")]
    behind = next((i for i, word in enumerate(words) if word.startswith("landmarks=")), 0)
    return " ".join([*words[: behind + 1], "transposed=1", *words[behind + 1 :]])


def _keep_anchors(text: str, outputs: Sequence[str], delivered: Mapping[str, Sequence[str]]) -> str:
    found = _ANCHORS.search(text)
    if found is None or len(delivered) == len(outputs):
        return text
    levels = re.findall(r"\[[^\[\]]*\]", found[1][1:-1])
    used = [index for index, level in enumerate(levels) if level != "[]"]
    if len(used) != len(outputs):
        raise ConfigError(
            f"output format: {len(used)} anchor lists that are not empty for {len(outputs)} model outputs",
            hint="Give `anchors=` one list for each output, in the order of the outputs.",
        )
    for output, index in zip(outputs, used, strict=True):
        if output not in delivered:
            levels[index] = "[]"
    while levels and levels[-1] == "[]":
        levels.pop()
    return f"{text[: found.start(1)]}[{','.join(levels)}]{text[found.end(1) :]}"
