"""The one error that means: what the user gave cannot be used; and what other errors say, as one line."""

_LONGEST = 300  # characters of what an error says


class InputError(ValueError):
    """Bad input. The message is one line that names the value, the place and the remedy.

    The commands print it to standard error and leave with exit code 2; nothing has been changed by then.
    """


def first_line(error: BaseException) -> str:
    """The first line of what an error says, cut to 300 characters; its class's name if it says nothing."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:_LONGEST]


def one_line(error: BaseException) -> str:
    """All that an error says as one line, cut to 300 characters: for errors whose first line is only a heading."""
    return (" ".join(str(error).split()) or type(error).__name__)[:_LONGEST]
