"""A study file, checked: what to search, on which photographs, for which target and budget.

Paths are relative to the study file (:mod:`mpsearch.studyfile` reads it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, ValidationError, field_validator

from mpsearch import studyfile
from mpsearch.candidate import Candidate
from mpsearch.errors import ConfigError
from mpsearch.studyfields import (
    Budget,
    CameraConfig,
    DataConfig,
    InputConfig,
    LadderConfig,
    Limits,
    MeasuringConfig,
    Strict,
)
from mpsearch.toolchain.synap.settings import MetafileConfig
from mpsearch.validation import explain

FIELDS = "See docs/studies.md for every field."
SAMPLERS = ("guided", "tpe", "nsga2", "random", "gp")


@dataclass(frozen=True, slots=True)
class Kin:
    """What a model of a study with several shares with the others (:mod:`mpsearch.members`).

    Attributes:
        member: its name.
        reference: the study of the model whose float version's faces judge all.
        budget: the study of the model whose uniform candidate the budget is a multiple of; None for its own.
    """

    member: str
    reference: Study
    budget: Study | None = None


class Study(Strict):
    """A study file, or one model of a file with several. ``path`` is where it was read from."""

    path: Path
    name: str
    model: Path
    target: str = "vs680"
    search_space: str = "synap_int8_int16"
    budget: Budget
    input: InputConfig = InputConfig()
    data: DataConfig
    decoder: Mapping[str, Any]
    limits: Limits = Limits()
    objective: Literal["landmarks", "boxes", "segmentation", "tensors"] | None = None
    face_sizes: tuple[float, float] | None = None
    sampler: str = "guided"
    trials: int = Field(default=100, ge=1)
    seed: int = Field(default=0, ge=0)
    metafile: MetafileConfig = MetafileConfig()
    measuring: MeasuringConfig = MeasuringConfig()
    camera: CameraConfig | None = None
    ladder: LadderConfig = LadderConfig()
    seeds: tuple[Candidate, ...] = ()
    _kin: Kin | None = PrivateAttr(default=None)
    _shelf: tuple[str, ...] = PrivateAttr(default=())

    @property
    def kin(self) -> Kin | None:
        """None for a study of one model."""
        return self._kin

    def among(self, kin: Kin) -> Study:
        """The same as one of several models."""
        member = self.model_copy()
        member._kin = kin
        return member

    @property
    def member(self) -> str:
        """The model's name within a study of several; "" in a study of one."""
        return "" if self._kin is None else self._kin.member

    @property
    def title(self) -> str:
        """What messages, tables and storages call it."""
        return f"{self.name}:{self.member}" if self.member else self.name

    @property
    def address(self) -> str:
        """What the command line takes for it."""
        return f"{self.path}:{self.member}" if self.member else str(self.path)

    @property
    def shelf(self) -> tuple[str, ...]:
        """Boards' files, where the study has several of one kind; :attr:`target` is the first. Else none."""
        return self._shelf

    def at(self, target: str | None) -> str:
        """The target that ``--target`` means: a board of the shelf may be named by its file's name alone; None is the
        study's."""
        if target is None:
            return self.target
        same = (b for b in self._shelf if target in (b, Path(b).stem) or Path(target).resolve() == Path(b).resolve())
        return next(same, target)

    @field_validator("target", mode="before")
    @classmethod
    def _first(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        if not value or not all(isinstance(board, str) for board in value) or len(set(value)) < len(value):
            raise ValueError(f"must be one target, or a list of different boards' files, got {value}")
        return value[0]

    @field_validator("seeds", mode="before")
    @classmethod
    def _candidates(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError("must be a list of candidates (the form of an exported candidate.json)")
        return tuple(v if isinstance(v, Candidate) else Candidate.from_json(v) for v in value)

    @field_validator("sampler")
    @classmethod
    def _sampler(cls, value: str) -> str:
        if value not in SAMPLERS:
            raise ValueError(f"unknown sampler {value!r}; one of {', '.join(SAMPLERS)}")
        return value

    @field_validator("decoder")
    @classmethod
    def _decoder(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        if not isinstance(value.get("name"), str):
            raise ValueError("needs a `name:`, e.g. {name: yolov5-face}")
        return value

    @field_validator("face_sizes")
    @classmethod
    def _sizes(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 <= value[0] < value[1]:
            raise ValueError(f"must be [smallest, largest] in pixels of the network's input, got {list(value)}")
        return value

    def space_name(self) -> str:
        """A search space's name, or its path; a path is relative to the study file, as all others are."""
        beside = self.path.parent / self.search_space
        return str(beside) if beside.suffix in (".yaml", ".yml") else self.search_space

    def data_spec(self, which: Literal["calibration", "evaluation"]) -> Path:
        """The photographs' folder, glob or list, relative to nothing."""
        spec = self.data.calibration if which == "calibration" else self.data.evaluation
        return self.path.parent / spec


def find(name: str | None, folder: Path | None = None) -> Path:
    """The study file for a command's STUDY argument.

    A path; or a name under ``studies/``; or, without one, ``mpsearch.yaml`` here, else ``studies/quickstart.yaml``.

    Raises:
        ConfigError: no such file, with the nearest names.
    """
    folder = folder or Path.cwd()
    if name is None:
        for path in (folder / "mpsearch.yaml", folder / "studies" / "quickstart.yaml"):
            if path.is_file():
                return path
        raise ConfigError(
            f"{folder}: no study given, and there is neither mpsearch.yaml nor studies/quickstart.yaml here",
            hint="Name a study file: mpsearch run path/to/study.yaml",
        )
    options = (Path(name), folder / name, folder / "studies" / f"{name}.yaml")
    for path in options:
        if path.is_file():
            return path
    known = [path.stem for path in sorted((folder / "studies").glob("*.yaml"))]
    near = get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Studies here: {', '.join(known) or 'none'}"
    raise ConfigError(f"no study {name!r}: neither a file nor studies/{name}.yaml", hint=hint)


def load(path: Path) -> Study:
    """Read and check a study file of one model.

    Raises:
        ConfigError: unreadable, not YAML, unknown or wrong fields; names the file and the field.
    """
    data = studyfile.read(path)
    if "models" in data:
        raise ConfigError(f"{path}: has several `models:`", hint=f"Name one of them: {path}:NAME")
    try:
        study = build(path, data)
    except ValidationError as error:
        raise ConfigError(f"{path}: " + explain(error, Study), hint=FIELDS) from error
    if study.budget.model is not None:
        raise ConfigError(f"{path}: budget.model: says whose latency where a study has several `models:`", hint=FIELDS)
    return study


def build(path: Path, data: Mapping[str, Any]) -> Study:
    """The study that ``data`` says.

    Raises:
        ValidationError: see :func:`mpsearch.validation.explain`.
    """
    data = {"name": path.stem, **data, "path": path.resolve()}
    if isinstance(data.get("model"), str):
        data["model"] = path.resolve().parent / data["model"]
    listed = data.get("target")
    if isinstance(listed, list) and all(isinstance(board, str) for board in listed):
        listed = data["target"] = [_beside(path, board) for board in listed]
    study = Study.model_validate(data)
    study._shelf = tuple(listed) if isinstance(listed, list) else ()
    return study


def _beside(path: Path, board: str) -> str:
    """A shelf's boards lie relative to the study file, or to where one is."""
    beside = path.resolve().parent / board
    return str(beside if beside.is_file() else Path(board))
