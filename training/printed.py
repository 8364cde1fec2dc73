"""Texts as they are shown: what cannot be written becomes an escape, such as \\xe9 for a byte that is not UTF-8."""

import codecs
import io
import sys

ESCAPED = "escaped"  # `errors` of an encoding


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_escape_one, error.object[error.start : error.end])), error.end


def _escape_one(character: str) -> str:
    # Python keeps the byte 0xe9 of a file's name as U+DCE9; shells and Python take \xe9.
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("ascii", "backslashreplace").decode()


codecs.register_error(ESCAPED, _escape)


def printable(text: object) -> str:
    """What any terminal or file that is UTF-8 takes; a path with bytes that are not becomes longer."""
    return str(text).encode(errors=ESCAPED).decode()


def escape_output() -> None:
    """Lets all that this process prints pass, whatever the names of files in it, and whatever the terminal can show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPED)
