"""The engine's environment: where it is, which interpreter it takes, and what an interrupted installation becomes."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest

from mpsearch.errors import SetupError
from mpsearch.toolchain.acuity import environment, install, python310
from mpsearch.toolchain.acuity.environment import ENGINE, LOCK, Environment, lock_digest

PYTHON = """#!/bin/sh
# A Python 3.10 with venv and pip, for as long as nobody looks closer.
here=$(cd "$(dirname "$0")" && pwd)
case "$*" in
  *"import sys, venv, ensurepip"*) echo 3.10 ;;
  "-m venv --clear "*)
    shift 3; rm -rf "$1"; mkdir -p "$1/bin"; cp "$0" "$1/bin/python"; cp "$here/../words" "$1/words" ;;
  "-m pip --version") echo pip 23 ;;
  *install*)
    echo "run" >> "$here/../pip-runs"
    echo "Collecting acuitylite==6.33.0"; echo "Downloading acuitylite.whl (163.3 MB)"
    if [ -f "$here/../../offline" ]; then
      echo "ERROR: Could not find a version that satisfies acuitylite" >&2; exit 1; fi
    mkdir -p "$here/../lib/python3.10/site-packages/acuitylib"
    cp "$here/../../vsi_sdk.tar.gz" "$here/../lib/python3.10/site-packages/acuitylib/" ;;
  *" -c "*) cat "$here/../words"; cat > /dev/null ;;
esac
"""
HELLO = {"hello": "mpsearch-acuity", "protocol": 1, "engine": ENGINE, "python": "3.10.13"}


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A stand-in whose environments start a worker that says hello."""
    (tmp_path / "p" / "bin").mkdir(parents=True)
    program = tmp_path / "p" / "bin" / "python3.10"
    program.write_text(PYTHON)
    program.chmod(0o755)
    (tmp_path / "p" / "words").write_text(json.dumps(HELLO) + "\n")
    sdk = tmp_path / "sdk" / "vsi_sdk" / "prebuilt-sdk" / "x86_64_linux"
    sdk.mkdir(parents=True)
    (sdk / "library").write_text("x")
    with tarfile.open(tmp_path / "vsi_sdk.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "sdk" / "vsi_sdk", "vsi_sdk")
    return program


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.setattr(install, "SIZE_GB", 0.0)
    return Environment(tmp_path / "engine")


def test_an_installation_is_whole_at_its_end_and_says_what_it_does(place: Environment, python: Path) -> None:
    said: list[str] = []
    assert place.state == "absent"
    install.install(place, python=str(python), say=said.append)
    assert place.state == "installed"
    assert place.require() is place
    assert (place.sdk / "library").is_file()
    assert any("acuitylite" in line and line.startswith("1/") for line in said)
    assert any("163.3 MB" in line for line in said)
    assert json.loads(place.stamp.read_text())["engine"] == ENGINE


def test_a_second_call_changes_nothing(place: Environment, python: Path) -> None:
    install.install(place, python=str(python))
    install.install(place, python="/no/such/python")
    assert (place.folder / "pip-runs").read_text().split() == ["run"]


def test_without_network_it_is_unfinished_and_goes_on_later(place: Environment, python: Path, tmp_path: Path) -> None:
    (tmp_path / "offline").touch()
    with pytest.raises(SetupError, match=r"Could not find a version.*\n.*Run the command again"):
        install.install(place, python=str(python))
    assert place.state == "unfinished"
    with pytest.raises(SetupError, match="not finished"):
        place.require()
    (tmp_path / "offline").unlink()
    said: list[str] = []
    install.install(place, python=None if place.python.exists() else str(python), say=said.append)
    assert place.state == "installed"
    assert said[0].startswith("going on")
    assert (place.folder / "pip-runs").read_text().split() == ["run", "run"]  # in the environment that was there


def test_an_engine_that_does_not_start_is_not_taken_as_installed(place: Environment, python: Path) -> None:
    (python.parent.parent / "words").write_text("Illegal instruction\n")
    with pytest.raises(SetupError, match="Illegal instruction"):
        install.install(place, python=str(python))
    assert place.state == "unfinished"


def test_another_lock_file_means_another_installation(place: Environment, python: Path) -> None:
    install.install(place, python=str(python))
    place.stamp.write_text(json.dumps({"lock": "older"}))
    assert place.state == "outdated"
    install.install(place, python=str(python))
    assert place.state == "installed"
    assert (place.folder / "pip-runs").read_text().split() == ["run"]  # made anew


@pytest.mark.parametrize("stamp", ["", "[]", "{}", "null", '{"lock": 3'])
def test_a_broken_stamp_is_an_unfinished_installation(place: Environment, stamp: str) -> None:
    place.folder.mkdir()
    place.stamp.write_text(stamp)
    assert place.state == "unfinished"


def test_a_stamp_alone_is_no_installation(place: Environment) -> None:
    place.folder.mkdir()
    place.stamp.write_text(json.dumps({"lock": lock_digest()}))
    assert place.state == "unfinished"


def test_two_installations_at_once_do_not_mix(place: Environment, python: Path) -> None:
    with install._alone(place.folder), pytest.raises(SetupError, match="another process"):
        install.install(place, python=str(python))


def test_too_little_room_is_said_before_anything_is_fetched(
    place: Environment, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "SIZE_GB", 1e9)
    with pytest.raises(SetupError, match="GB free"):
        install.install(place, python=str(python))
    assert not place.folder.exists()


def test_the_environments_place_is_the_users_choice_or_cache(tmp_path: Path) -> None:
    assert environment.find({environment.PLACE: str(tmp_path)}).folder == tmp_path
    assert environment.find({"XDG_CACHE_HOME": str(tmp_path)}).folder == tmp_path / "mpsearch" / f"acuity-{ENGINE}"
    assert environment.find({}).folder.parts[-3:] == (".cache", "mpsearch", f"acuity-{ENGINE}")


def test_the_lock_names_a_version_and_a_digest_for_everything() -> None:
    lines = [line for line in LOCK.read_text().splitlines() if not line.startswith("#")]
    assert f"acuitylite=={ENGINE}" in "\n".join(lines)
    assert all("==" in line and " --hash=sha256:" in line for line in lines)


def shim(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_pyenvs_interpreter_is_found_behind_a_shim_that_is_switched_off(tmp_path: Path) -> None:
    shim(tmp_path / "shims" / "python3.10", "echo 'pyenv: python3.10: command not found' >&2; exit 127")
    shim(tmp_path / "root" / "versions" / "3.10.9" / "bin" / "python3.10", "echo 3.10")
    newer = shim(tmp_path / "root" / "versions" / "3.10.13" / "bin" / "python3.10", "echo 3.10")
    environ = {"PATH": f"{tmp_path / 'shims'}:{os.environ['PATH']}", "PYENV_ROOT": str(tmp_path / "root")}
    assert python310.find(environ=environ) == newer


def test_without_any_python_310_the_ways_to_get_one_are_said(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as error:
        python310.find(environ={"PATH": str(tmp_path), "HOME": str(tmp_path)})
    assert all(way in str(error.value) for way in ("uv python install 3.10", "pyenv install 3.10", "apt-get install"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("echo 3.11", "it is Python 3.11"),
        ("echo \"ModuleNotFoundError: No module named 'ensurepip'\" >&2; exit 1", "python3.10-venv"),
    ],
)
def test_a_named_interpreter_that_will_not_do_is_refused_with_the_reason(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SetupError, match=says):
        python310.find(str(shim(tmp_path / "python", text)))
    with pytest.raises(SetupError, match="cannot be started"):
        python310.find(str(tmp_path / "none"))
