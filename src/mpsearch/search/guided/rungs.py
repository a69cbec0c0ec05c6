"""What the search itself costs, kept in the study: the calls of the cheap rung and the time for proposals."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna

_FEW, _PROPOSING, _LIMIT = "few:", "proposing:", "few_limit"
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Rungs:
    """Numbers of the rungs below a whole evaluation.

    Attributes:
        few: digest (its beginning) -> error on few photographs, None where there was none.
        few_s: seconds for those that no cache knew.
        asked: how many no cache knew.
        limit: how many may be asked for at most.
        proposals: how many were made, and in ``proposing_s`` seconds (the cheap calls left out).
    """

    few: Mapping[str, float | None]
    few_s: float
    asked: int
    limit: int
    proposals: int
    proposing_s: float

    def error_of(self, digest: str) -> float | None:
        """On few photographs; None where it was not asked for."""
        return self.few.get(digest[:_DIGITS])


class Notes:
    """Writes them; each process has its own sum, each call its own key, so several workers do not meet."""

    def __init__(self) -> None:
        self._count, self._seconds = 0, 0.0

    def note(
        self,
        study: optuna.Study,
        asked: Mapping[str, tuple[float | None, float]],
        before: int,
        seconds: float,
    ) -> None:
        """After a proposal: ``asked`` as :attr:`CheapRung.asked`, of which ``before`` were there already."""
        fresh = list(asked.items())[before:]
        stored = study.user_attrs if fresh else {}
        for digest, (error, spent) in fresh:
            key = _FEW + digest[:_DIGITS]
            if spent or key not in stored:  # what an earlier process paid for costs nothing again
                study.set_user_attr(key, [error, round(spent, 4)])
        self._count += 1
        self._seconds += seconds - sum(spent for _, (_, spent) in fresh)
        own = f"{_PROPOSING}{socket.gethostname()}:{os.getpid()}"
        study.set_user_attr(own, [self._count, round(self._seconds, 4)])


def limit(study: optuna.Study, calls: int) -> int:
    """How many calls of the cheap rung the study may make: as many as its first proposal was allowed, ``calls`` then.

    Kept with the study: one that is asked for more trials later goes on as it began.
    """
    if calls and _LIMIT not in study.user_attrs:
        study.set_user_attr(_LIMIT, calls)
    return int(study.user_attrs.get(_LIMIT, calls))


def read(attributes: Mapping[str, Any]) -> Rungs:
    """From a study's user attributes."""
    few = {key[len(_FEW) :]: value for key, value in attributes.items() if key.startswith(_FEW)}
    proposing = [value for key, value in attributes.items() if key.startswith(_PROPOSING)]
    return Rungs(
        few={digest: error for digest, (error, _) in few.items()},
        few_s=sum(spent for _, spent in few.values()),
        asked=sum(spent > 0 for _, spent in few.values()),
        limit=int(attributes.get(_LIMIT, 0)),
        proposals=sum(count for count, _ in proposing),
        proposing_s=sum(spent for _, spent in proposing),
    )
