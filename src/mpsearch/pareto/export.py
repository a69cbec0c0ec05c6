"""The bundle of one candidate: what to build, what was measured, and how to check both."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mpsearch.errors import ConfigError
from mpsearch.pareto.front import Trial
from mpsearch.pareto.table import short

FILES = ("candidate.json", "record.json", "command.txt", "lock.json", "README.md")
"""What every bundle has besides the toolchain's own files, which ``lock.json`` lists."""


class Rendered(Protocol):
    """What a toolchain rendered for a candidate."""

    @property
    def texts(self) -> Mapping[str, str]:
        """File name -> text, e.g. the metafile's."""

    @property
    def blobs(self) -> Mapping[str, Callable[[Path], object]]:
        """File name -> what writes it to a path."""

    @property
    def commands(self) -> Sequence[Sequence[str]]:
        """The command lines that compile the model, in order, run where the files are."""

    @property
    def unresolved(self) -> Sequence[object]:
        """What could not be written with confidence; each item as ``str`` says unit, type and reason."""

    @property
    def notes(self) -> Sequence[str]:
        """Remarks for the user."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a candidate comes from.

    Attributes:
        digests: sha256 by part: ``model``, ``data``, ``space``, ``metric`` ...
        versions: name -> version of what took part.
        study, model: names, for the README.
        study_file: where the study file is.
        against: whose float version the error is measured against; "" for the model's own.
    """

    study: str
    study_file: str
    model: str
    digests: Mapping[str, str]
    versions: Mapping[str, str]
    against: str = ""


def write(trial: Trial, rendered: Rendered, provenance: Provenance, out: Path) -> tuple[Path, ...]:
    """Write the bundle to ``out``, all of it or nothing; an earlier bundle there is replaced.

    Returns:
        The files: the toolchain's, then those of :data:`FILES`.

    Raises:
        ConfigError: ``out`` holds anything else, or cannot be written.
    """
    _refuse_foreign(out)
    texts = _texts(trial, rendered, provenance)
    staging: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        for name, text in texts.items():
            (staging / name).write_text(text, encoding="utf-8")
        for name, save in rendered.blobs.items():
            save(staging / name)
        staging.chmod(0o755)
        if out.is_dir():
            os.replace(out, old := staging.with_name(f"{staging.name}.old"))
            os.replace(staging, out)
            shutil.rmtree(old)
        else:
            os.replace(staging, out)
    except OSError as error:
        raise ConfigError(f"{out}: the bundle cannot be written: {error.strerror or error}") from error
    finally:
        if staging is not None and staging.is_dir():
            shutil.rmtree(staging)
    return tuple(out / name for name in (*rendered.blobs, *texts))


def _refuse_foreign(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ConfigError(f"{out}: is not a folder", hint="Give another --out.")
    own = {*FILES, *_listed(out / "lock.json")}
    foreign = sorted(path.name for path in out.iterdir() if path.name not in own) if out.is_dir() else []
    if foreign:
        raise ConfigError(
            f"{out}: holds other files ({', '.join(foreign[:3])}{' ...' if len(foreign) > 3 else ''})",
            hint="Give a new or empty folder as --out; only an earlier bundle is replaced.",
        )


def _listed(lock: Path) -> tuple[str, ...]:
    """The files of an earlier bundle."""
    try:
        return tuple(map(str, json.loads(lock.read_text(encoding="utf-8"))["files"]))
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError):
        return ()


def _texts(trial: Trial, rendered: Rendered, provenance: Provenance) -> dict[str, str]:
    candidate = trial.record.candidate
    lock = {
        "study": provenance.study,
        "trial": trial.number,
        "candidate": candidate.digest,
        "digests": dict(provenance.digests),
        "versions": dict(provenance.versions),
        "unresolved": [str(item) for item in rendered.unresolved],
        "files": [*rendered.blobs, *rendered.texts],
    }
    return {
        **rendered.texts,
        "candidate.json": _json(candidate.to_json()),
        "record.json": _json(trial.record.to_json()),
        "command.txt": "".join(f"{shell_line(argv)}\n" for argv in rendered.commands),
        "lock.json": _json(lock),
        "README.md": _readme(trial, rendered, provenance),
    }


def shell_line(argv: Sequence[str]) -> str:
    """The command as one would type it."""
    return shlex.join(argv)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _readme(trial: Trial, rendered: Rendered, provenance: Provenance) -> str:
    measured = trial.measured
    lines = [f"# Trial {trial.number} of {provenance.study}", "", f"`{short(trial.record.candidate)}`", ""]
    if measured is not None:
        score, timing = measured.score, measured.timing
        unit = score.unit.replace("2", "²")
        counts = f" ({score.missed} missed, {score.extra} extra, of {score.faces} {score.task.things})"
        against = f"the float version of {provenance.against}" if provenance.against else "the float model"
        scaled = f", its times {timing.scale:.3f}: as on the shelf's slowest board" if timing.scale != 1 else ""
        lines += [
            f"- {score.task.error} against {against}: {score.objective:.4g} {unit}".rstrip()
            + (counts if score.faces else ""),
            f"- latency: {timing.median_ms:.3f} ms, {timing.source}, {timing.board}{scaled}",
            "",
        ]
    where = "In this folder" if "model.onnx" in rendered.blobs else "Beside it"
    lines += [
        "## Rebuild", "",
        f"The model is `{provenance.model}`; its digest is in `lock.json`. {where}:", "",
        "```", *map(shell_line, rendered.commands), "```", "",
        "## Verify", "",
        "```", shell_line(["mpsearch", "eval", "candidate.json", "--study", provenance.study_file]), "```", "",
        "scores the candidate anew with the same code; compare with `record.json`. The digests in `lock.json` say "
        "which model, photographs, search space and metric the numbers belong to.",
    ]  # fmt: skip
    for heading, remarks in (("Unresolved", rendered.unresolved), ("Notes", rendered.notes)):
        if remarks:
            lines += ["", f"## {heading}", "", *(f"- {remark}" for remark in remarks)]
    return "\n".join(lines) + "\n"
