"""Scales, zero points and fractional lengths against the vendor engine's own tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mpsearch.candidate import BASES, DataType
from mpsearch.quant import schemes

TABLES = {
    "acuity_u8.quantize.yaml": "uint8",
    "acuity_i16.quantize.yaml": "int16",
    "acuity_i8pc.quantize.yaml": "int8-pc",
    "acuity_u8-tail13-i16.quantize.yaml": "uint8",
    "synap_toolkit/ok_uint8.quantization_info.yaml": "uint8",
    "synap_toolkit/int16.quantization_info.yaml": "int16",
}


@pytest.mark.parametrize(("file", "base"), TABLES.items())
def test_every_tensor_of_the_engines_table_has_the_same_quantizer(shared: Path, file: str, base: str) -> None:
    path = shared / "reference" / file
    if not path.is_file():
        pytest.skip(f"needs {file} of ../shared/reference")
    text = path.read_text()
    table: dict[str, dict[str, Any]] = yaml.load(text[text.index("version:") :], Loader=yaml.CSafeLoader)[
        "quantize_parameters"
    ]
    compared = 0
    for key, entry in table.items():
        if key.endswith(":bias") or isinstance(entry["scale" if "scale" in entry else "fl"], list):
            continue
        kind = DataType.INT16 if entry["qtype"] == "i16" else BASES[base].type
        found = schemes.activation_params(kind, BASES[base], entry["min_value"], entry["max_value"])
        assert found is not None
        if "fl" in entry:
            assert found.fl == entry["fl"], key
        else:
            assert np.isclose(found.scale, entry["scale"], rtol=1e-6), key
            assert found.zero_point == entry["zero_point"], key
        compared += 1
    assert compared > 250
