"""The one error that means: what the user gave cannot be used."""


class InputError(ValueError):
    """Bad input. The message is one line that names the value, the place and the remedy.

    The commands print it to standard error and leave with exit code 2; nothing has been changed by then.
    """
