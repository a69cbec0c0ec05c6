"""Search-space file + graph -> :class:`~mpsearch.space.space.SearchSpace`."""

from __future__ import annotations

from pathlib import Path

from mpsearch.candidate import Candidate
from mpsearch.errors import SpaceError
from mpsearch.graph.model import ModelGraph
from mpsearch.space import cuts, groups, tails, yamlfile
from mpsearch.space.decode import Illegal
from mpsearch.space.space import SearchSpace
from mpsearch.space.spec import VENDORS, SpaceSpec, builtin_folder, parse

DEFAULT = "synap_int8_int16"
FOLDER = "search_spaces"


def vendor_rules(vendor: str) -> Illegal:
    """What ``vendor`` forbids; only the vendor in use is imported."""
    if vendor == "synap":
        from mpsearch.toolchain.synap.rules import illegal

        return illegal
    if vendor == "host":
        from mpsearch.toolchain.host.rules import illegal as host_illegal

        return host_illegal
    if vendor == "snpe":
        from mpsearch.toolchain.snpe.rules import illegal as snpe_illegal

        return snpe_illegal
    raise SpaceError(f"no rules are known for vendor {vendor!r}", hint=f"Known: {', '.join(VENDORS)}")


def names() -> tuple[str, ...]:
    """The spaces that come with mpsearch."""
    return tuple(sorted(path.stem for path in builtin_folder().glob("*.yaml")))


def find(name_or_path: str | Path) -> Path:
    """A path as given; else a name under ``./search_spaces``; else one that comes with mpsearch.

    Raises:
        SpaceError: there is no such file.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        if path.is_file():
            return path
        raise SpaceError(f"{path}: no such search space", hint=f"Built in: {', '.join(names())}")
    for folder in (Path(FOLDER), builtin_folder()):
        candidate = folder / f"{path}.yaml"
        if candidate.is_file():
            return candidate
    own = [found.stem for found in Path(FOLDER).glob("*.yaml")]
    known = sorted({*names(), *own})
    raise SpaceError(
        f"no search space {str(path)!r}{yamlfile.nearest(str(path), known)}", hint=f"Known: {', '.join(known)}"
    )


def load(
    name_or_path: str | Path,
    graph: ModelGraph,
    *,
    face_sizes: tuple[float, float] | None = None,
    illegal: Illegal | None = None,
) -> SearchSpace:
    """Read a search space and fit it to ``graph``.

    Args:
        face_sizes: the study's declared range in px; without it no output may be dropped.
        illegal: rules in place of the vendor's.

    Raises:
        SpaceError: with file, line and key.
    """
    path = find(name_or_path)
    return build(parse(yamlfile.read(path), path.stem), graph, face_sizes=face_sizes, illegal=illegal)


def build(
    spec: SpaceSpec,
    graph: ModelGraph,
    *,
    face_sizes: tuple[float, float] | None = None,
    illegal: Illegal | None = None,
) -> SearchSpace:
    """As :func:`load`, from a file that is read already."""
    rules = illegal or vendor_rules(spec.vendor)
    for value in spec.preprocess:
        if spec.preprocess_field and (reasons := rules(graph, Candidate(preprocess=value))):
            raise spec.preprocess_field.error(f"{spec.vendor} refuses it: {reasons[0]}")
    members, fixed = groups.build(spec, graph)
    space = SearchSpace(
        name=spec.name,
        graph=graph,
        bases=spec.bases,
        algorithms=spec.algorithms,
        types=spec.types,
        groups=members,
        fixed=fixed,
        follow=spec.outputs == "follow",
        cuts=cuts.build(spec, graph),
        droppable=_droppable(spec, graph, face_sizes),
        tail_positions=tails.positions(graph, spec.tails) if spec.tails else (),
        preprocess=spec.preprocess,
        uniform_bases=spec.uniforms,
        options=spec.options,
        face_sizes=face_sizes,
        illegal=rules,
    )
    if space.size == 1:
        raise spec.root.error(
            f"nothing is left to choose for {graph.path.name}", hint="Loosen `pins`, or add bases, types or cuts."
        )
    return space


def _droppable(spec: SpaceSpec, graph: ModelGraph, face_sizes: tuple[float, float] | None) -> tuple[str, ...]:
    for field in spec.drop_outputs:
        if field.text() not in graph.outputs:
            raise field.error(
                f"no output {field.text()!r}{yamlfile.nearest(field.text(), graph.outputs)}",
                hint=f"Outputs: {', '.join(graph.outputs)}",
            )
    found = tuple(dict.fromkeys(field.text() for field in spec.drop_outputs))
    if found and face_sizes is None and spec.drop_field is not None:
        raise spec.drop_field.error(
            "outputs may be dropped only within a declared range of face sizes",
            hint="Give `face_sizes: [min, max]` (px) in the study, or remove this key.",
        )
    if set(found) == set(graph.outputs) and spec.drop_field is not None:
        raise spec.drop_field.error("every output could be dropped", hint="Leave at least one out of the list.")
    return found
