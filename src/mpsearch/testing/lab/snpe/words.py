"""Command lines of SNPE's C++ tools: ``--name value`` or ``--name=value``, unabbreviated. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


class Refused(Exception):
    """The tool ends with code 1; the argument is its last line."""


class Options(dict[str, list[str]]):
    """Option -> values in the order of the line; a flag has one empty value."""

    def one(self, name: str, default: str = "") -> str:
        """The last value given."""
        return self[name][-1] if name in self else default

    def need(self, name: str) -> str:
        """Raises:
        Refused: not given.
        """
        if name not in self:
            raise Refused(f"Required option {name} was not specified")
        return self.one(name)

    def choice(self, name: str, known: Iterable[str], default: str) -> str:
        """Raises:
        Refused: a value that the tool does not know.
        """
        value = self.one(name, default)
        if value not in known:
            raise Refused(f"Invalid value {value} for {name}")
        return value


def parse(
    program: str,
    words: Sequence[str],
    values: Iterable[str],
    flags: Iterable[str],
    deprecated: Mapping[str, str] | None = None,
) -> Options:
    """Read a command line.

    Args:
        values, flags: options with and without a value.
        deprecated: flag -> the option to use, which is said in a warning.

    Raises:
        Refused: unknown option, a value missing or too many, a word that belongs to no option.
    """
    with_value, without, old = set(values), set(flags), dict(deprecated or {})
    found = Options()
    left = list(words)
    while left:
        word, equals, value = left.pop(0).partition("=")
        if word in old:
            print(f"[WARNING] {word} is deprecated, use {old[word]} option.")
            word = old[word]
        if word in without:
            if equals:
                raise Refused(f"{program}: option '{word}' doesn't allow an argument")
            found.setdefault(word, []).append("")
        elif word in with_value:
            if not equals:
                if not left:
                    raise Refused(f"{program}: option '{word}' requires an argument")
                value = left.pop(0)
            found.setdefault(word, []).append(value)
        elif word.startswith("-"):
            raise Refused(f"{program}: unrecognized option '{word}'")
        else:
            raise Refused(f"{program}: unexpected argument '{word}'")
    return found
