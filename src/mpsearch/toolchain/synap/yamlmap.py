"""YAML with line numbers, so that a complaint can point at the line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import yaml

from mpsearch.errors import ConfigError

Plain = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Place:
    """A value and its line (that of its key, where it has one).

    ``data`` is a scalar, a list of places, or a mapping of key to place.
    """

    source: str
    line: int
    data: Plain | list[Place] | dict[str, Place]

    def error(self, message: str, hint: str = "") -> ConfigError:
        return ConfigError(f"{self.source}:{self.line}: {message}", hint=hint)

    def mapping(self, what: str, known: Iterable[str]) -> Mapping[str, Place]:
        """The mapping, checked for unknown keys; empty YAML is an empty mapping.

        Raises:
            ConfigError: no mapping, or an unknown key.
        """
        if self.data is None:
            return {}
        if not isinstance(self.data, dict):
            raise self.error(f"{what} must be a mapping")
        names = list(known)
        for key, place in self.data.items():
            if key not in names:
                close = difflib.get_close_matches(key, names, n=1)
                nearest = f"Nearest: {close[0]!r}. " if close else ""
                raise place.error(f"{what} has no field {key!r}", f"{nearest}Known: {', '.join(names)}")
        return self.data

    def items(self, what: str) -> list[Place]:
        """Raises:
        ConfigError: no list.
        """
        if not isinstance(self.data, list):
            raise self.error(f"{what} must be a list")
        return self.data

    def text(self, what: str) -> str:
        """Raises:
        ConfigError: not text; numbers must be quoted, as the toolkit demands.
        """
        if not isinstance(self.data, str):
            quoted = f' Write it in quotes: "{self.data}".' if isinstance(self.data, int) else ""
            raise self.error(f"{what} must be text.{quoted}")
        return self.data

    def number(self, what: str) -> float:
        """Raises:
        ConfigError: no number.
        """
        if isinstance(self.data, bool) or not isinstance(self.data, int | float) or not isfinite(self.data):
            raise self.error(f"{what} must be a finite number")
        return float(self.data)

    def truth(self, what: str) -> bool:
        """Raises:
        ConfigError: not true or false.
        """
        if not isinstance(self.data, bool):
            raise self.error(f"{what} must be true or false")
        return self.data

    def choice(self, what: str, known: Iterable[str]) -> str:
        """Raises:
        ConfigError: not one of ``known``.
        """
        names = list(known)
        if self.data not in names:
            close = difflib.get_close_matches(str(self.data), names, n=1)
            nearest = f"Nearest: {close[0]!r}. " if close else ""
            raise self.error(f"unknown {what} {self.data!r}", f"{nearest}Known: {', '.join(names)}")
        return str(self.data)

    def pairs(self, what: str) -> tuple[tuple[str, Any], ...]:
        """A mapping of anything.

        Raises:
            ConfigError: no mapping.
        """
        if not isinstance(self.data, dict):
            raise self.error(f"{what} must be a mapping")
        return tuple(self.plain.items())

    @property
    def plain(self) -> Any:
        """The value without its places."""
        if isinstance(self.data, list):
            return [item.plain for item in self.data]
        if isinstance(self.data, dict):
            return {key: item.plain for key, item in self.data.items()}
        return self.data

    def numbers(self, what: str) -> tuple[float, ...]:
        """One number or a list of them."""
        return tuple(p.number(what) for p in self.data) if isinstance(self.data, list) else (self.number(what),)


def load(text: str, source: str) -> Place:
    """Parse.

    Raises:
        ConfigError: broken YAML, or a key that stands twice.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        return Place(source, 1, None) if node is None else _place(node, loader, source)
    except RecursionError as error:
        raise ConfigError(f"{source}: nested too deeply, or an alias that holds itself") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{source}:{line}: broken YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{source}: broken YAML: {error}") from error


def _place(node: yaml.Node, loader: yaml.SafeLoader, source: str) -> Place:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return Place(source, line, [_place(item, loader, source) for item in node.value])
    if not isinstance(node, yaml.MappingNode):
        value = loader.construct_object(node, deep=True)
        plain = value if value is None or isinstance(value, str | int | float | bool) else str(value)
        return Place(source, line, plain)
    found: dict[str, Place] = {}
    for key_node, value_node in node.value:
        # A key such as 349 is a name, whatever YAML takes it for.
        key, at = str(key_node.value), key_node.start_mark.line + 1
        if key in found:
            raise ConfigError(f"{source}:{at}: {key!r} stands twice")
        value = _place(value_node, loader, source)
        found[key] = Place(source, at, value.data)
    return Place(source, line, found)
