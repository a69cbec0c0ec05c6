"""The ``outputs:`` of a metafile as cuts and dropped outputs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mpsearch.graph.model import ModelGraph
from mpsearch.toolchain.synap.io import CHOICES, OutputIO
from mpsearch.toolchain.synap.yamlmap import Place

_FIELDS = "name shape dequantize format security custom".split()


@dataclass(frozen=True, slots=True)
class Outputs:
    """What ``outputs:`` says.

    Attributes:
        format: the first entry's.
        dequantize: whether any entry says so.
        own: what single outputs say otherwise or besides.
    """

    cuts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    dropped: tuple[str, ...] = ()
    format: str = ""
    dequantize: bool = False
    own: tuple[OutputIO, ...] = ()


def read_outputs(place: Place | None, graph: ModelGraph) -> Outputs:
    """Raises:
    ConfigError: unknown fields or tensors, names for some outputs only, names out of the model's order.
    """
    entries = place.items("outputs") if place is not None else []
    fields = [entry.mapping("an output", _FIELDS) for entry in entries]
    if place is None or not entries:
        return Outputs()
    format_ = fields[0]["format"].text("format") if "format" in fields[0] else ""
    said = [field["dequantize"].truth("dequantize") if "dequantize" in field else False for field in fields]
    names = [field["name"] for field in fields if "name" in field]
    if not names:
        if len(entries) > len(graph.outputs):
            raise place.error(f"{len(entries)} outputs for a model with {len(graph.outputs)}")
        return Outputs((), (), format_, any(said), _own(entries, fields, said, graph.outputs))
    if len(names) < len(entries):
        missing = next(e for e, field in zip(entries, fields, strict=True) if "name" not in field)
        raise missing.error("an output without a name: all have one, or none")
    cuts, dropped = _assign(names, graph)
    cut = dict(cuts)
    owners = [o for o in graph.outputs if o not in dropped for _ in cut.get(o, (o,))]
    return Outputs(cuts, dropped, format_, any(said), _own(entries, fields, said, owners))


def _own(
    entries: list[Place], fields: list[Mapping[str, Place]], said: list[bool], owners: Sequence[str]
) -> tuple[OutputIO, ...]:
    """What each model output's entries say apart from the others.

    Raises:
        ConfigError: the tensors of one cut are to be treated differently.
    """
    found: dict[str, OutputIO] = {}
    common = any(said)
    for index, (entry, field, output) in enumerate(zip(entries, fields, owners, strict=False)):
        security, custom = field.get("security"), field.get("custom")
        own = OutputIO(
            output,
            None if said[index] == common else said[index],
            field["format"].text("format") if "format" in field and index else "",
            security.choice("security", CHOICES["output_security"]) if security else "",
            custom.pairs("custom") if custom else (),
        )
        if found.setdefault(output, own) != own:
            raise entry.error(
                f"the tensors that stand for output {output!r} are treated differently",
                "mpsearch has one set of dequantize, format, security and custom for an output.",
            )
    return tuple(own for own in found.values() if own != OutputIO(own.output))


def _assign(names: list[Place], graph: ModelGraph) -> tuple[tuple[tuple[str, tuple[str, ...]], ...], tuple[str, ...]]:
    """Give each model output the run of names that stands for it, in the model's order."""
    texts = [place.text("an output's name") for place in names]
    cuts: list[tuple[str, tuple[str, ...]]] = []
    dropped: list[str] = []
    at = 0
    for output in graph.outputs:
        options = ((output,), *graph.cut_points.get(output, ()))
        found = next((option for option in options if tuple(texts[at : at + len(option)]) == option), None)
        if found is None:
            dropped.append(output)
            continue
        at += len(found)
        if found != (output,):
            cuts.append((output, found))
    if at < len(texts):
        raise _unplaced(names[at], texts[at], graph)
    return tuple(cuts), tuple(dropped)


def _unplaced(place: Place, name: str, graph: ModelGraph) -> Exception:
    usable = list(graph.outputs)
    usable += [tensor for cuts in graph.cut_points.values() for cut in cuts for tensor in cut]
    if name in usable:
        return place.error(
            f"output {name!r} is out of order, stands twice, or lacks the other tensors of its cut",
            f"The toolkit wants outputs in the model's order: {', '.join(graph.outputs)}",
        )
    known = name in graph.tensors
    close = difflib.get_close_matches(name, usable, n=1)
    return place.error(
        f"output {name!r} is {'no place where mpsearch can cut' if known else 'no tensor of the model'}",
        (f"Nearest: {close[0]!r}. " if close else "") + f"Usable: {', '.join(dict.fromkeys(usable))}",
    )
