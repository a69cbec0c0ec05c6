"""Fixtures that every test folder uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real models, photographs and reference numbers; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("MPSEARCH_SHARED", ROOT.parent / "shared"))
    if not (folder / "data" / "models").is_dir():
        pytest.skip("needs the models and photographs of ../shared (or MPSEARCH_SHARED), absent here")
    return folder


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT
