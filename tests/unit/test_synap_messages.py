"""Every message of the toolkit that its code or its manual knows: whose fault it is."""

from __future__ import annotations

import pytest

from mpsearch.toolchain.synap.messages import Fault, judge

SETUP = (
    "Error: failed to create working directory: /x",
    "Error: Invalid target specified: VS681. Available targets: GENERIC, VS680",
    "Error: model not found: m.onnx",
    "Error: model weights file not found: w",
    "Error: m.onnx is a git-lfs link file",
    "Error: unknown network format: .xyz",
    "Error: unknown output format: ebg",
    "Error: Invalid field(s) in yaml file: a, b",
    "Error: Missing mandatory field(s) in yaml file: type",
    "Error: Error parsing model metafile: m.yaml",
    "Error: model metafile not found: m.yaml",
    "Error: Input shape is mandatory when name specified: image",
    "Error: All input names or none must be specified in meta file",
    "Error: Metafile has 0 input(s) but 1 quantization dataset",
    "Error: model has 2 inputs but 1 quantization dataset specified in meta file",
    "Error: Spaces not allowed in quantization dataset: a b.jpg",
    "Error: Quantization dataset is empty",
    "Error: Quantization datasets must have the same number of files",
    "Error: .npy quantization file(s) required for input layer 'x' with shape: [1, 2]",
    "Error: Delegate 'npu' not supported for target SoC: SL1620",
    "Error: Invalid delegate type: tpu",
)
CANDIDATE = (
    "Error: Invalid quantization algorithm specified: x not in ['standard']",
    "Error: Invalid quantization mode: fast",
    "Error: invalid quantization data_type specified: float16",
    "Error: invalid data_type specified for mixed quantization: int8",
    "Error: mixed quantization with int8 and uint8 not allowed",
    "Error: Layer name 'x' not in: ['a']",
    "Error: Layer ID 'x' not in: ['a']",
    "Error: No layers to requantize, please check layer data_type specification",
    "Error: Specified output: x not in model outputs: ['y']",
    "KeyError: 'conv5_c_4'",
    "E [ops/vsi_nn_op_conv2d.c:op_check:189]Inputs/Outputs data type not support: DFP INT16, SYMM PC INT8\n"
    "Fatal model generation error: 65280",
    "Please specify valid quantize qtype for quantizer 'asymmetric_affine', in ['uint8', 'int8']",
)
TRANSIENT = (
    "Read file to buffer failed",
    "Fatal model compilation error: 512",
    "Error: Error while converting nbg to ebg",
)


@pytest.mark.parametrize("text", SETUP)
def test_what_every_candidate_would_meet_is_the_setups_fault(text: str) -> None:
    assert judge(1, "Converting...\r", text).fault is Fault.SETUP


@pytest.mark.parametrize("text", CANDIDATE)
def test_what_one_candidate_asked_for_is_its_own_fault(text: str) -> None:
    verdict = judge(1, text, "")
    assert verdict.fault is Fault.CANDIDATE
    assert verdict.said in " ".join(text.split())


@pytest.mark.parametrize("text", TRANSIENT)
def test_what_may_pass_is_tried_again(text: str) -> None:
    assert judge(1, text, "").fault is Fault.TRANSIENT


def test_a_compilers_last_line_alone_counts_when_it_comes_twice() -> None:
    assert judge(1, "", "Fatal model generation error: 65280").fault is Fault.UNSURE


def test_a_warning_of_a_conversion_that_failed_otherwise_does_not_decide() -> None:
    text = "Warning: skipping unimplemented custom layer: Postprocess\nError: Quantization dataset is empty"
    assert "dataset is empty" in judge(1, "", text).said
