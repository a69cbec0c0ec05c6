"""What a vendor's tool said when it failed, and whose fault that is. Pure; each vendor has its own list of rules."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """Who has to act."""

    CANDIDATE = "the candidate: learn it, and go on with others"
    SETUP = "the user: nothing can be built before it is mended"
    TRANSIENT = "nobody: try again"
    UNSURE = "the candidate, if a second try ends the same"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Attributes:
    said: the line that decided.
    hint: the next step.
    """

    fault: Fault
    said: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Output in which ``pattern`` is found (``^`` and ``$`` are ends of lines) means ``fault``."""

    fault: Fault
    pattern: re.Pattern[str]
    hint: str = ""


DOCKER: tuple[tuple[Fault, str, str], ...] = (
    (Fault.SETUP, r"Cannot connect to the Docker daemon", "Start docker: systemctl start docker"),
    (Fault.SETUP, r"permission denied.*docker.*sock", "Add yourself to the group docker, and log in again."),
    (Fault.SETUP, r"Unable to find image|pull access denied|manifest unknown", "docker pull the image by hand."),
    (Fault.SETUP, r"invalid reference format", "Check toolkit.docker in the board's file: image and tag, no spaces."),
    (Fault.SETUP, r"No space left on device", "Free space in the cache folder."),
)
"""What any tool in a container may end with; entries as :func:`rules` takes them."""
LONGEST = 300
_KILLED = {137: "killed (out of memory?)", -9: "killed (out of memory?)", 139: "crashed", -11: "crashed"}


def rules(entries: Iterable[tuple[Fault, str, str]]) -> tuple[Rule, ...]:
    """From ``(fault, pattern, hint)``; the first one that matches the whole output decides."""
    return tuple(Rule(fault, re.compile(pattern, re.MULTILINE), hint) for fault, pattern, hint in entries)


def match(text: str, known: Iterable[Rule]) -> Verdict | None:
    """The verdict of the first rule that fits; None when none does."""
    for rule in known:
        if (found := rule.pattern.search(text)) is not None:
            return Verdict(rule.fault, short(found[0]), rule.hint)
    return None


def unknown(code: int, text: str, program: str) -> Verdict:
    """For output that no rule knows."""
    if code in _KILLED:
        return Verdict(Fault.TRANSIENT, f"{program} was {_KILLED[code]}", "Run fewer at a time.")
    last = [line for line in text.splitlines() if line.strip()][-1:] or ["it said nothing"]
    return Verdict(Fault.UNSURE, short(f"exit code {code}: {last[0]}"))


def short(text: str) -> str:
    """One line of bearable length."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."
