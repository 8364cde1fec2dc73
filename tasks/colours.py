"""A colour for each class of a drawing."""

from colorsys import hsv_to_rgb

_STEP = (5**0.5 - 1) / 2  # of the golden ratio: each hue lies far from those before it, however many there are


def colour(number: int) -> tuple[int, int, int]:
    """Red, green and blue (0 to 255) of the class of that number."""
    red, green, blue = hsv_to_rgb(number * _STEP % 1, 0.85, 1 - 0.25 * (number % 2))
    return round(255 * red), round(255 * green), round(255 * blue)
