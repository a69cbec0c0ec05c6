"""From words on the command line to layers: where their outputs come from, and where their times do."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from mpsearch.board import profile as profiles
from mpsearch.board import targets
from mpsearch.board.cost import CostModel
from mpsearch.candidate import Candidate
from mpsearch.device import opening as devices
from mpsearch.device import profiling, unittimes
from mpsearch.device import spec as device
from mpsearch.device.snpe.board import SnpeBoard, built
from mpsearch.errors import ConfigError, MpsearchError, SetupError
from mpsearch.fed import Fed
from mpsearch.layers import hosttimes, ondevice, times, unitcycles
from mpsearch.layers.dumps import Dumps
from mpsearch.layers.network import layers_of
from mpsearch.layers.sources import Layout, QuantizedModel, Simulated, Source
from mpsearch.layers.times import LayerTime
from mpsearch.quant.simulator import Simulator
from mpsearch.toolchain.host.build import HostToolchain
from mpsearch.toolchain.host.runtime import Runtime
from mpsearch.toolchain.snpe import diagview, dlcinfo

Say = Callable[[str], None]


def open_source(
    fed: Fed,
    candidate: Candidate,
    against: str,
    *,
    layout: Layout = "auto",
    kind: str = "float32",
    shapes: Path | None = None,
    say: Say = lambda text: None,
) -> tuple[Source, int]:
    """Where the quantized layers come from, and for how many photographs it has them.

    Args:
        against: ``simulator``, ``host``, a board's file, a quantized ONNX file, or a folder of dumps.
        layout, kind: of dumps, see :class:`~mpsearch.layers.dumps.Dumps`.
        shapes: what ``snpe-dlc-info`` printed, or wrote with ``-s``, of the model that was dumped.

    Raises:
        ConfigError, CandidateError, DataError, ModelError: it cannot be built or read.
    """
    known = [layer.tensor for layer in layers_of(fed.graph)]
    count = len(fed.evaluation)
    if against == "simulator":
        return Simulated(Simulator(fed.graph, fed.calibration, fed.evaluation, cache=fed.cache), candidate), count
    if against == "host":
        built = HostToolchain(fed.graph, fed.calibration, fed.cache / "host", cache=fed.cache).build(candidate)
        return QuantizedModel(built.path, known, name="host"), count
    path = Path(against)
    if device.is_spec(against):
        return _on_board(fed, candidate, path, count, say), count
    if path.suffix == ".onnx":
        return QuantizedModel(path, known), count
    if not path.exists():
        raise ConfigError(
            f"--against {against}: no such file or folder",
            hint="simulator, host, a board's file, a quantized ONNX file, or a folder of dumped layers.",
        )
    outputs = [tensor for several in fed.graph.delivered(candidate).values() for tensor in several]
    known_shapes = {} if shapes is None else _shapes(shapes)
    dumps = Dumps(path, outputs=outputs, kind=kind, layout=layout, shapes=known_shapes)
    if len(dumps) > count:
        say(f"note: {against}: outputs of {len(dumps)} photographs; compared on the first {count} (--limit)")
    elif len(dumps) < count:
        say(f"note: {against}: outputs of {len(dumps)} photograph(s), taken to be the first of the {count} here")
    return dumps, min(count, len(dumps))


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Tensor -> shape, as ``snpe-dlc-info`` says."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    try:
        return {name: tensor.shape for name, tensor in dlcinfo.parse(text, str(path)).tensors.items()}
    except SetupError as error:
        raise ConfigError(error.message, hint="What snpe-dlc-info printed, or wrote with -s.") from error


def _on_board(fed: Fed, candidate: Candidate, path: Path, count: int, say: Say) -> Source:
    """All layers of an SNPE board, in a folder of the cache; the outputs of any other."""
    is_snpe = device.load(path).runtime == "snpe"
    io = None if is_snpe else fed.io
    opened = devices.open(path, fed.graph, fed.calibration, fed.evaluation, io, cache=fed.cache, say=say)
    if not is_snpe:
        say(f"note: {opened.name}: SyNAP's tools dump the network's outputs only")
        return ondevice.delivered(opened, candidate, count)
    (fed.cache / "layers").mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{opened.name}-", dir=fed.cache / "layers"))
    found = ondevice.dump(opened, candidate, fed.images(), folder)
    say(f"every layer, as the board wrote it: {folder}")
    return found


def times_on(
    fed: Fed, candidate: Candidate, target: str, *, say: Say = lambda text: None
) -> tuple[tuple[LayerTime, ...], str]:
    """Every layer's time on a target, and what to call that.

    Raises:
        ConfigError, CandidateError, SetupError, TransientError: the target, or the candidate on it.
    """
    if targets.is_host(target):
        runtime = Runtime.default()
        built = HostToolchain(fed.graph, fed.calibration, fed.cache / "host", runtime=runtime, cache=fed.cache)
        image = next(iter(fed.evaluation.batches(1)))
        found = hosttimes.profile(built.build(candidate).path, runtime, image=image)
        return found, f"host (onnxruntime, {runtime.threads} thread)"
    if device.is_spec(target) and device.load(path := Path(target)).runtime == "snpe":
        return _on_snpe(fed, candidate, path, say)
    if device.is_spec(target):
        path = Path(target)
        layers = devices.profile_units(path, fed.graph, fed.calibration, fed.io, candidate, cache=fed.cache, say=say)
        return times.from_npu(layers), f"{device.load(path).name} (the driver's table)"
    profile = profiles.load(target)
    model = CostModel(profile, fed.graph)
    cost = model.estimate(candidate, fed.graph.assign(candidate))
    return times.from_cost(model, cost), f"{profile.name} (simulated)"


def _on_snpe(fed: Fed, candidate: Candidate, path: Path, say: Say) -> tuple[tuple[LayerTime, ...], str]:
    """The layers' cycles; what they say of the units stays beside the study, for the search."""
    opened = devices.open(path, fed.graph, fed.calibration, fed.evaluation, None, cache=fed.cache, say=say)
    board, profile = opened.board, opened.profile
    assert isinstance(board, SnpeBoard)
    assert profile is not None
    artifact = built(opened.toolchain.build(candidate))
    try:
        found = board.profile(artifact)
        if artifact.runtime == "dsp":
            latency_ms, model = board.time(artifact).median_ms, CostModel(profile, fed.graph)
            units = unitcycles.unit_times_ms(found, artifact.info, model, candidate, opened.name, latency_ms)
            if units.unit_ms:
                unittimes.save(units, unittimes.file(fed.cache, fed.graph, opened.name))
            else:
                say(f"note: {opened.name}: no layer has the name of a unit, so the search learns nothing from them")
    finally:
        board.close()
    return times.from_diagview(found), f"{opened.name} (snpe-diagview)"


def read_log(path: Path) -> tuple[tuple[LayerTime, ...], Mapping[str, diagview.Amount]]:
    """A recorded profile: of snpe-diagview (text or CSV), a SyNAP driver's table, or onnxruntime's trace; and what
    belongs to no layer.

    Raises:
        ConfigError: unreadable, or of no form that is known; names the file.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    try:
        if diagview.looks_like(text):
            found = diagview.parse(text, path.name)
            return times.from_diagview(found), found.totals
        if text.lstrip().startswith(("[", "{")):
            return hosttimes.parse(text, path.name), {}
        return times.from_npu(profiling.parse(text)), {}
    except MpsearchError as error:
        raise ConfigError(
            f"{path}: no profile of layers: {error.message}",
            hint="What snpe-diagview printed or wrote, synap_cli --profiling's file, or onnxruntime's JSON trace.",
        ) from error
