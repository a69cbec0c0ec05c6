"""The toolkit in a container: a stand-in for ``docker`` that holds to mounts, folder and user like the real one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lab_world import IO, MIXED, World

from mpsearch.candidate import Candidate
from mpsearch.errors import ConfigError, SetupError
from mpsearch.testing.lab.bench import Lab
from mpsearch.toolchain.synap.command import Command
from mpsearch.toolchain.synap.driver import SynapToolchain

IMAGE = "ghcr.io/synaptics-synap/toolkit:3.2.0"
DOCKER = r"""#!/bin/sh
# docker run: knows the options that are needed, sees what is mounted, starts where it is told.
say() { echo "docker: $1" >&2; exit 125; }
[ "$1" = run ] || say "unknown command $1"; shift
mount= folder= user=
while :; do
  case $1 in
    -i|--rm|--init) shift ;;
    -u) user=$2; shift 2 ;;
    -v) mount=$2; shift 2 ;;
    -w) folder=$2; shift 2 ;;
    --platform) [ "$2" = linux/amd64 ] || say "no platform $2"; shift 2 ;;
    -*) say "unknown flag: $1" ;;
    *) break ;;
  esac
done
[ "$1" = IMAGE ] || say "invalid reference format: $1"; shift
[ "$user" = "$(id -u):$(id -g)" ] || say "files would be root's: $user"
[ "${mount%%:*}" = "${mount##*:}" ] || say "mounted elsewhere: $mount"
mount=${mount%%:*}
inside() { case $1 in "$mount"|"$mount"/*) ;; *) say "$1 is not mounted" ;; esac; }
inside "$folder"
cd "$folder" || exit 125
command=$1; shift
[ "$command" = version ] && exec CONVERT --version
[ "$command" = convert ] || say "no command $command"
for word; do case $word in /*) inside "$word" ;; esac; done
exec CONVERT "$@"
"""


@pytest.fixture
def docker(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "docker"
    program.write_text(DOCKER.replace("IMAGE", IMAGE).replace("CONVERT", f"'{lab.convert}'"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return program


def toolchain(world: World, cache: Path, image: str = IMAGE, *options: str) -> SynapToolchain:
    return SynapToolchain(world.graph, world.photos, IO, "VS680", cache, Command((), image, options))


def test_a_container_converts_as_the_wheel_does(world: World, docker: Path, tmp_path: Path) -> None:
    made = toolchain(world, tmp_path / "it's&cache;$HOME", IMAGE, "--platform", "linux/amd64")
    assert made.version == "3.2.0"
    artifact = made.build(MIXED)
    assert artifact.types == world.graph.assign(MIXED)
    assert artifact.model.read_bytes() == world.toolchain().build(MIXED).model.read_bytes()
    assert artifact.folder.stat().st_uid == os.getuid()


def test_a_baseline_is_copied_to_where_the_container_sees_it(world: World, docker: Path, tmp_path: Path) -> None:
    model = tmp_path / "elsewhere" / "base line.onnx"
    model.parent.mkdir()
    model.write_bytes(world.graph.path.read_bytes())
    assert toolchain(world, tmp_path / "cache").convert_baseline(model).is_file()


def test_a_folder_that_docker_cannot_mount_is_refused(world: World, docker: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="colon"):
        toolchain(world, tmp_path / "a:b").build(Candidate("uint8"))


def test_an_image_that_docker_does_not_have_is_a_setup_fault(world: World, docker: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="ended with 125"):
        toolchain(world, tmp_path, "toolkit:9").build(Candidate("uint8"))
