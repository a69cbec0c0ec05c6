"""Several ``mpsearch run`` started together on a study that nobody has made yet, and what they measured."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from mpsearch.study.ledger import DIGEST, DUPLICATE_OF, RECORD, TWIN, Ledger

ASKED = 8
MAIN = "import sys; from mpsearch.cli import main; sys.exit(main())"


def at_once(folder: Path, *options: str, count: int = 2, study: str = "mpsearch.yaml") -> list[tuple[int, str]]:
    """Code and standard error of each; ``options`` are those of all, but for ``{n}``, a worker's own number."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", MAIN, "run", study, "--trials", str(ASKED), "--no-final"]
    started = [
        subprocess.Popen(
            [*words, *(option.format(n=number) for option in options)],
            cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for number in range(count)
    ]  # fmt: skip
    said = [process.communicate(timeout=120)[1] for process in started]
    return [(process.returncode, text) for process, text in zip(started, said, strict=True)]


def check(ledger: Ledger, count: int = 2) -> None:
    """No candidate was measured twice, nor was its twin; and what was in flight at the end is all that is too many."""
    trials = ledger.study.get_trials(deepcopy=False)
    measured = [trial.user_attrs for trial in trials if RECORD in trial.user_attrs]
    names = Counter(attributes.get(TWIN, attributes[DIGEST]) for attributes in measured)
    assert set(names.values()) == {1}
    assert not any(DUPLICATE_OF in attributes for attributes in measured)
    assert ASKED <= len(ledger.trials) <= ASKED + count - 1
