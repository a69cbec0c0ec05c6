"""``metafile:`` of a study file: what the SyNAP metafile says beyond the candidate, checked when the file is read."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mpsearch.errors import ConfigError
from mpsearch.toolchain.synap.io import MetafileIO, OutputIO, check


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputSettings(_Strict):
    """Of the model's only input; name, shape, means and scale are the study's ``input:``."""

    format: str = ""
    security: Literal["", "any", "secure", "non-secure"] = ""
    crop: bool | tuple[int, int, int, int] | None = None
    custom: dict[str, Any] = Field(default_factory=dict)


class OutputSettings(_Strict):
    """Of one output of the model, and of the tensors that stand for it after a cut."""

    dequantize: bool | None = None
    format: str = ""
    security: Literal["", "any", "secure-if-input-secure"] = ""
    custom: dict[str, Any] = Field(default_factory=dict)


class MetafileConfig(_Strict):
    """What the SyNAP metafile needs beyond the candidate. ``outputs`` is by the model's names."""

    dataset: tuple[str, ...] = ("qdataset/*.jpg",)
    format: str | None = None
    dequantize: bool = True
    input: InputSettings = InputSettings()
    outputs: dict[str, OutputSettings] = Field(default_factory=dict)
    data_layout: Literal["", "default", "nchw"] = ""
    delegate: str | dict[str, str] = ""
    mode: Literal["", "standard", "full"] = ""
    options: dict[str, bool | int | float] = Field(default_factory=dict)
    optimize: bool | None = None
    custom: dict[str, Any] = Field(default_factory=dict)

    @field_validator("dataset", mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            check(self.io())
        except ConfigError as error:
            raise ValueError(error.message.removeprefix("metafile: ")) from error
        return self

    def io(self, *, means: tuple[float, ...] = (), scale: float | None = None, order: str = "rgb") -> MetafileIO:
        """For the renderer, with what the study says of its input.

        Raises:
            ConfigError: ``input.format`` says another order of channels than the study.
        """
        format_ = self.input.format or ("bgr" if order == "bgr" else "")
        if self.input.format and self.input.format.startswith("bgr") != (order == "bgr") and (means or scale):
            raise ConfigError(
                f"metafile.input.format: {format_!r}, but the study's input.order is {order}",
                hint="The toolkit reverses the channels of the calibration images for bgr: make the two agree.",
            )
        return MetafileIO(
            means=means,
            scale=scale,
            input_format=format_,
            dataset=self.dataset,
            output_format=self.format or "",
            dequantize=self.dequantize,
            input_security=self.input.security,
            data_layout=self.data_layout,
            delegate=self.delegate if isinstance(self.delegate, str) else tuple(self.delegate.items()),
            mode=self.mode,
            options=tuple(self.options.items()),
            custom=tuple(self.custom.items()),
            input_custom=tuple(self.input.custom.items()),
            outputs=tuple(
                OutputIO(name, own.dequantize, own.format, own.security, tuple(own.custom.items()))
                for name, own in self.outputs.items()
            ),
            optimize=self.optimize,
            crop=self.input.crop,
        )
