"""Numbers of channels as networks have them: multiples of 8."""


def divisible(width: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `width`, at least `divisor`, and not below 90% of `width`."""
    rounded = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * width else rounded
