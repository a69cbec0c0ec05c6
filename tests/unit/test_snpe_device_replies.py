"""What SNPE's programs print is read, and every failure is somebody's fault."""

from __future__ import annotations

import json

import pytest

from mpsearch.device.snpe import replies, sensors
from mpsearch.errors import CandidateError, MpsearchError, SetupError, TransientError

# snpe-throughput-net-run 2.9.0, from a public user log.
TWO_LINES = (
    "[Thread 0 - dsp_fixed8_tf] 1581.96 infs/sec - Number of images processed: 15803 - Build time: 657077 microseconds "
    "- Elapsed time: 10000188 microseconds - Real time: 9989524 microseconds - Teardown time: 10750 microseconds - "
    "Batch : 1\nTotal throughput: 1581.96 infs/sec\n"
)
NET_RUN = """-------------------------------------------------------------------------------
Model String: 
SNPE v2.32.0.250228225014_116386
-------------------------------------------------------------------------------

Processing graph : yolov8_mixed_precision
Processing DNN input(s):
./raw/img1.raw
Successfully executed graph yolov8_mixed_precision
"""  # noqa: W291
SIGMOID = (
    "error_code=1002; error_message=Layer parameter value is invalid. No backend could validate Op=/model.22/Sigmoid "
    "Type=ElementWiseNeuron error code=3110; error_component=Model Validation; line_no=156; thread_id=512378832120"
)
LOST = "[Instance 0 - dsp_fixed8_tf] Unable to successfully create SNPE instance. Will continue to creation of other"


def rate(stdout: str, **more: object) -> float:
    given = {"threads": 1, "runtime": "dsp", **more}
    return replies.throughput(0, stdout, "", **given)  # type: ignore[arg-type]


def test_a_throughput_is_the_total() -> None:
    assert rate(TWO_LINES) == 1581.96


@pytest.mark.parametrize(("text", "value"), [("1000", 1000.0), ("1.2e+06", 1.2e6), ("0.5", 0.5), ("7.", 7.0)])
def test_numbers_come_with_and_without_dot_and_exponent(text: str, value: float) -> None:
    assert rate(f"Total throughput: {text} infs/sec") == value
    assert replies.parallel(0, f"{text} infs/sec\nSuccessfully executed!", "", runtime="dsp") == value


def test_carriage_returns_change_nothing() -> None:
    assert rate(TWO_LINES.replace("\n", "\r\n")) == 1581.96


@pytest.mark.parametrize("text", ["0", "nan", "1.2.3", ".", "-5"])
def test_a_throughput_that_is_none_is_not_believed(text: str) -> None:
    with pytest.raises(TransientError, match=r"throughput"):
        rate(f"Total throughput: {text} infs/sec")


def test_without_a_total_it_says_what_was_missing() -> None:
    with pytest.raises(TransientError, match=r"no line like 'Total throughput: .*' in 1 lines"):
        rate("hello\n")


def test_a_lost_thread_is_no_measurement() -> None:
    with pytest.raises(TransientError, match="Thread was lost"):
        rate("Thread 0 did not complete and did not produce an error. Thread was lost.\nTotal throughput: 3 infs/sec")


def test_all_threads_must_have_told_their_throughput() -> None:
    with pytest.raises(TransientError, match="1 of 2 threads"):
        rate(TWO_LINES, threads=2)


def test_a_fall_back_to_another_processor_is_the_candidates_failure() -> None:
    with pytest.raises(CandidateError, match="asked for dsp, ran on cpu_float32"):
        rate(TWO_LINES.replace("dsp_fixed8_tf", "cpu_float32"))
    with pytest.raises(CandidateError, match="ran on cpu_float32"):
        replies.parallel(0, "runtimes: cpu_float32 ...\n9 infs/sec\nSuccessfully executed!", "", runtime="dsp")


def test_a_model_that_could_not_be_created_is_refused_even_with_exit_code_0() -> None:
    with pytest.raises(replies.LoadRefused, match=r"validates no ElementWiseNeuron /model\.22/Sigmoid"):
        replies.throughput(0, f"{LOST}\n{SIGMOID}\nTotal throughput: 0 infs/sec", "", threads=1, runtime="dsp")


def test_the_report_gives_the_same_as_the_text() -> None:
    thread = {"id": 0, "runtime": "dsp_fixed8_tf", "infps": 1581.96, "status": "ok", "error": ""}
    text = json.dumps({"iterations": 1, "threads": [thread, {**thread, "id": 1}]})
    assert replies.report(text, threads=2, runtime="dsp") == pytest.approx(2 * 1581.96)
    with pytest.raises(TransientError, match="2 of 1 threads"):
        replies.report(text, threads=1, runtime="dsp")


@pytest.mark.parametrize("text", ["", "{}", '{"threads": [{}]}', '{"threads": 3}'])
def test_a_broken_report_is_not_believed(text: str) -> None:
    with pytest.raises(TransientError, match="not a report"):
        replies.report(text, threads=1, runtime="dsp")


def test_an_error_in_the_report_is_the_models() -> None:
    text = json.dumps({"threads": [{"infps": 0, "error": SIGMOID}]})
    with pytest.raises(replies.LoadRefused):
        replies.report(text, threads=1, runtime="dsp")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (NET_RUN, "2.32.0.250228225014_116386"),
        ("SNPE v2.9.0.4462\n", "2.9.0.4462"),
        ("2.41.0", "2.41.0"),
        ("no such option", ""),
    ],
)
def test_the_version_is_found_in_what_the_programs_say(text: str, value: str) -> None:
    assert replies.version(text) == value


def test_the_fields_of_an_error_are_told_apart() -> None:
    found = replies.error_fields(f"noise\n{SIGMOID}\n")
    assert found["error_code"] == "1002"
    assert found["error_component"] == "Model Validation"
    assert found["error_message"].endswith("error code=3110")


FAILURES = [
    (1, SIGMOID, replies.LoadRefused, "/model.22/Sigmoid .validation error 3110"),
    (1, "error_code=908; error_message=DSP comm error; error_component=DSP", replies.Crashed, "908"),
    (1, "error_code=911; error_message=DSP crashed", replies.Crashed, "911"),
    (1, "error_code=401; error_message=Network creation failed", replies.LoadRefused, "401"),
    (1, "error_code=302; error_message=Container; error_component=Dl Container", replies.LoadRefused, "302"),
    (1, "error_code=101; error_message=Config", SetupError, "101"),
    (1, "error_code=207; error_message=Memory", TransientError, "ended with code 1"),
    (1, "Cannot use native file I/O without specifying user buffer", SetupError, "native file"),
    (1, "Cannot specify user buffer outputs while using user buffer auto", SetupError, "user buffer"),
    (1, "snpe-net-run: unrecognized option '--x'", SetupError, "unrecognized"),
    (1, "Error: invalid input size provided. Please check all raw sizes.", replies.BuffersWrong, "raw sizes"),
    (1, "Size of input file should be divisible by sizeof(dtype).", replies.BuffersWrong, "divisible"),
    (127, "sh: snpe-net-run: not found", SetupError, "cannot be started"),
    (126, "Permission denied", SetupError, "cannot be started"),
    (1, "error while loading shared libraries: libSNPE.so", SetupError, "libSNPE"),
    (137, "Killed", replies.OutOfMemory, "out of memory"),
    (139, "Segmentation fault", replies.Crashed, "exit code 139"),
    (143, "", TransientError, "signal 15"),
    (1, "Failed to write data to: output/Result_0/a/b.raw", TransientError, "could not write output/Result_0/a/b.raw"),
    (3, "", TransientError, "it said nothing"),
]


@pytest.mark.parametrize(("code", "said", "kind", "match"), FAILURES)
def test_a_failure_is_of_its_own_kind(code: int, said: str, kind: type[MpsearchError], match: str) -> None:
    error = replies.failure("snpe-net-run", code, "", said, stage="time")
    assert type(error) is kind
    with pytest.raises(kind, match=match):
        raise error


def test_a_run_that_says_that_it_succeeded_did() -> None:
    replies.check_net_run(NET_RUN, "", 1)
    replies.check_net_run("Processing DNN input(s):\na.raw\nSuccessfully executed!", "", 1)  # 2.10
    assert replies.processed(NET_RUN) == (("./raw/img1.raw",),)


def test_two_files_for_one_inference_mean_wrong_buffers() -> None:
    with pytest.raises(replies.BuffersWrong, match=r"2 files for one inference: \./raw/img1\.raw, \./raw/img2\.raw"):
        replies.check_net_run(NET_RUN.replace("img1.raw\n", "img1.raw\n./raw/img2.raw\n"), "", 1)


def test_inputs_that_were_skipped_are_noticed() -> None:
    with pytest.raises(replies.BuffersWrong, match="processed 1 inputs, 2 were given"):
        replies.check_net_run(NET_RUN, "", 2)


def test_silence_is_no_success() -> None:
    with pytest.raises(TransientError, match="does not say that it succeeded"):
        replies.check_net_run("Processing DNN input(s):\na.raw\n", "", 1)


def test_files_that_could_not_be_written_are_listed_once() -> None:
    text = "Failed to write data to: o/Result_0/a/b.raw\nx\nFailed to write data to: o/Result_0/a/b.raw  \n"
    assert replies.not_written(text) == ("o/Result_0/a/b.raw",)


def test_the_hottest_believable_zone_counts() -> None:
    assert sensors.temperature_c("41000\n-40000\n 58300\n4000000\n") == 58.3
    assert sensors.temperature_c("") is None


def test_power_is_a_mean_of_each_sensor() -> None:
    text = (
        "mpsearch-power 5000000 /sys/class/hwmon/hwmon0/power1_input\nnoise\n"
        "mpsearch-power 7000000 /sys/class/hwmon/hwmon0/power1_input\n"
        "mpsearch-power 1500000 /sys/class/hwmon/hwmon1/power1_input\n"
    )
    assert sensors.power_w(text) == {"hwmon0": 6.0, "hwmon1": 1.5}
    assert sensors.power_w("") == {}


def test_the_clock_is_weighed_by_time() -> None:
    assert sensors.clock_mhz("Clock freq.  Active time\n 441.60  1.000\n 1382.40  3.000\n") == pytest.approx(1147.2)
    assert sensors.clock_mhz("no such program") is None
