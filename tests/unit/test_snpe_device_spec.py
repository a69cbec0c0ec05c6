"""A board's file for SNPE: what it may say, and a password that goes nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpsearch.device import spec
from mpsearch.device.snpe import credentials
from mpsearch.device.snpe.board import PLAN
from mpsearch.device.snpe.opening import plan_of
from mpsearch.errors import ConfigError
from mpsearch.transport.ssh import SshAddress, SshTransport

SECRET = "open sesame # 7"
BOARD = "target: rvc4\ntransport: {kind: ssh, host: 10.0.0.5}\n"


def load(folder: Path, text: str) -> spec.BoardSpec:
    path = folder / "board.yaml"
    path.write_text(text)
    return spec.load(path)


def test_the_target_alone_says_that_it_is_snpe(tmp_path: Path) -> None:
    found = load(tmp_path, BOARD)
    assert (found.runtime, found.target, found.folder) == ("snpe", "rvc4", "/data/mpsearch")
    assert found.snpe.make().measure == "throughput"


def test_the_example_is_a_board(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert spec.load(root / "boards" / "rvc4-example.yaml").runtime == "snpe"


def test_a_sample_is_a_mean_already_so_fewer_are_taken_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    assert plan_of(load(tmp_path, BOARD)) == PLAN
    assert plan_of(load(tmp_path, BOARD + "timing: {least: 9, most: 9}\n")).least == 9


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("snpe: {tool: x}", "did you mean 'tools'"),
        ("snpe: {tools: bin}", "absolute folder"),
        ("snpe: {env: {A-B: c}}", "no name of a variable"),
        ("snpe: {duration_s: 0}", "snpe.duration_s"),
        ("snpe: {measure: net-run}", "snpe.measure"),
        ("cli: synap_cli", "cli: not for runtime snpe"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(tmp_path, f"{BOARD}{more}\n")


def test_a_synap_board_has_no_snpe(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="snpe: not for runtime synap"):
        load(tmp_path, "target: VS680\ntransport: {kind: ssh, host: h}\nsnpe: {threads: 2}\n")


def test_what_decides_a_time_changes_the_digest_and_the_way_there_does_not(tmp_path: Path) -> None:
    plain = load(tmp_path, BOARD).digest
    assert load(tmp_path, BOARD.replace("10.0.0.5", "10.0.0.6") + "snpe: {tools: /data/snpe}\n").digest == plain
    assert load(tmp_path, BOARD + "snpe: {threads: 2}\n").digest != plain


def env_board(folder: Path, text: str, more: str = "") -> spec.BoardSpec:
    (folder / ".env").write_text(text)
    return load(folder, f"target: rvc4\ntransport: {{kind: ssh, credentials: .env{more}}}\n")


def test_address_and_password_come_from_a_file_and_are_never_shown(tmp_path: Path) -> None:
    found = env_board(tmp_path, f"# the oak\nexport HOSTNAME=oak.local\nDEVICE_USER='luxonis'\nPASSWORD=\"{SECRET}\"\n")
    transport = found.transport.make()
    assert isinstance(transport, SshTransport)
    assert str(transport.address) == "luxonis@oak.local"
    assert transport.password(transport.address) == SECRET
    for shown in (repr(transport), repr(found), found.model_dump_json(), found.digest, transport.name):
        assert "sesame" not in shown
    assert "sesame" not in repr(credentials.read(tmp_path / ".env"))


def test_the_boards_file_has_the_last_word(tmp_path: Path) -> None:
    transport = env_board(tmp_path, "HOSTNAME=a\nDEVICE_USER=b\n", ", host: c, user: d").transport.make()
    assert isinstance(transport, SshTransport)
    assert str(transport.address) == "d@c"


def test_without_a_password_it_is_asked_for_as_always(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPSEARCH_SSH_PASSWORD", "from outside")
    transport = env_board(tmp_path, "HOSTNAME=a\nPASSWORD=\n").transport.make()
    assert isinstance(transport, SshTransport)
    assert transport.password(SshAddress("a")) == "from outside"


def test_a_file_that_is_wrong_is_named_without_its_content(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no HOSTNAME") as error:
        env_board(tmp_path, f"PASSWORD={SECRET}\n").transport.make()
    assert "sesame" not in str(error.value)
    (tmp_path / ".env").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        credentials.read(tmp_path / ".env")
