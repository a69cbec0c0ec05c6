"""acuitylite 6.33.0 by the calls that SyNAP's toolkit makes of it. Only this module imports it."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .datatypes import ALGORITHMS, Layers, Refused, base_of, exceptions, scheme_of

NPUS = {"VS680": ("VIP9000NANOQI_PLUS_PID0XC1", 22), "VS640": ("VIP9000NANOSI_PID0XC2", 10)}
"""Target -> the compiler's name of the NPU, and the limit of its memory traffic in GB/s that the toolkit sets."""
ALIASES = {"SL1680": "VS680", "SL1640": "VS640"}

Say = Callable[[str], None]


def load() -> None:
    """Import the engine, which takes seconds and tells whether it is whole."""
    import acuitylib.vsi_nn  # noqa: F401

    np.stack = _stacking(np.stack)


def _stacking(stack: Callable[..., Any]) -> Callable[..., Any]:
    """``numpy.stack``, which copies an array as a whole. The engine hands it each photograph as one flat array, whose
    numbers numpy would take apart one by one: half of the time of a quantization, for the same numbers."""

    def stacked(arrays: Any, *args: Any, **options: Any) -> Any:
        if isinstance(arrays, np.ndarray) and arrays.ndim and len(arrays) and not args and not options:
            return arrays.copy()
        return stack(arrays, *args, **options)

    return stacked


def read_metafile(path: Path) -> dict[str, Any]:
    """By the toolkit's own reader.

    Raises:
        Refused: broken YAML.
    """
    import ruamel.yaml

    try:
        found = ruamel.yaml.YAML(typ="safe", pure=True).load(path.read_text())
    except ruamel.yaml.error.YAMLError as error:
        raise Refused(f"Error parsing model metafile: {path}") from error
    return dict(found or {})


class Network:
    """An imported network in the engine.

    Args:
        meta: the metafile, parsed.
    """

    def __init__(self, model: str, meta: Mapping[str, Any], folder: Path) -> None:
        from acuitylib.vsi_nn import VSInn

        self._meta, self._folder = meta, folder
        self.engine = VSInn()
        inputs = [entry or {} for entry in meta.get("inputs") or []]
        outputs = [entry or {} for entry in meta.get("outputs") or []]
        names = [entry["name"] for entry in inputs if "name" in entry]
        shapes = "#".join(",".join(str(side) for side in entry["shape"][1:]) for entry in inputs if "shape" in entry)
        tensors = [entry["name"] for entry in outputs if "name" in entry]
        self.net = self.engine.load_onnx(model, " ".join(names) or None, " ".join(tensors) or None, shapes or None)
        self.input = inputs[0] if inputs else {}
        self.quantized = False

    def layers(self, names: Mapping[str, str]) -> Layers:
        """The network for :mod:`.datatypes`."""
        parents = {lid: list(layer.get_input_layers()) for lid, layer in self.net.get_layers().items()}
        return Layers(
            parents,
            [layer.lid for layer in self.net.get_input_layers(ign_variable=True)],
            [layer.lid for layer in self.net.get_output_layers()],
            names,
        )

    def quantize(self, names: Mapping[str, str], say: Say) -> int:
        """By the metafile's ``quantization``; returns the number of layers of the second pass.

        Raises:
            Refused, KeyError: as the toolkit does.
        """
        from acuitylib.quantization.types import QuantizerAlgorithm

        asked = self._meta.get("quantization") or {}
        files = self._dataset(asked.get("dataset"))
        if not files:
            return 0
        base, mixed = base_of(asked.get("data_type", "uint8"))
        listing = self._folder / "dataset.txt"
        listing.write_text("".join(f"{file}\n" for file in files))
        self.engine.set_database(self.net, str(listing), dataset_type="TEXT")
        self._preprocess()
        word = str(asked.get("algorithm", "standard"))
        full = asked.get("mode") == "full"
        passes = 2 if mixed else 1
        options = {
            **dict(asked.get("options") or {}),
            "algorithm": getattr(QuantizerAlgorithm, ALGORITHMS[word]),
            "quantizer": scheme_of(asked, base),
            "qtype": base,
            "iterations": len(files),
            "compute_entropy": word == "kl_divergence",  # anything else would be turned into it
        }
        self.net = self.engine.quantize(
            self.net, hybrid=False, rebuild=not full, rebuild_all=full,
            quantization_progress=lambda i: say(f"Quantizing... {i * 100 // len(files) // passes}%"), **options,
        )  # fmt: skip
        self.quantized = True
        if not mixed:
            return 0
        table = self.net.dump_quantize_table()
        table["customized_quantize_layers"] = exceptions(dict(asked["data_type"]), base, self.layers(names))
        self.net.tensor_mgr.quantize_tab.check_hybrid_dtype_validity()
        self.net.set_quantize_table(table)
        self.net = self.engine.quantize(
            self.net, hybrid=True, rebuild=False, rebuild_all=False,
            quantization_progress=lambda i: say(f"Quantizing... {50 + i * 50 // len(files)}%"), **options,
        )  # fmt: skip
        return len(table["customized_quantize_layers"])

    def table(self, path: Path) -> None:
        """``quantization_info.yaml``."""
        self.engine.save_model_quantize(self.net, str(path))

    def run(self, photos: np.ndarray, say: Say) -> dict[str, np.ndarray]:
        """Outputs of the fake-quantized network.

        Args:
            photos: ``[N, C, H, W]`` float32, normalised.

        Returns:
            Output layer's id -> ``[N, ...]`` float32.
        """
        self.engine.build_inference_session(self.net)
        lids = [layer.lid for layer in self.net.get_output_layers()]
        rows: list[list[np.ndarray]] = []
        for index, photo in enumerate(photos):
            _, outs = self.engine.run_inference_session([photo[None]])
            rows.append([np.array(out, np.float32) for out in outs])
            say(f"Running... {(index + 1) * 100 // len(photos)}%")
        return {lid: np.concatenate([row[i] for row in rows]) for i, lid in enumerate(lids)}

    def _preprocess(self) -> None:
        (layer,) = self.net.get_input_layers(ign_variable=True)
        shape = layer.params.shape
        entry = self.input
        options: dict[str, Any] = {"reverse_channel": str(entry.get("format", "")).lower().startswith("bgr")}
        if entry.get("shape") is not None:
            options["shape"] = list(entry["shape"])
        if entry.get("means"):
            means = entry["means"]
            channels = shape[1]
            if isinstance(means, list) and len(means) != channels:
                raise Refused(f"bad item count in 'means': {list(means)}")
            options["mean"] = list(means) if isinstance(means, list) else [means] * channels
        if entry.get("scale"):
            options["scale"] = 1 / entry["scale"]
        self.engine.set_preprocess(self.net, {layer.lid: options}, set_by_lid=True)

    def _dataset(self, globs: Any) -> list[str]:
        """All files, absolute; empty where the metafile names none: then nothing is quantized."""
        if not globs:
            return []
        patterns = [globs] if isinstance(globs, str) else list(globs)
        files = sorted(glob.glob(os.path.join(str(self._folder), patterns[0])))
        if not files:
            raise Refused("Quantization dataset is empty")
        for file in files:
            if " " in file:
                raise Refused(f"Spaces not allowed in quantization dataset: {file}")
        return [os.path.abspath(file) for file in files]

    def compile(self, target: str, sdk: Path, out: Path) -> None:
        """Build the NPU's binary, which prints the performance model's figures.

        Raises:
            Exception: of the engine's own kinds, where the compiler refuses.
        """
        npu, limit = NPUS[ALIASES.get(target, target)]
        for kind in ("READ", "WRITE", "TOTAL") if self._meta.get("optimize", True) else ():
            os.environ[f"NN_EXT_DDR_{kind}_BW_LIMIT"] = str(limit)
        self.engine.generate_inputmeta(
            self.net, separated_database=True, dataset_file=["dataset.txt"], dataset_type=["TEXT"]
        )
        (out / "export").mkdir(parents=True, exist_ok=True)
        self.engine.export_ovxlib(
            self.net,
            output_path=f"{out}/export/work/",
            optimize=npu,
            dtype="quantized",
            pack_nbg_unify=True,
            viv_sdk=str(sdk),
        )
