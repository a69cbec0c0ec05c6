"""A study's file under several hands: each waiting trial goes to one process, and readers need no right to write."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import optuna
import pytest
import workers

from mpsearch.candidate import Candidate
from mpsearch.errors import ConfigError
from mpsearch.pareto.limits import Limits
from mpsearch.search import samplers
from mpsearch.space.load import load
from mpsearch.study.ledger import Ledger
from mpsearch.study.run import StudyRun
from mpsearch.study.storage import default_url, open_storage
from mpsearch.testing.studies import small_study
from mpsearch.testing.toy import ToyEvaluator, toy_graph

WAITING = 120
TAKE = """
import sys
import optuna
from mpsearch.study.storage import open_storage
optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.load_study(study_name="toy", storage=open_storage(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
while (number := study._pop_waiting_trial_id()) is not None:
    print(number, flush=True)
"""
TIGHTER = """
import sys
from functools import partial
from mpsearch.pareto.limits import Limits
from mpsearch.search import samplers
from mpsearch.space.load import load
from mpsearch.study.ledger import Ledger
from mpsearch.study.run import StudyRun
from mpsearch.testing.toy import ToyEvaluator, toy_graph
space, limits = load("synap_int8_int16", toy_graph()), Limits(2.0)
ledger = Ledger.create(sys.argv[1], "toy", {"model": "m"}, limits)
sampler = partial(samplers.create, "random", int(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
StudyRun(ledger, space, ToyEvaluator(space.graph), limits=limits, sampler=sampler).run(12)
"""
NOBODY = 65534


def test_workers_started_together_make_one_study_and_measure_nothing_twice(tmp_path: Path) -> None:
    small_study(tmp_path)
    ended = workers.at_once(tmp_path)
    assert [code for code, _ in ended] == [0, 0], ended
    workers.check(Ledger.open(default_url(tmp_path / "mpsearch-runs" / "mpsearch"), "mpsearch"))


def test_workers_that_change_the_budget_together_go_on_with_one_study(tmp_path: Path) -> None:
    url, space = default_url(tmp_path), load("synap_int8_int16", toy_graph())
    ledger = Ledger.create(url, "toy", {"model": "m"}, Limits(3.0))
    sampler = partial(samplers.create, "random", 0)
    StudyRun(ledger, space, ToyEvaluator(space.graph), limits=Limits(3.0), sampler=sampler).run(6)
    argv = [sys.executable, "-c", TIGHTER, url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    both = [subprocess.Popen([*argv, seed], **pipes, text=True) for seed in ("1", "2")]
    for process in both:  # each has opened the study before the other changes it
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.communicate("go\n", timeout=60)
    assert [process.returncode for process in both] == [0, 0]
    after = Ledger.open(url, "toy")
    assert after.trials[:6] == ledger.trials
    assert 12 <= len(after.trials) <= 13
    assert optuna.get_all_study_names(after.storage) == ["toy@2"]


def test_two_processes_never_take_the_same_waiting_trial(tmp_path: Path) -> None:
    url = default_url(tmp_path)
    ledger = Ledger.create(url, "toy", {"model": "m"}, Limits(3.0))
    for place in range(WAITING):
        ledger.study.enqueue_trial({"x": place})
    argv = [sys.executable, "-c", TAKE, url]
    both = [subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    shares = [process.communicate(timeout=60)[0].split() for process in both]
    assert all(process.returncode == 0 for process in both)
    taken = [number for share in shares for number in share]
    assert len(taken) == len(set(taken)) == WAITING
    assert all(shares), "one process was too late to compete"


def test_a_taken_trial_runs_from_now_and_is_not_given_out_again(tmp_path: Path) -> None:
    ledger = Ledger.create(default_url(tmp_path), "toy", {"model": "m"}, Limits(3.0))
    ledger.study.enqueue_trial({})
    first, second = ledger.study.ask(), ledger.study.ask()
    assert first.number == 0
    assert second.number == 1
    assert first.datetime_start is not None


@contextmanager
def read_only(study: Path) -> Iterator[Path]:
    """A folder with the study's files in which nobody may write; root becomes nobody meanwhile."""
    folder = Path(tempfile.mkdtemp(prefix="mpsearch-test-"))
    for file in study.iterdir():
        shutil.copyfile(file, folder / file.name)
        (folder / file.name).chmod(0o444)
    folder.chmod(0o555)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(NOBODY)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def stored(tmp_path: Path) -> Ledger:
    """A study with one finished trial, as a killed process leaves it: most of it still in the write-ahead log."""
    ledger = Ledger.create(default_url(tmp_path), "toy", {"model": "m"}, Limits(3.0))
    trial = ledger.study.ask()
    trial.set_user_attr("record", ToyEvaluator(toy_graph()).evaluate(Candidate()).to_json())
    ledger.study.tell(trial, [1.0, 2.0])
    return ledger


def test_a_study_in_a_read_only_folder_is_read_with_its_write_ahead_log(tmp_path: Path) -> None:
    ledger = stored(tmp_path)
    assert (tmp_path / "study.db-wal").stat().st_size > 0
    ledger.refresh()
    with read_only(tmp_path) as folder:
        before = sorted(file.name for file in folder.iterdir())
        found = Ledger.open(default_url(folder), "toy")
        assert sorted(file.name for file in folder.iterdir()) == before
    assert [trial.record for trial in found.trials] == [trial.record for trial in ledger.trials]


def test_going_on_with_a_read_only_study_says_where_to_write_instead(tmp_path: Path) -> None:
    stored(tmp_path)
    with read_only(tmp_path) as folder, pytest.raises(ConfigError, match="cannot be written") as caught:
        open_storage(default_url(folder))
    assert "--storage" in caught.value.hint


def test_a_trial_that_nobody_took_before_a_kill_is_taken_by_the_next_process(tmp_path: Path) -> None:
    graph, url = toy_graph(), default_url(tmp_path)
    space, limits = load("synap_int8_int16", graph), Limits(3.0)
    ledger = Ledger.create(url, "toy", {"model": "m"}, limits)
    ledger.study.enqueue_trial(space.nearest(space.seeds()[0]))  # ... and killed
    evaluator = ToyEvaluator(graph)
    run = StudyRun(
        ledger, space, evaluator, limits=limits, sampler=partial(samplers.create, "random", 1), seeds=space.seeds()
    )  # fmt: skip
    assert run.run(4).evaluations == len(evaluator.calls) == 4
    assert not ledger.has_waiting()
