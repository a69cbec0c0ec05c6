"""The metafiles of Synaptics' model import walk-through, as values, from candidates on its own graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from mpsearch.candidate import Algorithm, Candidate, DataType
from mpsearch.graph.model import ModelGraph, Role
from mpsearch.graph.read import read
from mpsearch.toolchain.synap.layers import read_ids, read_map
from mpsearch.toolchain.synap.metafile import MetafileIO, Rendered, render
from mpsearch.toolchain.synap.parse import parse

ANCHORS = "[[],[],[],[4,5,8,10,13,16],[23,29,43,55,73,105],[146,217,231,300,335,433]]"
IO = MetafileIO(means=(0, 0, 0), scale=255, output_format=f"yolov5 landmarks=5 anchors={ANCHORS}")
CUTS = (("output_0", ("349",)), ("output_1", ("369",)), ("output_2", ("389",)))
MIDDLE = Candidate(cuts=CUTS[1:2], dropped=("output_0", "output_2"))

UNCUT = f"""
outputs:
  - dequantize: true
    format: yolov5 landmarks=5 anchors={ANCHORS}
  - dequantize: true
  - dequantize: true
"""
CUT = f"""
outputs:
  - dequantize: true
    name: "349"
    format: yolov5 landmarks=5 transposed=1 anchors={ANCHORS}
  - dequantize: true
    name: "369"
  - dequantize: true
    name: "389"
"""
ONE = """
outputs:
  - name: "369"
    format: yolov5 landmarks=5 transposed=1 anchors=[[],[],[],[],[23,29,43,55,73,105]]
    dequantize: true
"""
INPUT = """
inputs:
  - means: [0, 0, 0]
    scale: 255
"""
UINT8 = """
quantization:
    data_type: uint8
    scheme: asymmetric_affine
    dataset:
        - qdataset/*.jpg
"""
MIXED = """
quantization:
    data_type:
        '*': uint8 # Default data type
        Concat_155...: int16 # Data type for network head
    dataset:
        - qdataset/*.jpg
"""


@pytest.fixture(scope="module")
def graph(shared: Path) -> ModelGraph:
    return read(shared / "data" / "models" / "yolov5s_face_480x640_untrained.onnx")


def head_in_int16(graph: ModelGraph, candidate: Candidate) -> Candidate:
    units = graph.units_after("Concat_155", candidate)
    choosing = sorted(name for name in units if graph.unit[name].role is not Role.TRANSPARENT)
    return replace(candidate, overrides=tuple((name, DataType.INT16) for name in choosing))


def rendered(graph: ModelGraph, candidate: Candidate, io: MetafileIO = IO) -> Rendered:
    made = render(graph, candidate, io, target="vs680", model_path="yolov5s_face_480x640.onnx", meta_path="yolo.yaml")
    assert made.unresolved == ()
    return made


def check(graph: ModelGraph, candidate: Candidate, expected: str, io: MetafileIO = IO) -> None:
    made = rendered(graph, candidate, io)
    document: dict[str, Any] = yaml.safe_load(expected)
    assert yaml.safe_load(made.text) == document
    back = parse(expected, graph)
    assert back.candidate == candidate
    assert back.notes == ()


def test_first_metafile_with_nothing_but_rgb(graph: ModelGraph) -> None:
    wrong = replace(IO, means=(), scale=None, input_format="rgb")
    check(graph, Candidate(), f"inputs:\n  - format: rgb\n{UNCUT}{UINT8}", wrong)


def test_fixed_metafile_with_means_and_scale(graph: ModelGraph) -> None:
    check(graph, Candidate(), INPUT + UNCUT + UINT8)


def test_outputs_cut_before_reshape_and_transpose(graph: ModelGraph) -> None:
    check(graph, Candidate(cuts=CUTS), INPUT + CUT + UINT8)


def test_one_single_image_as_dataset(graph: ModelGraph) -> None:
    check(
        graph,
        Candidate(cuts=CUTS),
        INPUT + CUT + UINT8.replace("*", "face_720p"),
        replace(IO, dataset=("qdataset/face_720p.jpg",)),
    )


def test_per_channel(graph: ModelGraph) -> None:
    quantization = UINT8.replace("uint8", "int8").replace("asymmetric", "perchannel_symmetric")
    check(graph, Candidate("int8-pc", cuts=CUTS), INPUT + CUT + quantization)


def test_kl_divergence(graph: ModelGraph) -> None:
    quantization = UINT8.replace("    dataset", "    algorithm: kl_divergence\n    dataset")
    check(graph, Candidate(algorithm=Algorithm.KL_DIVERGENCE, cuts=CUTS), INPUT + CUT + quantization)


def test_int16(graph: ModelGraph) -> None:
    quantization = "quantization:\n  data_type: int16\n  dataset:\n  - qdataset/*.jpg\n"
    check(graph, Candidate("int16", cuts=CUTS), INPUT + CUT + quantization)


def test_mixed_with_the_head_in_int16(graph: ModelGraph) -> None:
    check(graph, head_in_int16(graph, Candidate(cuts=CUTS)), INPUT + CUT + MIXED)


def test_final_version_with_one_output(graph: ModelGraph) -> None:
    check(graph, head_in_int16(graph, MIDDLE), INPUT + ONE + MIXED)


def test_preprocessing_on_the_npu(graph: ModelGraph) -> None:
    block = "    preprocess:\n        type: nv12\n        size: [1024, 768]\n"
    camera = replace(head_in_int16(graph, MIDDLE), preprocess="nv12:1024x768")
    check(graph, camera, INPUT + block + ONE + MIXED)


def test_the_command_line(graph: ModelGraph) -> None:
    assert " ".join(rendered(graph, Candidate()).argv) == (
        "synap convert --model yolov5s_face_480x640.onnx --meta yolo.yaml --target VS680 --out-dir compiled"
    )


CASES = {
    "uint8": Candidate(),
    "float16": Candidate("float16", cuts=CUTS),
    "int8-dfp_moving-average": Candidate("int8-dfp", Algorithm.MOVING_AVERAGE),
    "int8-pc_heads-float16": Candidate(
        "int8-pc", overrides=tuple((f"Conv_{n}", DataType.FLOAT16) for n in (212, 213, 214)), cuts=CUTS
    ),
    "uint8_heads-and-outputs-int16": Candidate(
        overrides=tuple((unit, DataType.INT16) for n in range(3) for unit in (f"Conv_{212 + n}", f"output:output_{n}")),
        cuts=CUTS,
    ),
    "uint8_islands": Candidate(
        overrides=(("Conv_159", DataType.INT16), ("Conv_165", DataType.FLOAT16), ("Add_43", DataType.INT16)),
        cuts=CUTS,
    ),
    "int16_uint8-islands": Candidate(
        "int16", overrides=(("Conv_159", DataType.UINT8), ("Conv_6", DataType.UINT8)), cuts=CUTS
    ),
    "middle-output_nv12": replace(MIDDLE, preprocess="nv12:1024x768"),
}


@pytest.mark.parametrize("name", CASES)
def test_our_own_text_stays_the_same_to_the_byte(graph: ModelGraph, root: Path, name: str) -> None:
    """After a wanted change write the files anew: see the assertion's message."""
    path = root / "tests" / "golden" / "synap" / f"{name}.yaml"
    text = rendered(graph, CASES[name]).text
    assert path.is_file(), f"no golden file {path}; if this text is right, save it there:\n{text}"
    assert text.encode() == path.read_bytes(), f"if the new text is right, save it as {path}:\n{text}"


@pytest.mark.parametrize("name", CASES)
def test_golden_metafiles_read_back_as_their_candidates(graph: ModelGraph, root: Path, name: str) -> None:
    text = (root / "tests" / "golden" / "synap" / f"{name}.yaml").read_text()
    back = parse(text, graph, source=name)
    assert back.candidate == CASES[name]


def test_hand_written_heads_may_name_their_output_layers_by_the_inferred_key(graph: ModelGraph) -> None:
    entries = "".join(f"    Conv_{n}: int16\n    Conv_Conv_{n}/out0: int16\n" for n in (212, 213, 214))
    quantization = f"quantization:\n  data_type:\n    '*': uint8\n{entries}  dataset:\n  - qdataset/*.jpg\n"
    back = parse(INPUT + CUT + quantization, graph)
    assert back.candidate == CASES["uint8_heads-and-outputs-int16"]


def test_layer_ids_of_the_walkthrough_find_their_nodes(graph: ModelGraph) -> None:
    listing = """
@Conv_Conv_0_212_acuity_mark_perm_220:out0, 0.27883491513891734
@Conv_Conv_11_174:out0, 0.3733763339858789
@Sigmoid_Sigmoid_15_180_Mul_Mul_16_167:out0, 0.405560572116115
@Conv_Conv_14_179:out0, 0.40564278569588696
@Concat_Concat_208_15:out0, 0.7357854636814533
@Conv_Conv_212_5:weight, 0.6613776358217723
"""
    found = read_map(listing, graph, Candidate(cuts=CUTS))
    assert found.ids == {
        "Conv_11": "Conv_Conv_11_174",
        "Sigmoid_15": "Sigmoid_Sigmoid_15_180_Mul_Mul_16_167",
        "Mul_16": "Sigmoid_Sigmoid_15_180_Mul_Mul_16_167",
        "Conv_14": "Conv_Conv_14_179",
        "Concat_208": "Concat_Concat_208_15",
        "Conv_212": "Conv_Conv_212_5",
    }
    assert (dict(found.ambiguous), found.unused) == ({}, ())
    assert "output:349" in found.missing


def test_ids_of_recorded_tables_are_all_read(shared: Path) -> None:
    folder = shared / "reference" / "synap_toolkit"
    table = read_ids((folder / "ok_uint8.quantization_info.yaml").read_text())
    entropy = read_ids((folder / "kl_uint8.quantization_entropy.txt").read_text())
    assert {"attach_output/out0_0", "952_3", "input_316"} <= set(table)
    assert set(entropy) <= set(table)
