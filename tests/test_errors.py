"""What other errors say, as one line of a message."""

import pytest

from foundation.errors import first_line, one_line


@pytest.mark.parametrize(
    ("text", "first", "whole"),
    [
        ("\n  \nno room\nat /x", "no room", "no room at /x"),
        ("", "RuntimeError", "RuntimeError"),
        ("`size` is wrong", "'size' is wrong", "'size' is wrong"),  # no field of ours
        ("x" * 1000, "x" * 300, "x" * 300),
    ],
)
def test_an_error_is_told_in_a_line(text: str, first: str, whole: str) -> None:
    assert first_line(RuntimeError(text)) == first
    assert one_line(RuntimeError(text)) == whole
