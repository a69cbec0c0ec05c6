"""What a cost model knows about one NPU: engines, their rates, memory, fixed costs. One class a family of NPUs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Factor = Annotated[float, Field(ge=1, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]


class Profile(BaseModel):
    """What all families have; hashable and immutable.

    Attributes:
        name: what tables call this board.
        aliases: other names that :func:`mpsearch.board.profile.load` accepts.
        vendor: the family, which says what the other parameters are.
        dispatch_us: each operation that an engine is started for.
        fixed_ms: each inference.
        ddr_gbyte_per_s: effective bandwidth between the NPU and memory.
        preprocess_ns_per_pixel: camera frame to network input on the NPU, per pixel of the network's input; None where
            the NPU does not do that.
        off_by: of the family: median error, as a share, on networks that it was not fitted to (``docs/boards.md``).
    """

    off_by: ClassVar[float] = 0.0
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1)]
    aliases: tuple[str, ...]
    vendor: str
    dispatch_us: Positive
    fixed_ms: Positive
    ddr_gbyte_per_s: Positive
    preprocess_ns_per_pixel: Positive | None


class VeriSilicon(Profile):
    """NPUs of the VIP9000 family, as in VS680 and VS640 (:mod:`mpsearch.board.verisilicon`).

    Three engines work one after another: the NN cores (convolutions), the tensor processor (TP: lookup-table
    activations, data movement, type conversions) and the shader (SH: everything in float16 that multiplies).
    TP costs per element are those of the vendor's own performance model, in its cycles; the rate at which silicon
    gets through them is ``tp_gcycles_per_s``.

    Attributes:
        nn_cores: output channels worked on at a time.
        nn_pixels_per_core: output pixels a core works on at a time.
        nn_channels_per_cycle: input channels that a core consumes in a cycle for each of its pixels.
        nn_clock_ghz: effective clock of the NN cores, stalls included.
        nn_int16_slowdown: cycles of an int16 convolution over those of an 8-bit one.
        tp_gcycles_per_s: effective rate of the tensor processor as a whole, in vendor-model cycles.
        tp_activation_cycles_per_element: SiLU, Sigmoid and the like, 8-bit.
        tp_reorder_cycles_per_element: row-wise rearrangement, 8-bit: input of a strided convolution, pooling,
            resize, slice.
        tp_transpose_cycles_per_element: a Transpose that changes the innermost axis, 8-bit.
        tp_cycles_per_weight: fully connected layers, which read each weight once, 8-bit.
        tp_narrowing_cycles_per_element: a type conversion that copies the tensor: 16 to 8 bit, from or to float16.
        tp_16bit_slowdown: the same work on 16-bit elements.
        shader_gmac_per_s: multiply-accumulates of float16 convolutions.
        shader_gelement_per_s: elements of Softmax, Mul, Div, Exp and the like.
        sram_bytes: tensors up to this size stay on chip.
    """

    off_by: ClassVar[float] = 0.21
    vendor: Literal["verisilicon"]
    nn_cores: Count
    nn_pixels_per_core: Count
    nn_channels_per_cycle: Count
    nn_clock_ghz: Positive
    nn_int16_slowdown: Factor
    tp_gcycles_per_s: Positive
    tp_activation_cycles_per_element: Positive
    tp_reorder_cycles_per_element: Positive
    tp_transpose_cycles_per_element: Positive
    tp_cycles_per_weight: Positive
    tp_narrowing_cycles_per_element: Positive
    tp_16bit_slowdown: Factor
    shader_gmac_per_s: Positive
    shader_gelement_per_s: Positive
    sram_bytes: Count


class Htp(Profile):
    """Qualcomm's Hexagon Tensor Processor, as in RVC4 (:mod:`mpsearch.board.htp`).

    A matrix engine (HMX: convolutions, products) and vector engines (HVX: everything else, and depthwise
    convolutions) share an on-chip memory, the VTCM.

    Attributes:
        channel_block: channels are padded to a multiple of this.
        rows_block: tensor heights are padded to a multiple of this.
        columns_block: 8-bit tensor widths are padded to a multiple of this, 16-bit ones to half of it.
        hmx_gmac_per_s: 8-bit multiply-accumulates on padded tensors.
        hmx_a16_slowdown: the same with 16-bit activations and 8-bit weights.
        hmx_fp16_slowdown: the same in float16.
        depthwise_gmac_per_s: 8-bit depthwise multiply-accumulates.
        hvx_gbyte_per_s: bytes of padded tensors read and written by element-wise work and data movement.
        hvx_activation_factor: Sigmoid, Tanh and the like over Mul.
        hvx_divide_factor: Div over Mul.
        vtcm_bytes: what an operation reads and writes beyond this travels through memory.
    """

    off_by: ClassVar[float] = 0.086
    vendor: Literal["htp"]
    channel_block: Count
    rows_block: Count
    columns_block: Count
    hmx_gmac_per_s: Positive
    hmx_a16_slowdown: Factor
    hmx_fp16_slowdown: Factor
    depthwise_gmac_per_s: Positive
    hvx_gbyte_per_s: Positive
    hvx_activation_factor: Factor
    hvx_divide_factor: Factor
    vtcm_bytes: Count


FAMILIES: dict[str, type[Profile]] = {"verisilicon": VeriSilicon, "htp": Htp}
"""Value of ``vendor`` -> class."""
