"""snpe-diagview's output in every form that is on record."""

from __future__ import annotations

import pytest

from mpsearch.errors import SetupError
from mpsearch.layers import times
from mpsearch.toolchain.snpe.diagview import Amount, clean, looks_like, parse

CURRENT = """Log File Created: Sun Oct  5 19:40:11 2025
Time Scale: 1e-06
Epoch Timestamp: 1759693211491502 Steady Clock Timestamp: 9473925087
Software library version: 2.37.0.250724175447_124859
------------------------------------------------------------

SNPE Create Statistics:
----------------------------------------
  Load: 1813 us
  Deserialize: 919 us
  Create: 154620 us

  Init: 158658 us
  De-Init: 6636 us

  Create Network(s): 152110 us
  RPC Init Time: 1158 us
  Snpe Accelerator Init Time: 1090 us
  Accelerator Init Time: 1009 us

SNPE Execute Statistics (Averaged):
----------------------------------------
  Total Inference Time: 1328 us
  Forward Propagate Time: 1315 us
  RPC Execute Time: 290 us
  Snpe Accelerator Time: 250 us
  Num times yield occurred: 0
  Accelerator Time: 59 us

  Per-Subnet Execution Times:\x20
  ------------------------------
    Subnet 0 (DSP) : 13545 cycles

  Per-Layer Execution Times:\x20
  ------------------------------
    0: Input OpId_2 (cycles) : 2142 cycles : DSP
    1: sequential_1/dense_1/MatMul:OpId_18 (cycles) : 0 cycles : DSP
    2: sequential_1/dense_1/Relu:OpId_20 (cycles) : 1252 cycles : DSP
    7: Output OpId_3 (cycles) : 6038 cycles : DSP
"""

ON_CPU = """SNPE Execute Statistics (Averaged):
  Total Inference Time: 61 us
  Per-Layer Execution Times:\x20
  ------------------------------
    0: _sequential_1/dense_1/MatMul : 23 us : CPU
    1: _sequential_1/dense_1/Relu : 0 : CPU
"""

WITHOUT_NAMES = """Dnn Runtime Load/Deserialize/Create/De-Init Statistics:
--------------------------------------------------
Load: 3391 us
Deserialize: 12100 us

Average SNPE Statistics:
------------------------------
Total Inference Time: 2102 us
Misc Accelerator Time: 0 us

Layer Times:
---------------
0: 0 cycles : DSP
1: 1252 cycles : DSP
"""

FLATBUFFER = """Interpreting file serialized with Flatbuffer
Average SNPE Statistics:
------------------------------
Per-Graph Execution Times:
CPU Subnet 0: 786659 us
Layer Times:
---------------
  0: _/wav2vec2/feature_extractor/Unsqueeze : 78 us : CPU
  1: _/wav2vec2/feature_extractor/conv_layers.0/conv/Conv : 4210 us : CPU
"""

LINTING = """  Per-Layer Execution Times:\x20
  ------------------------------
    0: Input OpId_2 (cycles) : 2142 cycles : DSP
    Wait (Scheduler) time: 629 cycles
    Overlap time: 4770 cycles
    Overlap (wait) time: 12 cycles
    Resources: HVX, HMX, DMA
    1: conv:OpId_18 (cycles) : 181000 cycles : DSP
    Resources: HMX
"""

V1 = """Msg Timestamp, Message, Layer Id, Time, Runtime
592207967600,FORWARD_PROPAGATE,,23000,
592207967612,FORWARD_PROPAGATE_LAYER,1,21426,DSP
592207967613,FORWARD_PROPAGATE_LAYER,0,574,DSP
592207967712,FORWARD_PROPAGATE_LAYER,1,21430,DSP
592207967713,FORWARD_PROPAGATE_LAYER,0,572,DSP
"""

V2 = """Msg Timestamp,Message,Layer Id,Layer Name,Time,Unit of Measurement,Runtime,Graph Name
1,DESERIALIZE,,,919,us,,
2,AVG_TOTAL_INFERENCE_TIME,,,1328,us,,
3,FORWARD_PROPAGATE_LAYER,0,Input OpId_2 (cycles),2142,cycles,DSP,net
4,FORWARD_PROPAGATE_LAYER,1,"/model/Mul,Add:OpId_18 (cycles)",1000,cycles,DSP,net
5,LINTING_WAIT_TIME,1,"/model/Mul,Add:OpId_18 (cycles)",600,cycles,DSP,net
6,FORWARD_PROPAGATE_LAYER,0,Input OpId_2 (cycles),2146,cycles,DSP,net
7,FORWARD_PROPAGATE_LAYER,1,"/model/Mul,Add:OpId_18 (cycles)",1010,cycles,DSP,net
8,LINTING_WAIT_TIME,1,"/model/Mul,Add:OpId_18 (cycles)",620,cycles,DSP,net
"""


def test_the_text_of_todays_tool() -> None:
    found = parse(CURRENT)
    assert [(layer.layer_id, layer.name, layer.samples, layer.unit, layer.runtime) for layer in found.layers] == [
        (0, "Input", (2142.0,), "cycles", "DSP"),
        (1, "sequential_1/dense_1/MatMul", (0.0,), "cycles", "DSP"),
        (2, "sequential_1/dense_1/Relu", (1252.0,), "cycles", "DSP"),
        (7, "Output", (6038.0,), "cycles", "DSP"),
    ]
    assert found.version == "2.37.0.250724175447_124859"
    assert found.totals["Total Inference Time"] == Amount(1328.0, "us")
    assert found.totals["Subnet 0 (DSP)"] == Amount(13545.0, "cycles")
    assert found.totals["Num times yield occurred"] == Amount(0.0, "")


def test_on_the_cpu_a_zero_has_no_unit_of_its_own() -> None:
    assert [(layer.name, layer.samples, layer.unit) for layer in parse(ON_CPU).layers] == [
        ("_sequential_1/dense_1/MatMul", (23.0,), "us"),
        ("_sequential_1/dense_1/Relu", (0.0,), "us"),
    ]


def test_the_oldest_text_has_no_names() -> None:
    found = parse(WITHOUT_NAMES)
    assert [(layer.layer_id, layer.name, layer.samples, layer.unit) for layer in found.layers] == [
        (0, "", (0.0,), "cycles"),
        (1, "", (1252.0,), "cycles"),
    ]
    assert found.totals["Misc Accelerator Time"] == Amount(0.0, "us")
    assert times.from_diagview(found)[1].name == "layer 1"


def test_the_text_that_came_from_a_flatbuffer() -> None:
    found = parse(FLATBUFFER)
    assert [layer.samples for layer in found.layers] == [(78.0,), (4210.0,)]
    assert found.totals["CPU Subnet 0"] == Amount(786659.0, "us")


def test_linting_belongs_to_the_layer_above() -> None:
    first, second = parse(LINTING).layers
    assert first.linting == {"Wait (Scheduler) time": 629.0, "Overlap time": 4770.0, "Overlap (wait) time": 12.0}
    assert first.resources == ("HVX", "HMX", "DMA")
    assert (second.linting, second.resources) == ({}, ("HMX",))


@pytest.mark.parametrize("text", [V1, V1.replace("\n", "\r\n"), "\ufeff" + V1])
def test_csv_version_1_has_spaces_in_front_of_its_headers(text: str) -> None:
    found = parse(text)
    assert [(layer.layer_id, layer.samples, layer.runtime) for layer in found.layers] == [
        (0, (574.0, 572.0), "DSP"),
        (1, (21426.0, 21430.0), "DSP"),
    ]
    assert found.totals["FORWARD_PROPAGATE"] == Amount(23000.0, "")


def test_csv_version_2_holds_a_row_a_layer_and_inference() -> None:
    found = parse(V2)
    assert [(layer.name, layer.samples, layer.unit, layer.graph) for layer in found.layers] == [
        ("Input", (2142.0, 2146.0), "cycles", "net"),
        ("/model/Mul,Add", (1000.0, 1010.0), "cycles", "net"),
    ]
    assert found.layers[1].linting == {"LINTING_WAIT_TIME": 610.0}
    assert found.totals["AVG_TOTAL_INFERENCE_TIME"] == Amount(1328.0, "us")


def test_a_profile_becomes_the_seven_columns() -> None:
    text = times.to_csv(times.from_diagview(parse(V2)))
    assert text == (
        "layer_id,time_mean,time_std,message,layer_name,unit,Percentage_of_Total_Time\n"
        "0,2144.0,2.828,FORWARD_PROPAGATE_LAYER,Input,cycles,0.6809\n"
        '1,1005.0,7.071,FORWARD_PROPAGATE_LAYER,"/model/Mul,Add",cycles,0.3191\n'
    )


def test_decoration_goes_and_the_name_stays() -> None:
    assert clean("Reshape_1:0:OpId_5 (cycles)") == "Reshape_1:0"
    assert clean("_/a/b") == "_/a/b"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nothing here\n", "no time of a layer in 1 lines"),
        ("Msg Timestamp,Message,Time\n1,2,3\n", "no column 'Layer Id'"),
        (V2.replace("1010", "10x0"), "line 8: '10x0' is no number"),
        (V2[: V2.index("3,FORWARD")], "no row of a layer"),
    ],
)
def test_what_is_no_profile_is_refused_by_file_and_line(text: str, said: str) -> None:
    with pytest.raises(SetupError, match=r"log\.csv") as error:
        parse(text, "log.csv")
    assert said in str(error.value)


def test_only_its_own_output_is_taken_for_diagview() -> None:
    assert all(looks_like(text) for text in (CURRENT, ON_CPU, WITHOUT_NAMES, FLATBUFFER, LINTING, V1, V2))
    assert not looks_like("pid: 1, nid: 2\n| lyr |    cycle | time_us |\n")
