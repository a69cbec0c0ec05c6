"""A study in a real PostgreSQL server: started here on loopback, on a free port, stopped at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
import workers

from mpsearch.pareto.limits import Limits
from mpsearch.search import samplers
from mpsearch.space.load import load
from mpsearch.space.space import SearchSpace
from mpsearch.study.ledger import Ledger
from mpsearch.study.run import StudyRun
from mpsearch.testing.studies import small_study
from mpsearch.testing.toy import ToyEvaluator, toy_graph

pytest.importorskip("psycopg2", reason="needs the PostgreSQL driver: pip install psycopg2-binary")


def _tools() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("needs a PostgreSQL server: apt-get install postgresql")
    return found[-1].parent


def _as_postgres(argv: list[str]) -> list[str]:
    """The server refuses to run as root."""
    return argv if os.geteuid() else ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *argv]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    tools = _tools()
    # pytest's own folders belong to root alone, so the server's lies beside them.
    folder = Path("/tmp") / f"mpsearch-pg-{os.getpid()}"
    folder.mkdir(mode=0o755)
    if not os.geteuid():
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    init = [str(tools / "initdb"), "-D", str(data), "-U", "tester", "--auth=trust", "--no-sync"]
    subprocess.run(_as_postgres(init), check=True, capture_output=True, cwd=folder)
    control = [str(tools / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log")]
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
    subprocess.run(_as_postgres([*control, "-o", options, "start"]), check=True, capture_output=True, cwd=folder)
    try:
        yield f"postgresql+psycopg2://tester@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run(_as_postgres([*control, "-m", "immediate", "stop"]), check=True, capture_output=True, cwd=folder)
        shutil.rmtree(folder)


def _run(url: str, space: SearchSpace, total: int, limits: Limits) -> Ledger:
    ledger = Ledger.create(url, "shared", {"model": "toy"}, limits)
    StudyRun(
        ledger, space, ToyEvaluator(space.graph), limits=limits, seeds=space.seeds(),
        sampler=lambda trials: samplers.create("tpe", 0, trials),
    ).run(total)  # fmt: skip
    return ledger


def test_a_study_runs_resumes_and_changes_its_budget_on_postgresql(url: str) -> None:
    space = load("synap_int8_int16", toy_graph())
    first = _run(url, space, 10, Limits(budget_ms=20.0))
    again = _run(url, space, 16, Limits(budget_ms=20.0))
    assert len(again.trials) == 16
    assert again.trials[: len(first.trials)] == first.trials
    tighter = _run(url, space, 18, Limits(budget_ms=10.0))
    assert tighter.trials[:16] == again.trials
    assert len(Ledger.open(url, "shared").trials) == 18


def test_workers_started_together_on_an_empty_database_make_one_study(url: str, tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("CREATE DATABASE empty"))
    engine.dispose()
    fresh = url.rpartition("/")[0] + "/empty"
    small_study(tmp_path)
    ended = workers.at_once(tmp_path, "--storage", fresh)
    assert [code for code, _ in ended] == [0, 0], ended
    workers.check(Ledger.open(fresh, "mpsearch"))


def test_an_unreachable_server_is_named_without_its_password(url: str) -> None:
    from mpsearch.errors import ConfigError

    wrong = url.replace("tester@", "tester:secret@").rsplit(":", 1)[0] + ":1/postgres"
    with pytest.raises(ConfigError) as error:
        Ledger.create(wrong, "shared", {}, Limits())
    assert "127.0.0.1" in str(error.value)
    assert "secret" not in str(error.value)
