"""Which kinds of layers are bad across models: planted badness is found, and nothing is where nothing is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpsearch.errors import DataError
from mpsearch.layers.across import Kind, across, agreement
from mpsearch.layers.tables import Entry, Table, read

OPS = ("Conv", "Relu", "Add", "Concat", "Resize")


def table(name: str, *, seed: int, bad: str = "", times: float = 5.0, layers: int = 80) -> Table:
    """Errors that grow tenfold with depth and scatter, those of ``bad`` so many times greater."""
    rng = np.random.default_rng(seed)
    entries = []
    for index in range(layers):
        op, position = OPS[int(rng.integers(len(OPS)))], index / (layers - 1)
        error = 10 ** (-3 + position + rng.normal(0, 0.15)) * (times if op == bad else 1)
        values = {"CosSim": 1 - error, "MSE": None, "SAR": None, "PearsonR": None, "DKL": None}
        entries.append(Entry(f"l{index}_{op}", values, op, "", "SiLU" if index % 2 else "Relu", position))
    return Table(name, tuple(entries))


def by_kind(found: tuple[Kind, ...]) -> dict[str, Kind]:
    return {kind.kind: kind for kind in found}


def test_a_kind_that_is_worse_in_every_model_is_found_with_its_factor() -> None:
    found = across([table(f"m{seed}", seed=seed, bad="Resize") for seed in range(3)])
    kind = by_kind(found)["Resize"]
    assert kind.verdict == "worse"
    assert (kind.models, kind.worse_in, kind.worse) == (3, 3, 1.0)
    # Its own layers lift the usual error as well: 5 ** 0.8 where a fifth of all layers is of the kind.
    assert kind.low < 5**0.8 < kind.high
    assert "l" in kind.worst
    assert kind.worst.endswith("_Resize")
    assert next(k for k in found if k.by == "op").kind == "Resize", "ranked first"


def test_where_nothing_is_bad_nothing_is_surely_far_off() -> None:
    found = [kind for kind in across([table(f"m{seed}", seed=seed) for seed in range(4)]) if kind.by == "op"]
    assert all(0.8 < kind.factor < 1.25 for kind in found)
    assert all(kind.low < 1.1 and kind.high > 0.9 for kind in found)


def test_depth_is_not_mistaken_for_a_kind() -> None:
    entries = table("m", seed=1).entries
    deep = tuple(Entry(e.layer, e.values, "Late" if e.position > 0.7 else "Early", "", "", e.position) for e in entries)
    kinds = by_kind(across([Table("m", deep)]))
    assert 0.8 < kinds["Late"].factor < 1.25
    assert kinds["last third"].verdict == "worse"
    assert kinds["first third"].verdict == "better"


def test_kinds_by_what_is_in_front_of_them_need_tables_that_say_it() -> None:
    kinds = by_kind(across([table("m", seed=2)]))
    assert {"Conv after SiLU", "Conv after Relu"} <= kinds.keys()


def test_the_same_tables_give_the_same_answer() -> None:
    tables = [table("a", seed=1), table("b", seed=2)]
    assert across(tables) == across(tables)


def test_a_model_that_disagrees_makes_it_less_sure() -> None:
    agreeing = across([table(f"m{seed}", seed=seed, bad="Add") for seed in range(3)])
    one_of_three = across([table(f"m{seed}", seed=seed, bad="Add" if seed == 0 else "") for seed in range(3)])
    sure, unsure = by_kind(agreeing)["Add"], by_kind(one_of_three)["Add"]
    assert sure.verdict == "worse"
    assert unsure.low < sure.low
    assert unsure.high - unsure.low > 0


def test_exact_layers_and_layers_without_numbers_do_no_harm() -> None:
    entries = table("m", seed=3).entries
    broken = [Entry(e.layer, {**e.values, "CosSim": None}, e.op_type, "", "", e.position) for e in entries[:5]]
    exact = [Entry(e.layer, {**e.values, "CosSim": 1.0}, e.op_type, "", "", e.position) for e in entries[5:10]]
    found = across([Table("m", (*broken, *exact, *entries[10:]))])
    assert sum(kind.layers for kind in found if kind.by == "op") == 75
    assert all(np.isfinite(kind.factor) for kind in found)


def test_runs_of_one_network_are_compared_layer_by_layer() -> None:
    first = table("a", seed=1)
    assert agreement(first, first) == (80, pytest.approx(1.0))
    assert agreement(first, table("b", seed=9, layers=2)) is None
    assert agreement(first, Table("c", first.entries[:2])) is None


def test_nothing_to_look_at_is_refused() -> None:
    with pytest.raises(DataError, match="no run"):
        across([])
    empty = Entry("a", {"CosSim": None}, "Conv", "", "", 0.0)
    with pytest.raises(DataError, match="m: no layer has a CosSim"):
        across([Table("m", (empty,))])


def test_of_the_published_model_the_reg_convolution_is_the_worst(shared: Path) -> None:
    found = by_kind(across([read(shared / "reference" / "snpe_yolov6n_layer_similarity.csv")]))
    assert found["MaxPool"].verdict == "better"
    assert found["last third"].verdict == "worse"
