"""Overrides say what a candidate means: no more, no less, and the same in both forms."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mpsearch.candidate import Candidate, DataType
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.testing.lab.snpe import overrides as lab
from mpsearch.testing.models import save, small_detector
from mpsearch.toolchain.snpe import clean
from mpsearch.toolchain.snpe.commands import flag_weight_bits
from mpsearch.toolchain.snpe.encodings import Overrides, overrides, tensor_types, to_json
from mpsearch.toolchain.snpe.realised import conversions
from mpsearch.toolchain.snpe.rules import TYPES, illegal
from mpsearch.toolchain.snpe.tools import Family


@cache
def graph() -> ModelGraph:
    with tempfile.TemporaryDirectory() as folder:
        return read(save(small_detector(), Path(folder) / "small.onnx"))


@cache
def largest() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        return clean.largest(clean.constants(read(save(small_detector(), Path(folder) / "small.onnx"))))


CHOOSERS = [unit.name for unit in graph().units if unit.role != "transparent"]
CANDIDATES = st.builds(
    Candidate,
    base=st.sampled_from(["a8w8", "a16w8", "a16w16"]),
    overrides=st.dictionaries(st.sampled_from(CHOOSERS), st.sampled_from(TYPES), max_size=6).map(
        lambda chosen: tuple(chosen.items())
    ),
    dropped=st.sampled_from([(), ("t16",), ("t18",)]),
)
FAMILIES = st.sampled_from(["snpe", "qairt"])


def entries(candidate: Candidate, family: Family) -> Overrides:
    return overrides(graph(), candidate, largest(), weight_bits=flag_weight_bits(candidate, family))


@given(CANDIDATES, FAMILIES)
def test_every_tensor_ends_in_the_type_that_the_candidate_gives_it(candidate: Candidate, family: Family) -> None:
    made = entries(candidate, family).activations
    live = {node.name for node in graph().nodes_behind(t for ts in graph().delivered(candidate).values() for t in ts)}
    for tensor, kind in tensor_types(graph(), candidate).items():
        if graph().producer.get(tensor) not in live:
            assert tensor not in made
        elif tensor in made:
            assert (made[tensor].bits, made[tensor].is_float) == (kind.bits, kind is DataType.FLOAT16)
        else:
            assert kind.bits == candidate.base_type.bits
            assert kind is not DataType.FLOAT16


@given(CANDIDATES, FAMILIES)
def test_weights_end_in_their_width_and_wide_ones_are_symmetric(candidate: Candidate, family: Family) -> None:
    made, types = entries(candidate, family).params, tensor_types(graph(), candidate)
    for node in graph().nodes_behind(t for ts in graph().delivered(candidate).values() for t in ts):
        if node.op_type != "Conv":
            continue
        kind, weight, bias = types[node.outputs[0]], *node.params[:2]
        if kind is DataType.FLOAT16:
            assert made[weight].is_float
            assert made[bias].is_float
            continue
        entry = made.get(weight)
        bits = entry.bits if entry is not None else flag_weight_bits(candidate, family)
        assert bits == kind.weight_bits
        assert bias not in made
        if entry is not None:
            assert entry.symmetric
            assert entry.offset == -(2 ** (bits - 1))
            assert entry.scale is not None
            assert entry.scale * (0x7F7F if bits == 16 else 127) >= largest()[weight] * (1 - 1e-9)


@given(CANDIDATES, FAMILIES)
def test_both_forms_of_the_file_are_accepted_and_mean_the_same(candidate: Candidate, family: Family) -> None:
    made = entries(candidate, family)
    read_back = []
    with tempfile.TemporaryDirectory() as folder:
        for schema in ("0.5.0", "1.0.0"):
            path = Path(folder) / f"{schema}.json"
            path.write_text(to_json(made, schema))  # type: ignore[arg-type]
            read_back.append(lab.read(path))
    keyed, listed = read_back
    for name, entry in (*made.activations.items(), *made.params.items()):
        one, other = ({**form.activations, **form.params}[name] for form in (keyed, listed))
        assert (one.bits, one.kind, one.scale, one.offset) == (other.bits, other.kind, other.scale, other.offset)
        assert (one.kind == "float") == entry.is_float


@given(CANDIDATES)
def test_the_keyed_form_has_strings_where_the_vendors_parser_calls_lower(candidate: Candidate) -> None:
    data = json.loads(to_json(entries(candidate, "snpe")))
    assert set(data) == {"version", "activation_encodings", "param_encodings"}
    for section in ("activation_encodings", "param_encodings"):
        for listed in data[section].values():
            for entry in listed:
                assert entry["dtype"] in ("int", "float")
                assert isinstance(entry.get("is_symmetric", ""), str)
                assert ("min" in entry) == ("max" in entry) == ("scale" in entry) == ("offset" in entry)


@given(CANDIDATES)
def test_only_borders_between_types_are_converted(candidate: Candidate) -> None:
    types = {(kind.bits, kind is DataType.FLOAT16) for kind in tensor_types(graph(), candidate).values()}
    converted = conversions(graph(), candidate)
    assert len(types) > 1 or not converted
    assert len(set(converted)) == len(converted)


@given(CANDIDATES)
def test_what_the_rules_allow_has_wide_activations_at_wide_weights(candidate: Candidate) -> None:
    per_channel = Candidate(
        candidate.base, overrides=candidate.overrides, dropped=candidate.dropped, options=(("weights", "per_channel"),)
    )
    wide = [
        unit
        for unit in graph().live(candidate)
        if unit.kind in ("conv", "depthwise") and graph().assign(candidate)[unit.name] is DataType.A16W16
    ]
    assert not illegal(graph(), candidate)
    assert bool(illegal(graph(), per_channel)) == bool(wide)
