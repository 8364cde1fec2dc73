"""The benchmark of tokens: networks of equal cost, or one line that says which has none."""

import sys

import pytest

from benchmarks import tokens
from foundation import printed
from search_space.cost.cost import measure


@pytest.fixture(autouse=True)
def _fields_are_named_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printed, "_flags_are_named", False)


@pytest.mark.parametrize("arm", tokens.ARMS)
def test_arms_take_the_macs_that_are_asked_for(arm: str) -> None:
    macs = measure(tokens.scaled(arm, 18_000_000, 10), 10).macs
    assert 0.98 * 18_000_000 <= macs <= 18_000_000


def test_an_arm_that_no_width_fits_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tokens", "--macs", "3M"])
    with pytest.raises(SystemExit) as ended:
        tokens.main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "error: --macs 3.00M: no width of arm convolution comes to it within a percent; its widths take 1.19M to "
        "848.8M, in steps: give another --macs, or leave the arm out by --arms\n"
    )
