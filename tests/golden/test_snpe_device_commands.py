"""Every command line that is said to SNPE's programs on a device, word by word."""

from __future__ import annotations

import pytest

from mpsearch.device.snpe import commands, sensors
from mpsearch.device.snpe.commands import How

NATIVE = "--userbuffer_auto --use_native_input_files --use_native_output_files"
PLAIN = {
    "dsp": f"snpe-net-run --container model.dlc --input_list inputs.txt --output_dir output --use_dsp {NATIVE} "
    "--perf_profile balanced --profiling_level off",
    "gpu": f"snpe-net-run --container model.dlc --input_list inputs.txt --output_dir output --use_gpu {NATIVE} "
    "--perf_profile balanced --profiling_level off",
    "cpu": f"snpe-net-run --container model.dlc --input_list inputs.txt --output_dir output {NATIVE} "
    "--perf_profile balanced --profiling_level off",
}


@pytest.mark.parametrize("runtime", PLAIN)
def test_photographs_are_run_in_native_files_with_user_buffers(runtime: str) -> None:
    assert " ".join(commands.net_run(How(), runtime, "balanced")) == PLAIN[runtime]


def test_profiling_asks_for_a_log_and_not_for_every_layer_as_an_output() -> None:
    line = " ".join(commands.net_run(How(), "dsp", "burst", profiling="detailed"))
    assert line.endswith("--perf_profile burst --profiling_level detailed")
    assert "--debug" not in line


@pytest.mark.parametrize(("runtime", "chosen"), [("dsp", "--use_dsp "), ("gpu", "--use_gpu "), ("cpu", "")])
def test_every_layer_is_written_in_float_by_a_run_of_its_own(runtime: str, chosen: str) -> None:
    assert " ".join(commands.every_layer(How(), runtime, "balanced")) == (
        f"snpe-net-run --container model.dlc --input_list inputs.txt --output_dir output --debug {chosen}"
        "--userbuffer_float --userbuffer_floatN_output 32 --perf_profile balanced"
    )


def test_throughput_is_asked_for_by_duration_with_a_group_of_options_a_thread() -> None:
    one = "--container model.dlc --use_dsp --perf_profile balanced"
    head = "snpe-throughput-net-run --duration 2 --json report.json"
    assert " ".join(commands.timing(How(), "dsp", "balanced")) == f"{head} {one}"
    assert " ".join(commands.timing(How(threads=2), "dsp", "balanced")) == f"{head} {one} {one}"


def test_the_cpu_is_named_where_the_program_has_a_word_for_it() -> None:
    assert "--use_cpu" in commands.timing(How(), "cpu", "balanced")
    assert "--use_cpu" not in commands.timing(How(measure="parallel"), "cpu", "balanced")


def test_parallel_runs_go_over_the_input_list_without_falling_back() -> None:
    line = " ".join(commands.timing(How(measure="parallel"), "dsp", "balanced"))
    assert line == (
        "snpe-parallel-run --container model.dlc --input_list inputs.txt --output_dir output --perf_profile balanced "
        "--cpu_fallback false --use_dsp --userbuffer_auto"
    )


def test_tools_of_a_folder_get_their_libraries_from_the_board_file() -> None:
    how = How(tools="/data/snpe/", env={"LD_LIBRARY_PATH": "/data/snpe/lib", "ADSP_LIBRARY_PATH": "/data/snpe/dsp"})
    assert commands.net_run(how, "dsp", "balanced")[:4] == (
        "env", "LD_LIBRARY_PATH=/data/snpe/lib", "ADSP_LIBRARY_PATH=/data/snpe/dsp", "/data/snpe/snpe-net-run",
    )  # fmt: skip


def test_the_board_is_asked_for_its_version() -> None:
    assert commands.version(How(tools="/data/snpe")) == ("/data/snpe/snpe-net-run", "--version")


def test_an_input_list_has_a_line_an_inference() -> None:
    assert commands.input_list(["/data/a.raw", "/data/b.raw"]) == "/data/a.raw\n/data/b.raw\n"


def test_sensors_are_asked_as_the_kernel_and_the_vendor_name_them() -> None:
    assert sensors.clock_argv("/usr/bin/sysMonApp") == ("/usr/bin/sysMonApp", "getPowerStats", "--q6", "cdsp")
    assert sensors.clock_argv("s", clear=True) == ("s", "getPowerStats", "--clear", "1", "--q6", "cdsp")
    assert sensors.temperature_argv("/sys")[-1].startswith("cat /sys/class/thermal/thermal_zone*/temp")
    assert sensors.power_argv("/sys")[-1] == "ls /sys/class/hwmon/hwmon*/power1_input"
