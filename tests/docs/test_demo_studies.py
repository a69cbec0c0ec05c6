"""The studies that come with the repository, and the page that explains them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from mpsearch import config, members
from mpsearch.board import profile, targets

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))


def fields(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted names of every field that a study file may hold."""
    found = []
    for name, field in model.model_fields.items():
        if name == "path":
            continue
        found.append(prefix + name)
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                found += fields(inner, f"{prefix}{name}.")
    return found


def test_the_worked_examples_are_there() -> None:
    assert {"quickstart", "yolov5n_face", "retinaface", "yunet"} <= {path.stem for path in STUDIES}


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_loads_and_names_a_board_that_exists(path: Path) -> None:
    for study in members.every(str(path)):
        assert study.name == path.stem
        assert targets.is_host(study.target) or profile.load(study.target).name == study.target


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_files_of_studies_on_shared_data_exist(path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPSEARCH_SHARED", str(shared))
    for study in members.every(str(path)) if "MPSEARCH_SHARED" in path.read_text() else ():
        assert study.model.is_file()
        assert study.data_spec("calibration").is_dir()
        assert study.data_spec("evaluation").is_dir()


def test_every_field_of_a_study_is_documented(root: Path) -> None:
    page = (root / "docs" / "studies.md").read_text()
    rows = set(re.findall(r"^\| `([\w.]+)`", page, re.MULTILINE))
    assert rows == {*fields(config.Study), "models", "reference"}


def test_the_study_file_shown_in_the_page_loads(root: Path, tmp_path: Path) -> None:
    pages = (root / "docs" / "studies.md", root / "README.md")
    for number, page in enumerate(pages):
        blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
        assert blocks, page
        for index, block in enumerate(blocks):
            path = tmp_path / f"{number}_{index}.yaml"
            path.write_text(block)
            assert all(study.trials >= 1 for study in members.every(str(path)))
