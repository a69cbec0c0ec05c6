"""What a metafile says besides the candidate, and what of it the toolkit takes for an ONNX model."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from mpsearch.errors import ConfigError
from mpsearch.toolchain.synap.yamltext import Value

Pairs = tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True)
class OutputIO:
    """One output of the model, or the tensors that stand for it after a cut.

    Attributes:
        output: its name in the model.
        dequantize: the NPU converts it to float; None: as :attr:`MetafileIO.dequantize` says.
        format: for the board's post-processing; empty: as :attr:`MetafileIO.output_format` says.
        security: empty: as :attr:`MetafileIO.output_security` says.
        custom: anything of the user's own.
    """

    output: str
    dequantize: bool | None = None
    format: str = ""
    security: str = ""
    custom: Pairs = ()


@dataclass(frozen=True, slots=True)
class MetafileIO:
    """Everything but base, types, scheme, algorithm, cuts and preprocessing, which are the candidate's.

    Attributes:
        means: one a channel, in the range of the pixels (0 to 255); empty leaves it out.
        scale: what the difference from the mean is divided by; None leaves it out.
        input_format: ``"rgb"`` or ``"bgr"`` with options; empty leaves it out. The toolkit reads ``bgr`` as: reverse
            the channels of the calibration images.
        dataset: globs of calibration images, relative to the metafile, one for each model input.
        output_format: for the uncut model with all outputs, e.g. ``yolov5 landmarks=5 anchors=[...]``; empty: none.
        input_name, input_shape: only together; needed for a model whose file has a dynamic shape.
        dequantize: the NPU converts the outputs to float.
        input_security: ``any``, ``secure`` or ``non-secure``; empty leaves it out.
        output_security: ``secure-if-input-secure`` or ``any``; empty leaves it out.
        data_layout: ``default`` or ``nchw``; empty leaves it out. ``nhwc`` is not for ONNX.
        delegate: ``npu``, ``gpu`` or ``cpu`` and its options, or pairs of operation and delegate; empty is the target's
            own choice. A candidate's option ``delegate`` goes before it.
        mode: ``standard`` or ``full`` (quantize every layer); empty leaves it out.
        options: passed on to the quantizer, e.g. ``(("divergence_nbins", 2048),)``.
        custom, input_custom: anything of the user's own; the toolkit ignores it.
        outputs: of single outputs.
        optimize: fit the memory limits to the chip; None leaves it out, which means yes.
        crop: where the NPU preprocesses frames: choose the crop at run time, or this one (four numbers).
    """

    means: tuple[float, ...] = ()
    scale: float | None = None
    input_format: str = ""
    dataset: tuple[str, ...] = ("qdataset/*.jpg",)
    output_format: str = ""
    input_name: str = ""
    input_shape: tuple[int, ...] = ()
    dequantize: bool = True
    input_security: str = ""
    output_security: str = ""
    data_layout: str = ""
    delegate: str | tuple[tuple[str, str], ...] = ""
    mode: str = ""
    options: tuple[tuple[str, str | bool | int | float], ...] = ()
    custom: Pairs = ()
    input_custom: Pairs = ()
    outputs: tuple[OutputIO, ...] = ()
    optimize: bool | None = None
    crop: bool | tuple[int, ...] | None = None

    def of(self, output: str) -> OutputIO:
        """What is said of one output of the model."""
        return next((entry for entry in self.outputs if entry.output == output), OutputIO(output))


CHOICES = {
    "input_security": ("any", "secure", "non-secure"),
    "output_security": ("any", "secure-if-input-secure"),
    "data_layout": ("default", "nchw"),
    "mode": ("standard", "full"),
}
"""Field of :class:`MetafileIO` -> what the toolkit takes for an ONNX model."""
DELEGATES = ("default", "npu", "gpu", "cpu")
OPTIONS = ("moving_average_weight", "divergence_nbins", "divergence_first_quantize_bits", "minimize_layer_error")
"""Options that the quantizer takes besides those that the toolkit sets itself (acuitylite 6.33.0)."""


def check(io: MetafileIO, *, quantized: bool = True, outputs: Iterable[str] | None = None) -> None:
    """Refuse what the toolkit would refuse, or take for something else.

    Args:
        outputs: of the model, where they are known.

    Raises:
        ConfigError: names the field and what it may be.
    """
    for field, known in CHOICES.items():
        value = getattr(io, field)
        if value and value not in known:
            raise ConfigError(f"metafile: {field} {value!r} is not one of {', '.join(known)}")
    _check_delegate(io.delegate)
    for name, _ in io.options:
        if name not in OPTIONS:
            raise ConfigError(
                f"metafile: no quantizer option {name!r}{_nearest(name, OPTIONS)}",
                hint=f"Options: {', '.join(OPTIONS)}",
            )
    if io.scale == 0:
        raise ConfigError("metafile input: scale 0", hint="The toolkit divides by it: 255 for pixels of 0 to 1.")
    if bool(io.input_name) != bool(io.input_shape):
        raise ConfigError("metafile input: name and shape are only allowed together")
    if isinstance(io.crop, tuple) and len(io.crop) != 4:
        raise ConfigError(f"metafile input: crop {list(io.crop)} must be four numbers, or true")
    names = None if outputs is None else tuple(outputs)
    for entry in io.outputs:
        if entry.security and entry.security not in CHOICES["output_security"]:
            known = CHOICES["output_security"]
            raise ConfigError(f"metafile: outputs.{entry.output}: security {entry.security!r}: {' or '.join(known)}")
        if names is not None and entry.output not in names:
            raise ConfigError(
                f"metafile: outputs: the model has no output {entry.output!r}{_nearest(entry.output, names)}",
                hint=f"Its outputs: {', '.join(names)}",
            )
    if quantized:
        _check_dataset(io.dataset)


def _check_delegate(delegate: str | tuple[tuple[str, str], ...]) -> None:
    for name in (delegate,) if isinstance(delegate, str) else (value for _, value in delegate):
        if name and name.split(" ")[0] not in DELEGATES:
            raise ConfigError(
                f"metafile: delegate {name!r} is not one of {', '.join(DELEGATES)}{_nearest(name, DELEGATES)}"
            )
    if not isinstance(delegate, str) and any(key == "INPUTS" for key, _ in delegate):
        raise ConfigError("metafile: delegate: INPUTS is no operation", hint="Name operations by their index or name.")


def _check_dataset(dataset: tuple[str, ...]) -> None:
    if len(dataset) != 1:
        raise ConfigError(
            f"metafile: {len(dataset)} calibration datasets for one model input",
            hint="Without a dataset the toolkit silently leaves the model in float.",
        )
    if " " in dataset[0]:
        raise ConfigError(f"metafile: dataset {dataset[0]!r} has a space in it, which the toolkit refuses")


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; nearest: {close[0]!r}" if close else ""
