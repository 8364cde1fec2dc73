"""Texts as they are shown: what cannot be written, or a terminal acts on, becomes an escape, such as \\xe9.

And where a command shows them, a setting's flag, --max-macs, stands for the field that a library names: `max_macs`.
"""

import codecs
import io
import re
import shutil
import sys
import textwrap

LONGEST_LINE = 1_000  # characters of a complaint
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
    """The text with what a terminal acts on, or cannot be written, as escapes: names come from files, and from others.

    These are control characters but for the end of a line, marks that change the direction of writing, and bytes of a
    file's name that are not UTF-8.
    """
    return _ACTED_ON.sub(lambda match: ascii(match[0])[1:-1], str(text).encode(errors=ESCAPED).decode())


# Control characters (C0, delete, C1), the marks of the bidirectional algorithm.
_ACTED_ON = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def with_flags(text: str) -> str:
    """The text with the flag for each field that it names: --max-macs for `max_macs`."""
    return _FIELD.sub(lambda match: "--" + match[1].replace("_", "-"), text)


_FIELD = re.compile(r"`([a-z][a-z0-9_]*)`")
_flags_are_named = False


def name_flags() -> None:
    """From now on the messages of this process name flags: a command is being run."""
    global _flags_are_named
    _flags_are_named = True


def message(text: str) -> str:
    """A message as this process shows it: printable, and `with_flags` in a command."""
    return printable(with_flags(text) if _flags_are_named else text)


def escape_output() -> None:
    """Lets all that this process prints pass, whatever the names of files in it, and whatever the terminal can show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPED)


def complain(text: str) -> None:
    """One line on standard error, of bounded length; see `message`."""
    line = message(" ".join(text.split()))
    if len(line) > LONGEST_LINE:  # what a file holds may be of any length; the remedy stands at the end
        line = f"{line[: LONGEST_LINE // 2]} … {line[-LONGEST_LINE // 2 :]}"
    if sys.stderr.isatty():
        line = at_words(line, shutil.get_terminal_size().columns)
    print(line, file=sys.stderr, flush=True)


def at_words(text: str, width: int) -> str:
    """The text in lines of so many columns, broken at spaces alone: a path that is longer has a line of its own."""
    lines = (
        textwrap.wrap(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False) or [""]
        for line in text.splitlines()
    )
    return "\n".join(part for parts in lines for part in parts)
