"""What a study means to the vendor of its target: types that exist there, files and command lines of a candidate."""

from __future__ import annotations

from pathlib import Path

from mpsearch.board.parameters import Htp, Profile, VeriSilicon
from mpsearch.candidate import Candidate
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


def check(study: Study, graph: ModelGraph, space: SearchSpace, profile: Profile | None) -> None:
    """What of a study does not fit its target, said before anything is measured.

    Raises:
        ConfigError: see the message.
    """
    if profile is None:
        return
    _check_types(study, graph, space, profile)
    if isinstance(profile, VeriSilicon):
        _check_metafile(study, graph, space)


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


def _check_metafile(study: Study, graph: ModelGraph, space: SearchSpace) -> None:
    """What of the study's metafile does not fit its model or its space, said before anything is measured."""
    check_io(metafile_io(study), outputs=graph.outputs)
    if study.metafile.delegate and "delegate" in space.options:
        raise ConfigError(
            f"{study.path}: metafile.delegate fixes what the search space {study.search_space} lets one choose",
            hint="Remove one of the two.",
        )
