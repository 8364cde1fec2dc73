"""The one error that means: what the user gave cannot be used; and what other errors say, as one line."""

_LONGEST = 300  # characters of what an error says


class InputError(ValueError):
    """Bad input. The message is one line that names the value, the place and the remedy.

    A setting is named by its field in backquotes: `max_macs`. A command writes the flag instead, --max-macs, where it
    prints the message (`foundation.printed.with_flags`).

    The commands print it to standard error and leave with exit code 2; nothing has been changed by then.
    """


def first_line(error: BaseException) -> str:
    """The first line of what an error says, cut to 300 characters; its class's name if it says nothing."""
    return _quoted(next((line for line in str(error).splitlines() if line.strip()), type(error).__name__))


def one_line(error: BaseException) -> str:
    """All that an error says as one line, cut to 300 characters: for errors whose first line is only a heading."""
    return _quoted(" ".join(str(error).split()) or type(error).__name__)


def _quoted(text: str) -> str:
    """What another program said: in it backquotes mean no field of ours."""
    return text[:_LONGEST].replace("`", "'")
