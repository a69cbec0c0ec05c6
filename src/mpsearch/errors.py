"""Every error that mpsearch raises on purpose.

    MpsearchError
    ├── ConfigError          what the user wrote is wrong: exit code 2
    │   ├── ModelError       the ONNX file cannot be searched
    │   ├── SpaceError       the search space does not fit vendor or model
    │   ├── DataError        photographs, datasets, annotations
    │   └── StudyChangedError  the stored study was made with something else
    ├── CandidateError       the candidate's own fault: learnt and skipped, the study goes on
    ├── SetupError           the user's installation or device: stop, and say what to fix
    └── TransientError       worth one more try

Messages name the place, the thing and, as ``hint``, the next step.
"""

from __future__ import annotations


class MpsearchError(Exception):
    """Base of all deliberate errors.

    Args:
        message: place and thing, e.g. ``"space.yaml: pin[2]: no unit 'conv_31'"``.
        hint: the next step, e.g. ``"See: mpsearch inspect model.onnx"``.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class ConfigError(MpsearchError):
    """Wrong usage or configuration."""

    exit_code = 2


class ModelError(ConfigError):
    """The ONNX file cannot be read or cannot be searched."""


class SpaceError(ConfigError):
    """The search space is malformed or does not fit the model."""


class DataError(ConfigError):
    """Photographs are missing, unreadable or unsuitable."""


class StudyChangedError(ConfigError):
    """Something that decides results differs from what the stored study was made with."""


class CandidateError(MpsearchError):
    """This candidate cannot be built or run; others can.

    Args:
        stage: ``"render"``, ``"build"``, ``"score"`` or ``"time"``.
    """

    def __init__(self, message: str, *, stage: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.stage = stage


class SetupError(MpsearchError):
    """The installation, a tool or a device is not usable: no further trial can succeed."""


class TransientError(MpsearchError):
    """Failed for a reason that may pass: retried once by the caller."""
