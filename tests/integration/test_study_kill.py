"""A process that is killed loses its running trial and nothing else; several processes share a study."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from mpsearch.candidate import Candidate
from mpsearch.pareto.limits import Limits
from mpsearch.study import owner
from mpsearch.study.ledger import Ledger
from mpsearch.study.storage import default_url
from mpsearch.testing.toy import ToyEvaluator, toy_graph

SCRIPT = """
import sys
from functools import partial
from mpsearch.pareto.limits import Limits
from mpsearch.search import samplers
from mpsearch.space.load import load
from mpsearch.study.ledger import Ledger
from mpsearch.study.run import StudyRun
from mpsearch.testing.toy import ToyEvaluator, toy_graph

url, total, sleep_s, seed = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
graph, limits = toy_graph(), Limits(3.0)
space = load("synap_int8_int16", graph)
ledger = Ledger.create(url, "toy", {"model": graph.digest}, limits)
evaluator = ToyEvaluator(graph, sleep_s=sleep_s)
sampler = partial(samplers.create, "random", seed)
run = StudyRun(ledger, space, evaluator, limits=limits, sampler=sampler, seeds=space.seeds(),
               on_trial=lambda number, *_: print(number, flush=True))
run.run(total)
"""


def start(url: str, total: int, *, sleep_s: float = 0.0, seed: int = 1) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", SCRIPT, url, str(total), str(sleep_s), str(seed)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> list[int]:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return [int(line) for line in out.split()]


def test_a_killed_study_resumes_without_losing_a_finished_trial(tmp_path: Path) -> None:
    url = default_url(tmp_path)
    process = start(url, 12, sleep_s=0.15)
    assert process.stdout is not None
    finished = [int(process.stdout.readline()) for _ in range(4)]
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    before = Ledger.open(url, "toy")
    kept = {trial.number: trial.record for trial in before.trials}
    assert set(finished) <= set(kept)

    finish(start(url, 12))
    after = Ledger.open(url, "toy")
    assert len(after.trials) == 12
    assert {n: r for n, r in ((t.number, t.record) for t in after.trials) if n in kept} == kept
    left = [trial.state for trial in after.study.get_trials(deepcopy=False)]
    assert TrialState.RUNNING not in left
    assert TrialState.WAITING not in left


def test_a_record_whose_process_died_before_telling_is_kept(tmp_path: Path) -> None:
    graph, url = toy_graph(), default_url(tmp_path)
    ledger = Ledger.create(url, "toy", {"model": graph.digest}, Limits(3.0))
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    record = ToyEvaluator(graph).evaluate(Candidate())
    trial = ledger.study.ask()
    trial.set_user_attr("owner", {**owner.me(), "pid": int(child.stdout)})
    trial.set_user_attr("record", record.to_json())
    assert ledger.sweep() == 1
    assert [found.record for found in ledger.trials] == [record]
    assert ledger.study.trials[trial.number].state is TrialState.FAIL
    assert ledger.study.trials[-1].constraints == Limits(3.0).violations(record)


@pytest.mark.parametrize("total", [16])
def test_two_processes_share_a_study(tmp_path: Path, total: int) -> None:
    url = default_url(tmp_path)
    Ledger.create(url, "toy", {"model": toy_graph().digest}, Limits(3.0))
    both = [start(url, total, sleep_s=0.05, seed=seed) for seed in (1, 2)]
    shares = [finish(process) for process in both]
    ledger = Ledger.open(url, "toy")
    assert total <= len(ledger.trials) <= total + 1
    assert all(shares)
