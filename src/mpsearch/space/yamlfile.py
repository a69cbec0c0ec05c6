"""YAML with line numbers: a strict, typed view on the node tree, so that every complaint names file, line and key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from mpsearch.errors import SpaceError

_STRING = "tag:yaml.org,2002:str"
_INT = "tag:yaml.org,2002:int"
_BOOL = "tag:yaml.org,2002:bool"


def nearest(name: str, known: Iterable[str]) -> str:
    """``"; nearest: 'a', 'b'"`` for an unknown name, or nothing when none is near."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"; nearest: {', '.join(map(repr, near))}" if near else ""


@dataclass(frozen=True, slots=True)
class Field:
    """One value of the file, with the place it stands at.

    Attributes:
        key: path inside the file, e.g. ``pins[2].unit``; empty for the whole file.
    """

    file: str
    key: str
    node: yaml.Node

    @property
    def line(self) -> int:
        return int(self.node.start_mark.line) + 1

    def error(self, message: str, *, hint: str = "") -> SpaceError:
        """A :class:`SpaceError` that says where."""
        where = f"{self.file}:{self.line}: {self.key}" if self.key else f"{self.file}:{self.line}"
        return SpaceError(f"{where}: {message}", hint=hint)

    def mapping(self, known: Sequence[str] | None = None) -> dict[str, Field]:
        """The entries of a mapping; with ``known``, other keys are refused.

        Raises:
            SpaceError: not a mapping, a key twice, an unknown key.
        """
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error(f"expected a mapping, got {self._shown()}")
        found: dict[str, Field] = {}
        for key_node, value in self.node.value:
            at_key = Field(self.file, self.key, key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise at_key.error("a key must be a plain name")
            name = str(key_node.value)
            field = Field(self.file, f"{self.key}.{name}" if self.key else name, value)
            if known is not None and name not in known:
                raise Field(self.file, field.key, key_node).error(
                    f"unknown key {name!r}{nearest(name, known)}", hint=f"Known here: {', '.join(known)}"
                )
            if name in found:
                raise Field(self.file, field.key, key_node).error(f"{name!r} stands here twice")
            found[name] = field
        return found

    def items(self) -> Iterator[Field]:
        """The entries of a list, or the value itself as its only entry."""
        if isinstance(self.node, yaml.SequenceNode):
            for index, node in enumerate(self.node.value):
                yield Field(self.file, f"{self.key}[{index}]", node)
        else:
            yield self

    @property
    def is_list(self) -> bool:
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_null(self) -> bool:
        return isinstance(self.node, yaml.ScalarNode) and self.node.tag == "tag:yaml.org,2002:null"

    def text(self) -> str:
        """A scalar as written: tensor names such as ``349`` need no quotes."""
        if not isinstance(self.node, yaml.ScalarNode) or self.is_null:
            raise self.error(f"expected a text, got {self._shown()}")
        return str(self.node.value)

    def integer(self, *, least: int, most: int) -> int:
        """A whole number within ``[least, most]``."""
        if not isinstance(self.node, yaml.ScalarNode) or self.node.tag != _INT:
            raise self.error(f"expected a whole number, got {self._shown()}")
        try:
            value = int(self.node.value.replace("_", ""))
        except ValueError as error:
            raise self.error(f"expected a decimal whole number, got {self._shown()}") from error
        if not least <= value <= most:
            raise self.error(f"{value} is outside {least} to {most}")
        return value

    def boolean(self) -> bool:
        """``true`` or ``false``."""
        if not isinstance(self.node, yaml.ScalarNode) or self.node.tag != _BOOL:
            raise self.error(f"expected true or false, got {self._shown()}")
        return self.node.value.lower() in ("true", "yes", "on")

    def choice(self, known: Iterable[str]) -> str:
        """One of ``known``."""
        options = list(known)
        value = self.text()
        if value not in options:
            raise self.error(f"unknown {value!r}{nearest(value, options)}", hint=f"One of: {', '.join(options)}")
        return value

    def choices(self, known: Iterable[str]) -> tuple[str, ...]:
        """A list of different names out of ``known``, at least one; a single name is a list of one."""
        options = list(known)
        found: list[str] = []
        for item in self.items():
            value = item.choice(options)
            if value in found:
                raise item.error(f"{value!r} stands here twice")
            found.append(value)
        if not found:
            raise self.error("the list is empty", hint=f"Name at least one of: {', '.join(options)}")
        return tuple(found)

    def _shown(self) -> str:
        if isinstance(self.node, yaml.MappingNode):
            return "a mapping"
        if isinstance(self.node, yaml.SequenceNode):
            return "a list"
        return repr(self.node.value) if self.node.value else "nothing"


def read(path: Path) -> Field:
    """The file's root.

    Raises:
        SpaceError: unreadable, not YAML, or empty.
    """
    return parse(_read_text(path), path.name)


def parse(text: str, name: str) -> Field:
    """As :func:`read`, for a text that is called ``name`` in messages."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpaceError(f"{name}:{line}: not YAML: {error.problem or error}") from error
    except yaml.YAMLError as error:
        raise SpaceError(f"{name}: not YAML: {error}") from error
    if node is None:
        raise SpaceError(f"{name}: the file is empty", hint="See docs/search-space.md for what belongs in it.")
    return Field(name, "", node)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"{path}: cannot be read: {error}") from error
