"""What a study means to the vendor of its target: types that exist there, files and command lines of a candidate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mpsearch.board.parameters import Htp, Profile, VeriSilicon
from mpsearch.candidate import RUN_OPTIONS, Candidate
from mpsearch.config import Study
from mpsearch.device.spec import ToolkitSpec
from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.pareto.export import Rendered
from mpsearch.space.space import SearchSpace
from mpsearch.toolchain.snpe import bundle
from mpsearch.toolchain.snpe import rules as snpe
from mpsearch.toolchain.snpe.modelconverter import InputIO
from mpsearch.toolchain.synap import metafile
from mpsearch.toolchain.synap import rules as synap
from mpsearch.toolchain.synap.io import check as check_io
from mpsearch.toolchain.synap.metafile import MetafileIO


def fitted(
    study: Study,
    graph: ModelGraph,
    space: SearchSpace,
    profile: Profile | None,
    tools: ToolkitSpec | None,
    *,
    say: Callable[[str], None],
) -> SearchSpace:
    """The part of a space that the study's target can tell apart.

    Args:
        tools: the vendor's, of a board of the user's own; None where the board is simulated, or this computer.
        say: takes notes on what was left out.

    Raises:
        ConfigError: something of the study does not fit its target; said before anything is measured.
    """
    if profile is None:
        return space
    _check_types(study, graph, space, profile)
    if isinstance(profile, VeriSilicon):
        _check_metafile(study, graph, space)
    elif tools is not None:
        _check_flags(study, space, tools)
    return space if tools is not None else _simulated(study, space, profile, say)


def _simulated(study: Study, space: SearchSpace, profile: Profile, say: Callable[[str], None]) -> SearchSpace:
    """Without what has the same latency on a cost model: where a model runs, and at which clocks."""
    for name in sorted(space.options.keys() & RUN_OPTIONS.keys()):
        own, values = RUN_OPTIONS[name][0], space.options[name]
        if own not in values and name != "perf_profile":
            raise ConfigError(
                f"{study.path}: search_space {space.name}: {name}: {', '.join(values)}: the simulated {profile.name} "
                f"knows {own} alone",
                hint=f"Add {own}, or name a board of your own: --target board.yaml",
            )
        lacks = "has no clocks" if name == "perf_profile" else f"knows {own} alone"
        say(f"note: {space.name}: {name} is left out: the simulated {profile.name} {lacks}; it needs a real board")
    options = {name: values for name, values in space.options.items() if name not in RUN_OPTIONS}
    return replace(space, options=options)


def render(
    study: Study,
    graph: ModelGraph,
    candidate: Candidate,
    profile: Profile | None,
    target: str,
    tools: ToolkitSpec,
    *,
    compiled: Path | None = None,
) -> Rendered:
    """What the target's toolchain is given for ``candidate``, and the exact command lines.

    Args:
        compiled: the compiled model, where it is known and belongs to what is rendered.

    Raises:
        ConfigError: the target is not built by a vendor's toolchain.
    """
    if isinstance(profile, VeriSilicon):
        io = metafile_io(study)
        return metafile.render(graph, candidate, io, target=profile.name, model_path=graph.path.name)
    if isinstance(profile, Htp):
        return bundle.render(
            graph,
            candidate,
            _input_io(study),
            name=study.name,
            family=tools.tools,
            how=tools.preparation,
            schema=tools.encodings,
            dlc=compiled,
        )
    raise ConfigError(
        f"target {target}: it is built without a vendor's toolchain, so there is nothing to export for it",
        hint="mpsearch pareto --format json holds the candidates.",
    )


def metafile_io(study: Study) -> MetafileIO:
    """What a SyNAP metafile says besides the candidate.

    Raises:
        ConfigError: the study's input is one that a metafile has no words for.
    """
    scale = study.input.scale
    if isinstance(scale, tuple) and len(set(scale)) > 1:
        raise ConfigError(
            f"{study.path}: input.scale: a SyNAP metafile has one scale for all channels, got {list(scale)}",
            hint="Fold the channels' scales into the first convolution, or export with a single scale.",
        )
    one = scale[0] if isinstance(scale, tuple) else scale
    return study.metafile.io(means=study.input.means, scale=one, order=study.input.order)


def _input_io(study: Study) -> InputIO:
    scale = study.input.scale
    return InputIO(
        means=study.input.means,
        scale=scale if isinstance(scale, tuple) else (scale,) * 3,
        order=study.input.order,
        calibration=study.data.calibration,
        images=study.data.calibration_limit or -1,
    )


def _check_types(study: Study, graph: ModelGraph, space: SearchSpace, profile: Profile) -> None:
    """A space of one vendor's types on another's board would give nothing but refused trials."""
    illegal, spaces = (snpe.illegal, "snpe_a8_a16") if isinstance(profile, Htp) else (synap.illegal, "synap_int8_int16")
    for key, base in (("search_space", space.bases[0]), ("budget.of", study.budget.of)):
        if (key == "search_space" or study.budget.times is not None) and (reasons := illegal(graph, Candidate(base))):
            raise ConfigError(
                f"{study.path}: {key}: {base} is no type of {profile.name}: {reasons[0]}",
                hint=f"For this target take `search_space: {spaces}`, or one like it, and a budget of its types.",
            )


def _check_flags(study: Study, space: SearchSpace, tools: ToolkitSpec) -> None:
    """Every candidate with a flag of the other quantizer would be refused, one after the other."""
    modern = [name for name in space.options if name in snpe.MODERN]
    if modern and tools.tools == "snpe":
        raise ConfigError(
            f"{study.path}: search_space {space.name}: {', '.join(modern)}: snpe-dlc-quant has no such flags",
            hint="Set toolkit.tools: qairt in the board's file, or take `search_space: snpe_full`.",
        )


def _check_metafile(study: Study, graph: ModelGraph, space: SearchSpace) -> None:
    """What of the study's metafile does not fit its model or its space, said before anything is measured."""
    check_io(metafile_io(study), outputs=graph.outputs)
    if study.metafile.delegate and "delegate" in space.options:
        raise ConfigError(
            f"{study.path}: metafile.delegate fixes what the search space {study.search_space} lets one choose",
            hint="Remove one of the two.",
        )
