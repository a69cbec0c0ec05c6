"""A metafile means the same to the worker as to the parser and the writer, which were written apart from it."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpsearch.candidate import Candidate, DataType
from mpsearch.graph.model import ModelGraph, Role
from mpsearch.graph.read import read
from mpsearch.testing.models import save, small_detector
from mpsearch.toolchain.acuity.worker.datatypes import HYBRID, Layers, Refused, base_of, exceptions, scheme_of
from mpsearch.toolchain.acuity.worker.engine import _stacking
from mpsearch.toolchain.synap.metafile import MetafileIO, render
from mpsearch.toolchain.synap.net import LayerNet, build, edge
from mpsearch.toolchain.synap.semantics import MapError, interpret

KINDS = ("uint8", "int16", "float16")


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> ModelGraph:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    save(small_detector(), path)
    return read(path)


def engine_of(net: LayerNet) -> Layers:
    """The same layers as the worker would see them."""
    parents = {str(i): [str(parent) for parent in layer.parents] for i, layer in enumerate(net.layers)}
    read_by = {parent for several in parents.values() for parent in several}
    outputs = [lid for lid in parents if lid not in read_by]
    return Layers(parents, ["0"], outputs, {key: str(index) for key, index in net.index.items()})


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_random_maps_mean_the_same_or_are_refused_by_both(graph: ModelGraph, data: st.DataObject) -> None:
    net = build(graph, Candidate())
    names = sorted(net.index)
    keys = st.sampled_from(["*", "INPUTS", "nothere", "@nothere", *names, *(f"{name}..." for name in names)])
    entries = data.draw(st.dictionaries(keys, st.sampled_from(KINDS), min_size=1, max_size=6))
    try:
        ours = interpret({key: DataType(kind) for key, kind in entries.items()}, net)
    except MapError:
        ours = None
    try:
        base, mixed = base_of(entries)
        moved = exceptions(entries, base, engine_of(net)) if mixed else {}
    except (Refused, KeyError):
        assert ours is None
        return
    if ours is None:
        # Only our parser knows that a base of float16 is none, and it warns of base entries in a map of one type too.
        assert base == "float16" or not mixed
        return
    words = {word: kind for kind, word in HYBRID.items()}
    assert [words.get(moved.get(str(i), ""), base) for i in range(len(net.layers))] == [str(kind) for kind in ours]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_what_is_rendered_gives_every_layer_its_type_and_inserted_layers_that_of_what_they_carry(
    graph: ModelGraph, data: st.DataObject
) -> None:
    chosen = [unit.name for unit in graph.units if unit.role is not Role.TRANSPARENT]
    moved = data.draw(st.lists(st.sampled_from(chosen), min_size=1, unique=True))
    candidate = Candidate("uint8", overrides=tuple((unit, DataType.INT16) for unit in moved))
    plain = build(graph, candidate)
    ids = {node.name: f"id-{node.name}" for node in graph.nodes} | {f"output:{o}": f"out-{o}" for o in graph.outputs}
    for node in graph.nodes:
        for tensor in node.inputs:
            if tensor in graph.producer and graph.unit_of[graph.producer[tensor]] != graph.unit_of[node.name]:
                ids[edge(tensor, node.name)] = f"perm-{tensor}-{node.name}"
    rendered = render(graph, candidate, MetafileIO(), target="VS680", model_path="m.onnx", layer_ids=ids)
    assert not rendered.unresolved
    net = build(graph, candidate, layer_ids=ids)
    types = yaml.safe_load(rendered.text)["quantization"]["data_type"]
    wanted = graph.assign(candidate)
    assert len(net.layers) == len(plain.layers)
    for layer, kind in zip(net.layers, interpret({k: DataType(v) for k, v in types.items()}, net), strict=True):
        if layer.unit is not None:
            assert kind == wanted[layer.unit], layer.label


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_layer_that_the_importer_inserts_once_for_several_readers_is_one_layer(
    graph: ModelGraph, data: st.DataObject
) -> None:
    """``@perm...`` reaches all that read it, so it must not stand for one reader alone."""
    chosen = [unit.name for unit in graph.units if unit.role is not Role.TRANSPARENT]
    moved = data.draw(st.lists(st.sampled_from(chosen), min_size=1, unique=True))
    candidate = Candidate("uint8", overrides=tuple((unit, DataType.INT16) for unit in moved))
    ids = {node.name: f"id-{node.name}" for node in graph.nodes} | {f"output:{o}": f"out-{o}" for o in graph.outputs}
    shared = {edge(tensor, node.name): f"perm-{tensor}" for node in graph.nodes for tensor in node.inputs}
    net = build(graph, candidate, layer_ids={**ids, **shared})
    perms = [layer.key for layer in net.layers if layer.key is not None and layer.key.startswith("@perm-")]
    assert perms
    assert len(perms) == len(set(perms))
    rendered = render(graph, candidate, MetafileIO(), target="VS680", model_path="m.onnx", layer_ids={**ids, **shared})
    types = yaml.safe_load(rendered.text)["quantization"]["data_type"]
    wanted = graph.assign(candidate)
    for layer, kind in zip(net.layers, interpret({k: DataType(v) for k, v in types.items()}, net), strict=True):
        if layer.unit is not None:
            assert kind == wanted[layer.unit], layer.label


@pytest.mark.parametrize(
    ("data_type", "expected"),
    [
        ("uint8", ("uint8", False)),
        ("int16", ("int16", False)),
        ({"*": "uint8"}, ("uint8", False)),
        ({"*": "int16", "a": "uint8"}, ("uint8", True)),
        ({"a": "int16"}, ("uint8", True)),
        ({"*": "int8", "a": "float16"}, ("int8", True)),
    ],
)
def test_the_first_pass_takes_the_8_bit_type_of_a_map(data_type: object, expected: tuple[str, bool]) -> None:
    assert base_of(data_type) == expected


@pytest.mark.parametrize("data_type", ["float16", {"a": "uint8", "b": "int8"}])
def test_what_the_toolkit_refuses_is_refused(data_type: object) -> None:
    with pytest.raises(Refused):
        base_of(data_type)


def test_the_scheme_that_nobody_named_is_the_toolkits() -> None:
    assert scheme_of({}, "uint8") == "asymmetric_affine"
    assert scheme_of({"scheme": "default"}, "int8") == "dynamic_fixed_point"
    assert scheme_of({"scheme": "perchannel_symmetric_affine"}, "int8") == "perchannel_symmetric_affine"


def test_a_tail_excludes_its_root_and_what_leads_to_no_output() -> None:
    layers = Layers({"in": [], "a": ["in"], "b": ["a"], "dead": ["a"], "out": ["b"]}, ["in"], ["out"], {"A": "a"})
    assert layers.meant("A...") == ["b", "out"]
    assert layers.meant("@b...") == ["out"]
    assert layers.meant("INPUTS") == ["in"]


@given(data=st.data())
def test_stacking_a_whole_array_gives_what_stacking_its_parts_gives(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    kind = data.draw(st.sampled_from([np.float32, np.uint8, np.int64]))
    whole = data.draw(arrays(kind, tuple(shape)))
    fast, slow = _stacking(np.stack)(whole), np.stack(list(whole))
    assert (fast.dtype, fast.shape, fast.tobytes()) == (slow.dtype, slow.shape, slow.tobytes())
    assert not np.shares_memory(fast, whole)


def test_stacking_anything_else_is_numpys() -> None:
    stacked = _stacking(np.stack)
    assert stacked([np.zeros(2), np.ones(2)], axis=1).tolist() == [[0, 1], [0, 1]]
    with pytest.raises(ValueError, match="at least one"):
        stacked(np.zeros(0))
