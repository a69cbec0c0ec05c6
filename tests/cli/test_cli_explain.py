"""``mpsearch explain``, and what ``run`` says at its beginning and end."""

from __future__ import annotations

import json
import re
from pathlib import Path

from cli_types import Run


def test_it_shows_models_rungs_groups_cuts_and_switches(folder: Path, run: Run) -> None:
    assert run("run", "--trials", "10").code == 0
    shown = run("explain")
    assert shown.code == 0, shown.err
    for title in ("each trial predicted from all others", "What was spent where", "Groups", "Changes of type"):
        assert title in shown.out
    spreads = re.findall(r"(\S+) \+- (\S+)", shown.out)
    assert spreads
    assert all(float(spread) > 0 or spread == "0" for _, spread in spreads)
    rows = json.loads(run("explain", "--format", "json").out)
    by_part = {part: [row for row in rows if row["part"] == part] for part in ("models", "rungs", "groups")}
    assert [row["model"] for row in by_part["models"]] == ["latency", "error"]
    assert by_part["models"][0]["expected_from"] == "the cost model"
    assert all(row["trials"] == 10 and 0 <= row["coverage_95"] <= 1 for row in by_part["models"])
    spent = {row["rung"]: row for row in by_part["rungs"]}
    assert spent["few photographs"]["calls"] > 0
    assert spent["few photographs"]["limit"] >= spent["few photographs"]["calls"]
    assert spent["all photographs"]["calls"] == 10
    assert sum(row["share"] for row in spent.values()) > 0.99
    assert abs(sum(row["share_of_error"] for row in by_part["groups"]) - 1) < 0.01


def test_one_trial_is_too_little_to_explain(folder: Path, run: Run) -> None:
    run("run", "--trials", "1", "--no-final")
    refused = run("explain")
    assert refused.code == 2
    assert "two measured trials" in refused.err


def test_the_end_compares_with_the_best_tail_and_says_that_a_simulated_latency_has_no_interval(
    folder: Path, run: Run
) -> None:
    ran = run("run", "--trials", "6")
    assert "in the end: trial" in ran.err
    assert "without an interval" in ran.err
    assert "tail" in ran.err.split("in the end:")[1]
    assert "in the end" not in run("run", "--trials", "6", "--no-final").err


def test_a_budget_that_cannot_be_met_is_said_before_the_first_trial_with_what_would_change_it(
    folder: Path, run: Run
) -> None:
    ran = run("run", "--trials", "3", "--budget-ms", "0.25")
    warning = ran.err.split("warning: ")[1]
    assert "cannot be met" in warning
    assert "units: the slowest are" in warning
    assert ran.err.index("cannot be met") < ran.err.index("nothing within the budget")
    assert ran.code == 4
