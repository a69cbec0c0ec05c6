"""What the search itself cost, as the study keeps it."""

from __future__ import annotations

import optuna

from mpsearch.search.guided import rungs


def test_what_an_earlier_process_paid_for_keeps_its_price() -> None:
    study = optuna.create_study()
    rungs.Notes().note(study, {"a": (3.0, 1.5), "b": (None, 0.5)}, 0, 2.5)
    rungs.Notes().note(study, {"a": (3.0, 0.0), "b": (None, 0.0), "c": (4.0, 0.25)}, 0, 0.5)
    found = rungs.read(study.user_attrs)
    assert (found.asked, found.few_s) == (3, 2.25)
    assert (found.error_of("a"), found.error_of("b"), found.error_of("c")) == (3.0, None, 4.0)


def test_the_first_limit_is_the_studys() -> None:
    study = optuna.create_study()
    assert rungs.limit(study, 5) == 5
    assert rungs.limit(study, 15) == 5
    assert rungs.read(study.user_attrs).limit == 5
