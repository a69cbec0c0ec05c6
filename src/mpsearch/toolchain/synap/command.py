"""How the converter is started: a program from the wheel, or a container. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mpsearch.errors import ConfigError

_IMAGE = re.compile(r"[\w.-]+(?::\d+)?(?:/[\w.-]+)*(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?")


@dataclass(frozen=True, slots=True)
class Command:
    """Attributes:
    words: program and first words of the wheel's converter.
    docker: image of the container; empty: none.
    docker_options: more words for ``docker run``, e.g. ``--platform linux/amd64``.
    """

    words: tuple[str, ...] = ("synap_convert",)
    docker: str = ""
    docker_options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.docker and not _IMAGE.fullmatch(self.docker):
            raise ConfigError(
                f"toolkit.docker: {self.docker!r} is no image name", hint="e.g. ghcr.io/synaptics-synap/toolkit:3.2.0"
            )
        if not self.docker and not self.words:
            raise ConfigError("toolkit.command is empty", hint="e.g. synap_convert")

    def convert(self, arguments: Sequence[str], *, cwd: Path, mount: Path, user: str) -> tuple[str, ...]:
        """The command line for ``synap convert`` with these arguments.

        Args:
            mount: the folder that holds everything the conversion reads and writes.
            user: ``uid:gid``, so that files are not root's.
        """
        if not self.docker:
            return (*self.words, *arguments)
        return (*self._container(cwd, mount, user), "convert", *arguments)

    def version(self, *, mount: Path, user: str) -> tuple[str, ...]:
        """The command line that prints the toolkit's version."""
        if not self.docker:
            return (*self.words, "--version")
        return (*self._container(mount, mount, user), "version")

    def _container(self, cwd: Path, mount: Path, user: str) -> tuple[str, ...]:
        if ":" in str(mount):
            raise ConfigError(f"{mount}: docker cannot mount a folder with a colon in its name")
        # --init passes signals on, so that a timeout ends the conversion and not only the client.
        head = ("docker", "run", "-i", "--rm", "--init", "-u", user, "-v", f"{mount}:{mount}", "-w", str(cwd))
        return (*head, *self.docker_options, self.docker)


def parse(command: str | Sequence[str] | None, docker: str | None, options: Sequence[str] = ()) -> Command:
    """From a board's file; text is split as a shell does.

    Raises:
        ConfigError: both or broken quoting.
    """
    if command and docker:
        raise ConfigError("toolkit: `command` and `docker` exclude each other")
    if docker:
        return Command((), docker, tuple(options))
    if command is None:
        return Command()
    try:
        words = shlex.split(command) if isinstance(command, str) else [str(word) for word in command]
    except ValueError as error:
        raise ConfigError(f"toolkit.command: {command!r}: {error}") from error
    return Command(tuple(words))
