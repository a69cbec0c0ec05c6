"""A Ctrl-C that Python drops is raised again."""

from __future__ import annotations

import signal

import pytest

from mpsearch.cli.interrupt import Interrupt


class Dropping:
    """Python prints and drops what is raised within a destructor."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_within_a_destructor_is_raised_at_the_next_check() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Interrupt() as interrupt:
            interrupt.check()
            Dropping()
            with pytest.raises(KeyboardInterrupt):
                interrupt.check()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
