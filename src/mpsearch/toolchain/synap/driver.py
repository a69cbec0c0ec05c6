"""The toolchain ``synap``: candidates built by SyNAP's toolkit, each in a process and a folder of its own.

Folder of the cache (all of it can be deleted at the price of time)::

    models/<digest>.onnx          the network with the node names that metafiles use
    dataset-<digest>/000.png ...  the calibration photographs, letterboxed
    built/<key>/                  metafile.yaml, convert.log, model.synap, model_info.txt, quantization_info.yaml
    work-<...>/                   conversions under way; kept when they fail
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx
from PIL import Image

from mpsearch import canonical
from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import CandidateError, ConfigError, SetupError
from mpsearch.evaluate import Artifact
from mpsearch.files import made, publish
from mpsearch.graph import onnxio
from mpsearch.graph.model import ModelGraph
from mpsearch.images import PhotoSet
from mpsearch.toolchain.synap import baseline, modelinfo, realised
from mpsearch.toolchain.synap.command import Command
from mpsearch.toolchain.synap.conversions import TIMEOUT_S, Conversions, Say
from mpsearch.toolchain.synap.layers import LayerMap, read_ids, read_map
from mpsearch.toolchain.synap.metafile import MetafileIO, Rendered, delegate_of, render
from mpsearch.toolchain.synap.modelinfo import ModelInfo

_NO_ID = "mpsearch-no-such-layer"


class BuiltDifferently(CandidateError):
    """The toolkit built something else than it was asked for, without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SynapArtifact(Artifact):
    """Attributes:
    model: ``model.synap``.
    info: its inputs and outputs.
    folder: with the metafile, the log and the listings.
    build_s: of the conversion, also when this one came from the cache.
    notes: what the user may want to know, e.g. units that no entry could move.
    """

    model: Path
    info: ModelInfo
    folder: Path
    build_s: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass
class SynapToolchain:
    """Implements :class:`mpsearch.evaluate.Toolchain`.

    Args:
        calibration: what the toolkit quantizes on.
        target: one of :data:`mpsearch.toolchain.synap.metafile.TARGETS`.
        profiling: build for per-layer timing, which is slower overall.
        progress: takes short lines such as ``Quantizing... 40%``.
    """

    graph: ModelGraph
    calibration: PhotoSet
    io: MetafileIO
    target: str
    cache: Path
    command: Command = field(default_factory=Command)
    timeout_s: float = TIMEOUT_S
    profiling: bool = False
    progress: Say = field(default=lambda text: None, repr=False)
    _conversions: Conversions = field(init=False, repr=False)
    _maps: dict[str, LayerMap] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.cache = self.cache.absolute()
        if " " in str(self.cache):
            raise ConfigError(
                f"{self.cache}: SyNAP's toolkit refuses calibration images in a folder with a space in its name",
                hint="Set toolkit.work in the board's file to a folder without.",
            )
        self._conversions = Conversions(self.cache, self.command, self.timeout_s, self.progress)

    @property
    def version(self) -> str:
        """Of the toolkit; asked once.

        Raises:
            SetupError: no toolkit, or none that answers.
        """
        return self._conversions.version

    def build(self, candidate: Candidate) -> SynapArtifact:
        """Raises:
        CandidateError: the rules, the toolkit or its compiler refuse it; :class:`BuiltDifferently`.
        SetupError: the toolkit cannot be used.
        TransientError: it was killed, ran out of time, or met another conversion.
        """
        rendered = self.render(candidate)
        folder, seconds = self._built(rendered)
        info = modelinfo.parse((folder / "model_info.txt").read_text(errors="replace"), str(folder / "model_info.txt"))
        tensors = [t for several in self.graph.delivered(candidate).values() for t in several]
        reasons = [*modelinfo.misdelivered(info, self.graph, tensors)]
        asked = delegate_of(candidate, self.io)
        if isinstance(asked, str) and info.delegate and asked.partition(" ")[0] not in ("", "default", info.delegate):
            reasons.append(f"built for the {info.delegate}, asked for the {asked}")
        if reasons:
            raise BuiltDifferently(f"{'; '.join(reasons)} ({folder})", stage="build")
        types, left = self._types(folder, rendered, candidate)
        return SynapArtifact(
            candidate,
            types,
            left,
            model=folder / "model.synap",
            info=info,
            folder=folder,
            build_s=seconds,
            notes=(*rendered.notes, *(f"{u.unit} stays at the base type: {u.reason}" for u in rendered.unresolved)),
        )

    def render(self, candidate: Candidate) -> Rendered:
        """The metafile that :meth:`build` uses; layer ids come from a probe conversion where types are mixed."""
        found = self.layers(candidate) if candidate.overrides else None
        return render(
            self.graph,
            candidate,
            replace(self.io, dataset=(f"../../{self._dataset().name}/*.png",)),
            target=self.target,
            model_path=str(self._model()),
            layer_ids=found.ids if found else None,
            doubtful=found.doubtful() if found else None,
            out_dir="out",
        )

    def layers(self, candidate: Candidate) -> LayerMap:
        """Node or output unit -> layer id, from a uniform conversion with the candidate's outputs.

        Ids count from the outputs, so each choice of outputs has its own; the conversion is cached like any other.

        Raises:
            SetupError: the toolkit's listings have none of the network's layers.
        """
        probe = Candidate("uint8", cuts=candidate.cuts, dropped=candidate.dropped)
        if probe.digest not in self._maps:
            folder, _ = self._built(self.render(probe))
            found = read_map(self._listing(folder, probe), self.graph, probe)
            if not found.ids:
                raise SetupError(
                    f"{folder}: none of the network's {len(self.graph.nodes)} layers is in the toolkit's listings",
                    hint="Another toolkit version? Please report quantization_info.yaml with the toolkit's version.",
                )
            self._maps[probe.digest] = found
        return self._maps[probe.digest]

    def convert_baseline(self, model: Path) -> Path:
        """Convert a model that is quantized already (``.tflite``, ``.onnx``) as it is; returns its ``model.synap``.

        Raises:
            ConfigError, SetupError, TransientError: see :func:`mpsearch.toolchain.synap.baseline.convert`.
        """
        return baseline.convert(self._conversions, model, self.target).model

    def _listing(self, folder: Path, probe: Candidate) -> str:
        """A text with the engine's ids: a listing of the probe, else what the toolkit says to an id that is none."""
        for name in ("quantization_info.yaml", "quantization_entropy.txt"):
            if (folder / name).is_file() and read_ids(text := (folder / name).read_text(errors="replace")):
                return text
        rendered = self.render(probe)
        wrong = rendered.text.replace(
            "data_type: uint8", f"data_type:\n    '*': uint8\n    '@{_NO_ID}': int16"
        )  # fmt: skip
        return self._conversions.complaint(wrong, list(rendered.argv[2:]))

    def _types(
        self, folder: Path, rendered: Rendered, candidate: Candidate
    ) -> tuple[Mapping[str, DataType], Mapping[str, str]]:
        """Unit -> type built, and what differs from the candidate because no entry could say it."""
        table = folder / "quantization_info.yaml"
        asked = rendered.candidate
        if asked.base_type is DataType.FLOAT16:
            if table.is_file():
                raise BuiltDifferently(f"a float model was asked for, a quantized one built ({folder})", stage="build")
            return self.graph.assign(asked), {}
        if not table.is_file():
            raise BuiltDifferently(f"the toolkit did not quantize at all: no {table}", stage="build")
        found = realised.compare(table.read_text(errors="replace"), self.graph, asked, source=str(table))
        if found.differs:
            wanted = self.graph.assign(asked)
            listed = [f"{unit}: {built} instead of {wanted[unit]}" for unit, built in found.differs.items()]
            more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
            raise BuiltDifferently(
                f"built with other types than asked: {'; '.join(listed[:5])}{more}", stage="build", hint=f"See {table}"
            )
        wanted = self.graph.assign(candidate)
        return found.types, {u.unit: str(found.types[u.unit]) for u in rendered.unresolved if u.unit in wanted}

    def _built(self, rendered: Rendered) -> tuple[Path, float]:
        key = canonical.digest(
            {
                "model": self.graph.digest,
                "dataset": self.calibration.digest,
                "metafile": rendered.text,
                "target": self.target.upper(),
                "toolkit": self.version,
                "profiling": self.profiling,
            }
        )
        arguments = list(rendered.argv[2:]) + (["--profiling"] if self.profiling else [])
        return self._conversions.convert(key, rendered.text, arguments)

    def _model(self) -> Path:
        path = self.cache / "models" / f"{self.graph.digest[:32]}.onnx"
        if not path.is_file():
            publish(path, lambda part: onnx.save(onnxio.load_for(self.graph), str(part)))
        return path

    def _dataset(self) -> Path:
        folder = self.cache / f"dataset-{self.calibration.digest[:32]}"
        if not folder.is_dir():
            part = Path(tempfile.mkdtemp(prefix="dataset-part-", dir=made(self.cache)))
            for index, pixels in enumerate(self.calibration.pixels):
                Image.fromarray(pixels).save(part / f"{index:04d}.png")
            try:
                part.rename(folder)
            except OSError:  # another process was faster
                shutil.rmtree(part)
        return folder
