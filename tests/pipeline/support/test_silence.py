from __future__ import annotations

import os
import sys

import pytest

from tvmopt.pipeline.support.silence import silent


def test_output_while_silent_is_discarded(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(1, b"before ")
    with silent():
        os.write(1, b"lost")
        os.write(2, b"lost")
        sys.stdout.write("lost")
        sys.stderr.write("lost")
    os.write(1, b"after")
    assert capfd.readouterr() == ("before after", "")


def test_errors_come_through_and_end_it(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="heard"), silent():
        raise ValueError("heard")
    os.write(2, b"again")
    assert capfd.readouterr().err == "again"
