"""A study through the lab, killed once and resumed: ``python -m mpsearch.testing.lab.show STUDY --via ssh``.

Prints the front. The board's numbers are the cost model's; what is shown is the way there and back.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from mpsearch import config
from mpsearch.pareto.front import Trial
from mpsearch.search.session import How, open_session
from mpsearch.study.ledger import Ledger
from mpsearch.study.summary import Summary
from mpsearch.testing.lab.bench import Lab
from mpsearch.testing.lab.snpe.bench import SnpeLab

_POLL_S = 0.1


def run(study: Path, board: Path, storage: str, trials: int) -> Ledger:
    """Search on a board until the study holds ``trials`` candidates."""
    how = How(trials, target=str(board), storage=storage)
    session = open_session((config.load(study),), how, on_trial=_on_trial, say=_say)
    try:
        session.search.run(trials)
    finally:
        session.close()
    return session.stored.parts[0].ledger


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _on_trial(trial: Trial, summary: Summary) -> None:
    seconds = sum(trial.record.stage_s.values())
    _say(f"trial {trial.number}: {type(trial.record.outcome).__name__} in {seconds:.1f} s")


def killed_once(argv: list[str], log: Path, after: int) -> int:
    """Start a run, kill it without warning when it has told of ``after`` trials; returns how many it had."""
    with log.open("wb") as output:
        started = subprocess.Popen(argv, stdout=output, stderr=output, start_new_session=True)
        while started.poll() is None and log.read_bytes().count(b"\ntrial ") < after:
            time.sleep(_POLL_S)
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()
    return log.read_bytes().count(b"\ntrial ")


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--via", choices=("ssh", "adb", "local"), default="ssh")
    parser.add_argument("--tools", choices=("synap", "snpe"), default="synap")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--kill-after", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=Path("mpsearch-lab"))
    parser.add_argument("--board", type=Path, help="internal: go on with this board, start no lab")
    options = parser.parse_args()
    folder = options.folder.resolve()
    storage = f"sqlite:///{folder}/study-{options.via}.db"
    if options.board:
        ledger = run(options.study, options.board, storage, options.trials)
        print(f"{len(ledger.trials)} trials")
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (SnpeLab if options.tools == "snpe" else Lab)(folder) as lab:
        board = lab.board_file(options.via)
        argv = [sys.executable, "-m", "mpsearch.testing.lab.show", str(options.study), "--via", options.via]
        argv += ["--trials", str(options.trials), "--folder", str(folder), "--board", str(board)]
        done = killed_once(argv, folder / f"first-{options.via}.log", options.kill_after)
        _say(f"killed after {done} trials; resuming")
        ledger = run(options.study, board, storage, options.trials)
    measured = [trial for trial in ledger.trials if trial.objectives is not None]
    print(f"{len(ledger.trials)} trials, {len(measured)} measured, {done} of them before the kill")
    for trial in sorted(measured, key=lambda t: t.objectives or (0.0, 0.0)):
        if trial.objectives is not None:
            print(f"  trial {trial.number}: {trial.objectives[0]:.3f} ms, {trial.objectives[1]:.4g} px2")


if __name__ == "__main__":
    main()
