"""YAML text, the same bytes for the same value: the few shapes a metafile needs.

A scalar is left bare only where YAML 1.1 (PyYAML) and 1.2 (the toolkit's ruamel.yaml) both read it as the same text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Value = str | bool | int | float | Sequence["Value"] | Mapping[str, "Value"]

_BARE = re.compile(r"[A-Za-z_/](?:[\w./*=\[\],-]| (?! |$))*", re.ASCII)
_WORDS = frozenset("y n yes no on off true false null".split())


class Flow(tuple[float, ...]):
    """Numbers that stand on one line, in brackets."""

    __slots__ = ()


def dump(value: Mapping[str, Value]) -> str:
    """Block style, keys in the order given, lists not indented, a newline at the end."""
    return "".join(f"{line}\n" for line in _mapping(value))


def scalar(value: str | bool | int | float) -> str:
    """One value on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if _BARE.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return f'"{"".join(_quoted(character) for character in value)}"'


def _quoted(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _number(value: float) -> str:
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    mantissa, exponent, power = repr(value).partition("e")
    return mantissa + (".0" if exponent and "." not in mantissa else "") + exponent + power


def _mapping(value: Mapping[str, Value]) -> list[str]:
    lines: list[str] = []
    for key, item in value.items():
        name = scalar(key)
        if isinstance(item, str | bool | int | float):
            lines.append(f"{name}: {scalar(item)}")
        elif isinstance(item, Flow):
            lines.append(f"{name}: [{', '.join(scalar(number) for number in item)}]")
        elif isinstance(item, Mapping):
            lines += [f"{name}:", *(f"  {line}" for line in _mapping(item))]
        else:
            lines += [f"{name}:", *_sequence(item)]
    return lines


def _sequence(items: Sequence[Value]) -> list[str]:
    lines: list[str] = []
    for item in items:
        if isinstance(item, Mapping):
            first, *rest = _mapping(item) or ["{}"]
            lines += [f"- {first}", *(f"  {line}" for line in rest)]
        elif isinstance(item, str | bool | int | float):
            lines.append(f"- {scalar(item)}")
        else:
            raise TypeError(f"no YAML form for a list in a list: {item!r}")
    return lines
