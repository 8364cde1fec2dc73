"""How much an attack may change, as people write it. Without torch, for a command's help needs it."""

import re
from fractions import Fraction

from foundation.errors import InputError

EPSILON = "8/255"
"""What most of the field's tables have, of pictures in colour."""


_WRITTEN = re.compile(r"[\d.]{1,20}(e-?\d{1,2})?(/\d{1,9})?")  # no exponent that a fraction would take hours for


def read_epsilon(text: str, setting: str = "`epsilon`") -> float:
    """What `8/255` or `0.03` says. Raises InputError, naming the setting, for what is no number above 0 and below 1."""
    try:
        value = float(Fraction(text)) if _WRITTEN.fullmatch(text) else 0.0
    except (ValueError, ZeroDivisionError):
        value = 0.0
    if not 0 < value < 1:
        raise InputError(f"{setting}: expected a number above 0 and below 1, such as 8/255, got {text}")
    return value
