"""Board profiles: found by name, alias or path, and strict."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mpsearch.board import profile
from mpsearch.errors import ConfigError


def written(tmp_path: Path, **changes: object) -> Path:
    """A copy of vs680 with some keys changed; None leaves a key out."""
    data = profile.load("vs680").model_dump(mode="json") | changes
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in data.items() if value is not None}))
    return path


def test_the_boards_are_shipped_and_go_by_all_their_names() -> None:
    assert profile.names() == ("rvc4", "vs640", "vs680")
    assert (profile.load("rvc4").vendor, profile.load("vs680").vendor) == ("htp", "verisilicon")
    assert profile.load("sl1680") == profile.load("vs680") == profile.load("VS680")
    assert profile.load("sl1640").name == "vs640"


def test_a_profile_of_ones_own_is_loaded_from_its_path(tmp_path: Path) -> None:
    own = profile.load(written(tmp_path, name="mine", fixed_ms=7))
    assert (own.name, own.fixed_ms) == ("mine", 7.0)
    assert hash(own) != hash(profile.load("vs680"))


def test_a_profile_cannot_be_edited() -> None:
    with pytest.raises(ValueError, match="frozen"):
        profile.load("vs680").fixed_ms = 1.0  # type: ignore[misc]


def test_an_unknown_name_names_its_neighbours() -> None:
    with pytest.raises(ConfigError, match="no board profile 'vs860'") as caught:
        profile.load("vs860")
    assert "vs680" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot be read"):
        profile.load(tmp_path / "gone.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fixed_mss": 1.0}, "unknown key 'fixed_mss' (nearest: 'fixed_ms')"),
        ({"vendor": None}, "key 'vendor' is missing; one of verisilicon, htp"),
        ({"vendor": "arm"}, "key 'vendor' is 'arm'"),
        ({"vendor": "htp"}, "unknown key 'nn_cores'"),
        ({"dispatch_us": None}, "key 'dispatch_us' is missing"),
        ({"ddr_gbyte_per_s": -1.0}, "ddr_gbyte_per_s: Input should be greater than 0, got -1.0"),
        ({"fixed_ms": float("nan")}, "fixed_ms"),
        ({"nn_cores": 2.5}, "nn_cores"),
        ({"nn_clock_ghz": "fast"}, "nn_clock_ghz"),
        ({"nn_int16_slowdown": 0.5}, "nn_int16_slowdown"),
    ],
)
def test_a_wrong_key_or_value_is_refused_by_name(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(ConfigError) as caught:
        profile.load(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("a: [", "not YAML"), ("- 1", "not list"), ("", "not NoneType")])
def test_a_file_that_is_no_map_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        profile.parse(text, "mine.yaml")


@pytest.mark.parametrize("name", profile.names())
def test_a_dumped_profile_is_loaded_again(name: str) -> None:
    found = profile.load(name)
    text = profile.dump(found, comment="fitted on two\nlines")
    assert text.startswith("# fitted on two\n# lines\n")
    assert profile.parse(text, "mine.yaml") == found
