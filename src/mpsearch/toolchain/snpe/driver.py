"""The toolchain ``snpe``: candidates built by Qualcomm's tools, each step in a process and a folder of its own.

Folder of the cache (all of it can be deleted at the price of time)::

    models/<digest>.onnx            the clean network that every candidate is converted from
    dataset-<digest>/0000.raw ...   the calibration photographs, float32; inputs.txt lists them
    float/<key>/float.dlc           shared by the candidates that differ in the quantizer's flags only
    built/<key>/model.dlc           with overrides.json, dlc-info.txt, commands.json and the logs
    work/                           builds under way; kept when they fail
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx

from mpsearch import canonical
from mpsearch.candidate import Candidate
from mpsearch.errors import CandidateError, ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.images import PhotoSet
from mpsearch.toolchain.snpe import clean, commands, dlcinfo, messages, realised, rules
from mpsearch.toolchain.snpe.artifact import BuiltDifferently, SnpeArtifact
from mpsearch.toolchain.snpe.builds import TIMEOUT_S, Builds, Say, Step
from mpsearch.toolchain.snpe.commands import Files, Preparation
from mpsearch.toolchain.snpe.encodings import Overrides, Schema, overrides, to_json
from mpsearch.toolchain.snpe.tools import PREPARE, Tools

Plan = tuple[str, list[Step], dict[str, str]]
"""Key, steps and text files of a part of a build."""

_INFO = "dlc-info.txt"
_FILES = Files("model.onnx")


@dataclass
class SnpeToolchain:
    """Implements :class:`mpsearch.evaluate.Toolchain`.

    Args:
        calibration: what the quantizer calibrates on.
        schema: form of the overrides' file.
        progress: takes short lines such as ``snpe-dlc-quant ...``.
    """

    graph: ModelGraph
    calibration: PhotoSet
    cache: Path
    tools: Tools = field(default_factory=Tools)
    preparation: Preparation = field(default_factory=Preparation)
    schema: Schema = "0.5.0"
    timeout_s: float = TIMEOUT_S
    progress: Say = field(default=lambda text: None, repr=False)
    _builds: Builds = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.cache = self.cache.absolute()
        if " " in str(self.cache):
            raise ConfigError(
                f"{self.cache}: SNPE's input lists separate files by spaces, so no folder may have one in its name",
                hint="Set toolkit.work in the board's file to a folder without.",
            )
        self._builds = Builds(self.cache, self.tools, self.timeout_s, self.progress)

    @property
    def version(self) -> str:
        """Of the SDK; asked once.

        Raises:
            SetupError: no tools, or none that answer.
        """
        return self._builds.version

    def build(self, candidate: Candidate) -> SnpeArtifact:
        """Raises:
        CandidateError: the rules or the tools refuse it; :class:`BuiltDifferently`.
        SetupError: the tools cannot be used.
        TransientError: one was killed or ran out of time.
        """
        self._legal(candidate)
        entries = self.overrides(candidate)
        floats, float_s = self._builds.made("float", *self._float_plan(candidate, entries))
        hits = messages.processed(_log(floats, self.tools.converter))
        if len(entries) and hits == 0:
            raise BuiltDifferently(
                f"none of {len(entries)} overrides met a tensor of the model", stage="build", hint=f"See {floats}"
            )
        folder, built_s = self._builds.made("built", *self._plan(candidate, entries, floats))
        info = dlcinfo.parse((folder / _INFO).read_text(encoding="utf-8"), str(folder / _INFO))
        ranged = [name for name, entry in entries.params.items() if entry.scale is not None]
        found = realised.compare(info, self.graph, candidate, source=str(folder / _INFO), ranged=ranged)
        self._check(found, folder)
        notes = [f"{found.converts} conversions"]
        if len(entries):
            met = "the converter does not say how many" if hits is None else str(hits)
            notes.append(f"{len(entries)} overrides, of which met a tensor: {met}")
        if candidate.option("runtime") == "dsp" and not info.caches:
            notes.append("no cache for HTP in the DLC: the device compiles it again whenever it loads it")
        notes += [f"{unit}: not found in the DLC, taken to be as asked" for unit in found.unmapped]
        return SnpeArtifact(
            candidate,
            found.types,
            found.left,
            dlc=_dlc(candidate, floats, folder),
            info=info,
            tensors=found.tensors,
            runtime=candidate.option("runtime"),
            perf_profile=candidate.option("perf_profile"),
            folder=folder,
            version=self.version,
            build_s=float_s + built_s,
            notes=tuple(notes),
        )

    def known(self, candidate: Candidate) -> Path | None:
        """The compiled model, if an earlier :meth:`build` left it in the cache; starts only the version query."""
        entries = self.overrides(candidate)
        floats = self._builds.place("float", self._float_plan(candidate, entries)[0])
        folder = self._builds.place("built", self._plan(candidate, entries, floats)[0])
        dlc = _dlc(candidate, floats, folder)
        return dlc if dlc.is_file() else None

    def identity(self, candidate: Candidate) -> str:
        """Equal for candidates of which the tools make the same DLC, and that run alike; starts no tool.

        Raises:
            CandidateError: the rules refuse it.
        """
        self._legal(candidate)
        text = self._text(self.overrides(candidate))
        words = [self._converter(candidate, text, _FILES), *self._words(candidate, text, _FILES)]
        delivered = {output: list(tensors) for output, tensors in self.graph.delivered(candidate).items()}
        how = [candidate.option("runtime"), candidate.option("perf_profile")]
        return canonical.digest([words, text, delivered, how])

    def overrides(self, candidate: Candidate) -> Overrides:
        """The entries of the candidate's overrides."""
        bits = commands.flag_weight_bits(candidate, self.tools.family)
        return overrides(self.graph, candidate, self._largest, weight_bits=bits)

    def _legal(self, candidate: Candidate) -> None:
        if reasons := rules.illegal(self.graph, candidate):
            raise CandidateError("; ".join(reasons), stage="render", hint="The search learns this and goes on.")

    def _check(self, found: realised.Realised, folder: Path) -> None:
        for what, listed in (("built with other types than asked", found.wrong), ("stray conversions of", found.stray)):
            if listed:
                more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
                raise BuiltDifferently(
                    f"{what}: {'; '.join(listed[:5])}{more}", stage="build", hint=f"See {folder / _INFO}"
                )

    def _float_plan(self, candidate: Candidate, entries: Overrides) -> Plan:
        """The float DLC, which holds the overrides already."""
        text = self._text(entries)
        plain = self._converter(candidate, text, _FILES)
        key = canonical.digest([self.graph.digest, plain, text, self.version])
        words = self._converter(candidate, text, Files(str(self._model())))
        step = Step(tuple(words), makes=_FILES.float_dlc)
        return key, [step], {"overrides.json": text} if text else {}

    def _plan(self, candidate: Candidate, entries: Overrides, floats: Path) -> Plan:
        """From the float DLC to the one that runs, and its listing."""
        text = self._text(entries)
        key = canonical.digest([floats.name, self._data_digest, self._words(candidate, text, _FILES), self.version])
        given = Files(str(self._model()), str(floats / _FILES.float_dlc), input_list=str(self._dataset()))
        steps = [Step(tuple(argv), makes=_made(argv, given)) for argv in self._words(candidate, text, given)]
        last = steps[-1].makes if steps else given.float_dlc
        steps.append(Step(tuple(commands.listing(last)), says=_INFO))
        return key, steps, {"overrides.json": text} if text else {}

    def _text(self, entries: Overrides) -> str:
        return to_json(entries, self.schema) if len(entries) else ""

    def _converter(self, candidate: Candidate, text: str, files: Files) -> list[str]:
        return commands.convert(self.graph, candidate, self.tools.family, files, overrides=bool(text))

    def _words(self, candidate: Candidate, text: str, files: Files) -> list[list[str]]:
        """Of the tools behind the converter."""
        outputs = [t for several in self.graph.delivered(candidate).values() for t in several]
        quantize = commands.quantize(candidate, self.tools.family, files, overrides=bool(text))
        prepare = commands.prepare(candidate, files, outputs, self.preparation)
        return [argv for argv in (quantize, prepare) if argv is not None]

    @cached_property
    def _largest(self) -> Mapping[str, float]:
        return clean.largest(clean.constants(self.graph))

    @property
    def _data_digest(self) -> str:
        return canonical.digest([self.calibration.digest, self.tools.family])

    def _model(self) -> Path:
        path = self.cache / "models" / f"{self.graph.digest[:32]}.onnx"
        return self._builds.share(path, lambda part: onnx.save(clean.clean(self.graph), str(part)))

    def _dataset(self) -> Path:
        """The list of the calibration photographs. Channels last after ``snpe-onnx-to-dlc``, which turns images; as in
        the ONNX file after ``qairt-converter``, which does not."""
        folder = self.cache / f"dataset-{self._data_digest[:32]}"

        def fill(part: Path) -> None:
            lines = []
            for index, image in enumerate(image for batch in self.calibration.batches(8) for image in batch):
                turned = image.transpose(1, 2, 0) if self.tools.family == "snpe" else image
                np.ascontiguousarray(turned, np.float32).tofile(part / f"{index:04d}.raw")
                lines.append(f"{self.graph.inputs[0]}:={folder / f'{index:04d}.raw'}\n")
            (part / "inputs.txt").write_text("".join(lines))

        return self._builds.share_folder(folder, fill) / "inputs.txt"


def _dlc(candidate: Candidate, floats: Path, folder: Path) -> Path:
    return folder / _FILES.prepared_dlc if candidate.option("runtime") == "dsp" else floats / _FILES.float_dlc


def _log(folder: Path, program: str) -> str:
    return (folder / f"{program}.log").read_text(encoding="utf-8", errors="replace")


def _made(argv: list[str], files: Files) -> str:
    return files.prepared_dlc if argv[0] == PREPARE else files.quantized_dlc
