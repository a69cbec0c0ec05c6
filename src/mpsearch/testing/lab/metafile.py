"""The toolkit's reading of a metafile, with its own error lines (SyNAP toolkit 3.2.0): what is refused, and when.

Written from the contract and the recorded runs alone, apart from ``mpsearch.toolchain.synap``, so that a mistake there
shows here.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mpsearch.testing.lab.engine import EngineLayer, behind

_TOP = set(
    "optimize data_layout input_format output_format denormalize_outputs dequantize_outputs inputs outputs "
    "quantization security custom delegate".split()
)
_INPUT = set("name shape means scale format security custom preprocess".split())
_OUTPUT = set("name shape dequantize format security custom".split())
_QUANTIZATION = set("dataset scheme data_type mode algorithm options".split())
_PREPROCESS = set("type size crop".split())
_TYPES = {"uint8", "int8", "int16", "byte", "uint16", "int32", "uint32", "float32"}
_ALGORITHMS = ["standard", "moving_average", "kl_divergence", "auto"]
_FORMATS = set("yuv444 yuv420 nv12 nv21 gray rgb bgra rgb888p rgb888p3 float32".split())
_WITHOUT_NPU = {"SL1620": ("cpu", "gpu"), "DVF120": ("cpu", "gpu"), "GENERIC": ("cpu",)}
SCHEMES = {
    "asymmetric_affine": ("uint8", "int8"),
    "symmetric_affine": ("int8",),
    "perchannel_symmetric_affine": ("int8",),
    "dynamic_fixed_point": ("int8", "int16"),
}


class Refused(Exception):
    """What the toolkit calls an expected error: ``Error: <message>`` on stderr, exit code 1."""


class Crash(Exception):
    """What it did not expect: a log and a traceback on stdout. The argument is the text of the last line."""


@dataclass(frozen=True)
class Meta:
    """A metafile as the toolkit holds it after its first checks."""

    top: Mapping[str, Any]
    folder: Path

    @property
    def inputs(self) -> list[Mapping[str, Any]]:
        return [entry or {} for entry in self.top.get("inputs") or []]

    @property
    def outputs(self) -> list[Mapping[str, Any]]:
        return [entry or {} for entry in self.top.get("outputs") or []]

    @property
    def quantization(self) -> Mapping[str, Any]:
        return self.top.get("quantization") or {}

    @property
    def datasets(self) -> list[str]:
        found = self.quantization.get("dataset") or []
        return [found] if isinstance(found, str) else list(found)

    @property
    def delegates(self) -> list[str]:
        """First words; none where the target decides."""
        found = self.top.get("delegate") or "default"
        return [str(name).split(" ")[0] for name in (found.values() if isinstance(found, dict) else [found])]

    def delegate(self, target: str) -> str:
        """Which engine runs the model.

        Raises:
            Refused: one that the target has not.
        """
        there = _WITHOUT_NPU.get(target, ("npu", "gpu", "cpu"))
        for name in self.delegates:
            if name != "default" and name not in there:
                raise Refused(f"Delegate '{name}' not supported for target SoC: {target}")
        return there[0] if self.delegates[0] == "default" else self.delegates[0]

    def types(self) -> tuple[str, str, dict[str, str]]:
        """Base type, type of ``'*'``, other entries in order.

        Raises:
            Refused: two 8-bit types.
        """
        wanted = self.quantization.get("data_type", "uint8")
        if not isinstance(wanted, dict):
            return wanted, wanted, {}
        entries = {str(key): str(value) for key, value in wanted.items()}
        base = ""
        for value in entries.values():
            if value in ("uint8", "int8"):
                if base and base != value:
                    raise Refused("mixed quantization with int8 and uint8 not allowed")
                base = value
        base = base or entries.get("*", "uint8")
        ground = entries.pop("*", base)
        for value in entries.values():
            if value not in (base, "int16", "float16"):
                raise Refused(f"invalid data_type specified for mixed quantization: {value}")
        return base, ground, entries


def read(path: Path) -> Meta:
    """Everything that is refused before the network is looked at.

    Raises:
        Refused: with the toolkit's message.
    """
    try:
        top = yaml.safe_load(path.read_text())
    except yaml.YAMLError:
        raise Refused(f"Error parsing model metafile: {path}") from None
    if not isinstance(top or {}, dict):
        raise Refused(f"Error parsing model metafile: {path}")
    meta = Meta(top or {}, path.parent)
    _fields(meta.top, _TOP)
    for entry in meta.inputs:
        _input(entry)
    for entry in meta.outputs:
        _fields(entry, _OUTPUT)
    if "quantization" in meta.top:
        _quantization(meta)
    for name in meta.delegates:
        if name not in ("default", "npu", "gpu", "cpu"):
            raise Refused(f"Invalid delegate type: {name}")
    return meta


def _fields(mapping: Mapping[str, Any], known: set[str]) -> None:
    if unknown := [str(key) for key in mapping if key not in known]:
        raise Refused(f"Invalid field(s) in yaml file: {', '.join(unknown)}")


def _input(entry: Mapping[str, Any]) -> None:
    _fields(entry, _INPUT)
    name = entry.get("name", "")
    if name and "shape" not in entry:
        raise Refused(f"Input shape is mandatory when name specified: {name}")
    if entry.get("scale", 1) == 0:
        raise Refused(f"invalid scale provided for input {name}: 0")
    if (preprocess := entry.get("preprocess")) is not None:
        _fields(preprocess, _PREPROCESS)
        if "type" not in preprocess:
            raise Refused("Missing mandatory field(s) in yaml file: type")


def _quantization(meta: Meta) -> None:
    quantization = meta.quantization
    _fields(quantization, _QUANTIZATION)
    algorithm = quantization.get("algorithm", "standard")
    if algorithm not in _ALGORITHMS:
        raise Refused(f"Invalid quantization algorithm specified: {algorithm} not in {_ALGORITHMS}")
    data_type = quantization.get("data_type", "uint8")
    if isinstance(data_type, dict):
        for value in data_type.values():
            if value not in _TYPES | {"float16"}:
                raise Refused(f"invalid quantization data_type specified: {value}")
    elif data_type not in _TYPES:
        raise Refused(f"invalid quantization data_type specified: {data_type}")
    if meta.datasets and len(meta.inputs) != len(meta.datasets):
        raise Refused(f"Metafile has {len(meta.inputs)} input(s) but {len(meta.datasets)} quantization dataset")


def check_network(meta: Meta, channels: int) -> None:
    """What is refused once the network has been imported."""
    names = [entry.get("name") for entry in meta.outputs]
    if any(names) and not all(names):
        raise Refused("All output names or none must be specified in meta file")
    if not meta.datasets:
        return
    for entry in meta.inputs:
        means = entry.get("means")
        if isinstance(means, list) and len(means) not in (1, channels):
            raise Refused(
                f"bad item count in 'means': {means}. "
                "Input {self.name if self.name else ''} has {channels} channels"  # the toolkit forgot its own f
            )
        kind = (entry.get("preprocess") or {}).get("type")
        if kind is not None and kind not in _FORMATS:
            raise Refused(f"Unknown preprocessing type: {kind}")
    mode = meta.quantization.get("mode", "standard")
    if mode not in ("standard", "full"):
        raise Refused(f"Invalid quantization mode: {mode}")
    base, _, _ = meta.types()
    scheme = scheme_of(meta, base)
    if scheme not in SCHEMES:
        raise Crash(f"KeyError: {scheme!r}")
    if base not in SCHEMES[scheme]:
        raise Crash(
            f"ValueError: Please specify valid quantize qtype for quantizer {scheme!r}, in {list(SCHEMES[scheme])}"
        )


def scheme_of(meta: Meta, base: str) -> str:
    wanted = str(meta.quantization.get("scheme", "default"))
    if wanted != "default":
        return wanted
    return "asymmetric_affine" if base == "uint8" else "dynamic_fixed_point"


def dataset(meta: Meta) -> list[Path]:
    """The calibration images, all of them, sorted."""
    files = sorted(Path(name) for name in glob.glob(os.path.join(meta.folder, meta.datasets[0])))
    if not files:
        raise Refused("Quantization dataset is empty")
    for file in files:
        if " " in str(file.resolve()):
            raise Refused(f"Spaces not allowed in quantization dataset: {file}")
    return files


def requantized(meta: Meta, made: Sequence[EngineLayer]) -> dict[str, str]:
    """Id -> type, for the layers that leave the base type; the toolkit's own order of steps.

    Raises:
        Refused, Crash: unknown layers; an entry of the base type for a layer that nothing moved.
    """
    base, ground, entries = meta.types()
    if not entries and ground == base:
        return {}
    spec = dict.fromkeys((layer.lid for layer in made), ground) if ground != base else {}
    for key, kind in entries.items():
        for lid in _meant(key, made):
            if kind != base:
                spec[lid] = kind
            elif lid in spec:
                del spec[lid]
            else:
                raise Crash(f"KeyError: {lid!r}")
    if not spec:
        raise Refused("No layers to requantize, please check layer data_type specification")
    return spec


def _meant(key: str, made: Sequence[EngineLayer]) -> list[str]:
    if key == "INPUTS":
        return [layer.lid for layer in made if not layer.parents]
    tail = key.endswith("...")
    name = key.removesuffix("...")
    if name.startswith("@"):
        found = [layer.lid for layer in made if layer.lid == name[1:]]
        if not found:
            raise Refused(f"Layer ID '{name[1:]}' not in: {[layer.lid for layer in made]}")
    else:
        found = [layer.lid for layer in made if layer.key == name]
        if not found:
            raise Refused(f"Layer name '{name}' not in: {list(dict.fromkeys(layer.key for layer in made))}")
    if not tail:
        return found[:1]
    after = behind(made, found[0])
    return [layer.lid for layer in made if layer.lid in after]
